"""The report for people: one HTML file that holds all it needs, and loads nothing. No IO but our own files.

The words of a report come from strangers. Templates escape them, data goes in as JSON that can't end its
element, scripts put it into the page as text, and the page's own policy lets nothing else run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from timeproof.compare.verdict import Verdict
from timeproof.frameworks.registry import title_of, titles
from timeproof.regression.report import Report
from timeproof.regression.reports.html_payload import payload, row_details, sorted_environments
from timeproof.regression.reports.labels import LOOKS, visible

if TYPE_CHECKING:
    from jinja2 import Template

_SCRIPTS = ("data.js", "filter.js", "grid.js", "plot.js", "panel.js", "main.js")
_FINDINGS = 500  # listed for browsers without scripts


def render_html(report: Report) -> bytes:
    """Give `report.html`. Equal reports give equal pages."""
    css, js = _file("page.css"), _script()
    environments = sorted_environments(report)
    counts = report.counts
    looks = [
        {"id": str(v), "index": k, "glyph": look.glyph, "name": look.name, "meaning": look.meaning}
        for k, (v, look) in enumerate(LOOKS.items())
    ]
    present = {a.framework for a in report.artifacts}
    page = _template().render(
        report=report,
        environments=environments,
        names=titles(),
        css=_markup(css),
        js=_markup(js),
        policy=_policy(css, js),
        data=_markup(_json(payload(report, environments))),
        rows=(_markup(_json(row)) for row in row_details(report, environments)),
        verdicts=looks[1:],
        counted=[{**look, "count": counts[str(look["id"])]} for look in looks if look["id"] in counts],
        frameworks=[
            {"id": f, "name": title_of(f)}
            for f in [*titles(), *sorted(present - {*titles()})]
            if f in present
        ],
        fails=sum(c.fails for c in report.cells),
        changed=sum(c.change != "same" for c in report.cells),
        started=_started(report),
        machines=[_machine_line(m) for m in report.machines],
        findings=[c for c in report.cells if c.verdict is not Verdict.identical][:_FINDINGS],
    )
    return page.encode("utf-8", "backslashreplace")


def _started(report: Report) -> str:
    words = [str(report.run["started"])[:16].replace("T", " ")] if report.run.get("started") else []
    seconds = report.run.get("seconds")
    if isinstance(seconds, (int, float)) and words:
        words.append(f"{seconds:.0f} s")
    return ", ".join(words)


def _machine_line(machine: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in machine.items() if value not in (None, "", []))


def _json(value: object) -> str:
    """JSON in ASCII, without a character that could end a script element, or be taken for markup."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(css: str, js: str) -> str:
    """Nothing is loaded, nothing is sent; our one style and our one script are known by their hash."""
    rules = {
        "default-src": "'none'",
        "script-src": _hashed(js),
        "style-src": _hashed(css),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{rule} {value}" for rule, value in rules.items())


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _markup(text: str) -> str:
    """Mark what is safe where it goes: our own files, and what `_json` gave."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  see above


@cache
def _file(name: str) -> str:
    return resources.files("timeproof.regression.reports").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(_file(name) for name in _SCRIPTS) + "})();\n"


def _visible_value(value: object) -> object:
    return visible(value) if type(value) is str else value


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # only where a page is made

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible_value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_file("page.html"))
