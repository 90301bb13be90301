"""A report as JUnit XML, the dialect that GitHub, GitLab and Jenkins all read. No IO here.

Each environment is a suite, each cell a test case. A suite has its environment's title where that is unique,
so that a CI's history goes on when a lock changes. Words come from models and loaders: what XML can't hold is
spelled out, and no reader takes a word of theirs for a command.
"""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree as XML

from timeproof.compare.verdict import Verdict
from timeproof.regression.report import Cell, Report, ReportedEnvironment
from timeproof.regression.reports.labels import reproduce, verdict_words

_LOG = 4_000  # characters of a log that are shown, its end
_TEXT = 20_000  # characters of any other text

# All but XML 1.0's Char; also characters that it allows and that are invisible (C1 controls, non-characters).
_UNFIT = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: Report) -> bytes:
    """Give `junit.xml`: failing cells are failures, declared breakages are skipped with their reason.

    Equal reports give equal bytes. Environments without cells have no suite. The report's notes and
    the failures of environments are in the other forms.
    """
    suites: dict[str, list[Cell]] = {e.name: [] for e in report.environments}
    for cell in report.cells:
        suites.setdefault(cell.environment, []).append(cell)
    environments = {e.name: e for e in report.environments}
    titles = Counter(fit(e.title) for e in report.environments)
    totals = _totals(report.cells)
    root = XML.Element("testsuites", {"name": f"timeproof {report.command}", **totals})
    root.attrib.pop("skipped")  # the schema that Jenkins reads has it on suites alone
    for name, cells in suites.items():
        if cells:
            environment = environments.get(name)
            titled = environment is not None and titles[fit(environment.title)] == 1
            title = environment.title if environment is not None and titled else name
            _suite(root, report, fit(title), environment, cells)
    XML.indent(root)
    document: bytes = XML.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def skipped(cell: Cell) -> bool:
    """Whether a cell is a breakage that was declared, and so neither passes nor fails."""
    return not cell.fails and cell.expected is not None and cell.verdict is not Verdict.identical


def _totals(cells: list[Cell]) -> dict[str, str]:
    return {
        "tests": str(len(cells)),
        "failures": str(sum(c.fails for c in cells)),
        "errors": "0",
        "skipped": str(sum(skipped(c) for c in cells)),
        "time": f"{sum(c.seconds for c in cells):.3f}",
    }


def _suite(
    root: XML.Element, report: Report, name: str, environment: ReportedEnvironment | None, cells: list[Cell]
) -> None:
    suite = XML.SubElement(root, "testsuite", {"name": name, **_totals(cells)})
    facts = {"archive": report.archive, "toolkit": report.toolkit, "fail_on": report.fail_on}
    if environment is not None:
        facts |= {"dated": environment.dated or "", "platform": environment.platform}
        facts |= {"manifest": environment.manifest}
        facts |= {f"framework.{k}": v for k, v in environment.frameworks.items()}
        facts |= {"failure": environment.failure} if environment.failure else {}
    properties = XML.SubElement(suite, "properties")
    for key, value in facts.items():
        XML.SubElement(properties, "property", {"name": fit(key), "value": fit(value)})
    for cell in cells:
        _case(suite, report, name, cell)


def _case(suite: XML.Element, report: Report, classname: str, cell: Cell) -> None:
    title = {"name": fit(cell.artifact), "classname": classname, "time": f"{cell.seconds:.3f}"}
    case = XML.SubElement(suite, "testcase", title)
    again = reproduce(report, cell.artifact, cell.environment)
    if cell.fails:
        failure = XML.SubElement(
            case, "failure", {"type": str(cell.verdict), "message": fit(_first_line(cell), 500)}
        )
        lines = [verdict_words(cell), cell.reason, *cell.notes, f"reproduce: {again}"]
        if cell.log.strip():
            lines += ["", cell.log.strip()[-_LOG:]]
        failure.text = fit("\n".join(lines))
    elif skipped(cell):
        why = fit(f"{_first_line(cell)} (expected: {cell.expected})", 500)
        XML.SubElement(case, "skipped", {"message": why}).text = why
    facts = [f"verdict: {verdict_words(cell)}", f"reason: {cell.reason}"]
    facts += [f"{name}: {version}" for name, version in cell.versions.items()]
    facts += [f"profile: {cell.profile}", f"reproduce: {again}"]
    facts += [f"note: {note}" for note in cell.notes]
    XML.SubElement(case, "system-out").text = fit("\n".join(facts))


def _first_line(cell: Cell) -> str:
    return f"{cell.verdict}: {(cell.reason.strip().splitlines() or [''])[0]}"


def fit(text: str, most: int = _TEXT) -> str:
    """Spell out what XML can't hold, bound the length, and leave no attachment to a reader's plugin."""
    text = text if len(text) <= most else f"{text[:most]} …"
    # GitLab and Jenkins take [[ATTACHMENT|path]] for a file to be shown.
    text = text.replace("[[ATTACHMENT", "[ [ATTACHMENT").replace("\r\n", "\n")
    return _UNFIT.sub(lambda match: _spelled(ord(match[0])), text)


def _spelled(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
