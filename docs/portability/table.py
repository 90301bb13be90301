"""The answers of many CPUs as a table: in the terminal, in docs/portability.md, in short in the README."""

import platform
import re
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict

REPOSITORY = Path(__file__).resolve().parents[2]
CPUS = ("Nehalem", "SandyBridge", "Haswell", "EPYC", "Skylake-Server")
SETTINGS = {  # the column's name → (profile, runner)
    "no profile": ("native", "native"),
    "portable": ("portable", "native"),
    "float64 witness": ("native", "float64"),
}


# Rows that hold neither under the profile nor in float64, and what was found out about them.
KNOWN = {
    "torch int8": (
        "Its kernels are FBGEMM's, which need AVX2: without it they end in an illegal instruction or are"
        " others, with the profile or without."
    )
}


@dataclass
class Cell:
    """One CPU against this machine, under one setting."""

    text: str  # `=`, the distance, or `–` where there is nothing to compare
    same: bool


@dataclass
class Row:
    name: str
    cells: dict = field(default_factory=dict)  # setting → CPU → Cell
    why: str = ""

    def same(self, setting):
        """Whether a setting was identical everywhere, and was there at all."""
        return all(cell.same for cell in self.cells[setting].values())

    @property
    def settled(self):
        """Whether the profile or the witness is identical on every CPU, or it is known why neither is."""
        return self.same("portable") or self.same("float64 witness") or self.name in KNOWN


def _compared(ours, theirs, ref, runner):
    """Compare what two containers answered for one artifact."""
    expected = ours["arrays"].get(ref, {}).get(runner, {})
    found = theirs["arrays"].get(ref, {}).get(runner, {})
    if not expected or not found:
        failed = theirs if expected else ours
        return Cell("–", False), failed["failures"].get(ref, {}).get(runner, "")
    diff = compare_outputs(expected, found)
    if diff.verdict is Verdict.identical:
        return Cell("=", True), ""
    far = [d for d in diff.arrays.values() if d.verdict is not Verdict.identical]
    worst = max(far, key=lambda d: (d.verdict, d.sulp or 0.0), default=None)
    if worst is None or worst.sulp is None:
        return Cell(str(diff.verdict), False), diff.summary()
    mark = "" if diff.verdict is Verdict.rounding else f" {diff.verdict}"
    return Cell(f"{worst.sulp:.3g}{mark}", False), diff.summary()


def rows(refs, done, cpus, here):
    """Compare every answer with this machine's own, made in the same way."""
    made = []
    for name, ref in refs.items():
        row = Row(name)
        reasons = {}
        for setting, (profile, runner) in SETTINGS.items():
            ours = done[profile, here, 1]
            row.cells[setting] = {}
            for cpu in (here, *cpus):
                theirs = done[profile, cpu, 2 if cpu == here else 1]
                row.cells[setting][cpu], why = _compared(ours, theirs, str(ref), runner)
                if why:
                    reasons.setdefault(setting, {}).setdefault(why, []).append(cpu)
        row.why = _why(row, reasons)
        made.append(row)
    return made


def _why(row, reasons):
    """Say, from what was measured, why a row is not identical everywhere."""
    if row.same("portable"):
        return ""
    moved = f"under the profile {_told(reasons.get('portable', {}))}"
    if row.same("float64 witness"):
        return f"{moved}. In float64 it is identical."
    double = _told(reasons.get("float64 witness", {})) or "nothing: it has none"
    return f"{moved}. In float64 {double}. {KNOWN.get(row.name, '')}".strip()


def _told(reasons):
    """Say what happened where: `on Nehalem, SandyBridge differs by …; on EPYC …`."""
    return "; ".join(
        f"on {'every CPU' if cpus == ['native', *CPUS] else ', '.join(cpus)}: {why}"
        for why, cpus in reasons.items()
    )


def facts(emulator):
    """What it was measured on, in a sentence."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set((re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE) or ["", ""])[1].split())
    known = [f for f in ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if f in flags]
    return (
        f"This machine: {model[1].strip() if model else platform.machine()}"
        f" ({', '.join(known) or 'no AVX2'}), {platform.freedesktop_os_release().get('PRETTY_NAME', '')}."
        f" The others: qemu {emulator}, user mode, which has no AVX-512, VNNI or AMX."
    )


def _line(row, setting, cpus):
    return [row.cells[setting][cpu].text for cpu in cpus]


def show(console, made, cpus):
    shown = Table(header_style="bold", title="= is identical; a number is the distance in sULP")
    for heading in ("model", "setting", "native", *cpus):
        shown.add_column(heading, justify="left" if heading in {"model", "setting"} else "right")
    for row in made:
        shown.add_section()
        for k, setting in enumerate(SETTINGS):
            cells = [row.cells[setting][cpu] for cpu in row.cells[setting]]
            texts = [f"[green]{c.text}[/green]" if c.same else escape(c.text) for c in cells]
            shown.add_row(escape(row.name) if k == 0 else "", setting, *texts)
    console.print(shown)
    for row in made:
        if row.why:
            console.print(f"{escape(row.name)}: {escape(row.why)}")


def _full(made, cpus):
    lines = [f"| model | setting | native | {' | '.join(cpus)} |", "|---|---|" + "---:|" * (len(cpus) + 1)]
    for row in made:
        for k, setting in enumerate(SETTINGS):
            texts = _line(row, setting, row.cells[setting])
            lines.append(f"| {row.name if k == 0 else ''} | {setting} | {' | '.join(texts)} |")
    lines += ["", "Where the profile did not hold:", ""]
    lines += [f"- **{row.name}**: {row.why}" for row in made if row.why]
    return "\n".join(lines)


def _short(made, cpus):
    lines = [f"| model | {' | '.join(SETTINGS)} |", "|---|" + "---|" * len(SETTINGS)]
    for row in made:
        told = []
        for setting in SETTINGS:
            cells = {cpu: row.cells[setting][cpu] for cpu in cpus}
            dead = [cpu for cpu, cell in cells.items() if cell.text == "–"]
            moved = {c: cell.text for c, cell in cells.items() if not cell.same and c not in dead}
            if len(dead) == len(cpus):
                told.append("–")
            elif moved or dead:
                same = len(cpus) - len(moved) - len(dead)
                said = [f"{same} of {len(cpus)}", *_farthest(moved), *(f"does not run on {c}" for c in dead)]
                told.append("; ".join(said))
            else:
                told.append("identical")
        lines.append(f"| {row.name} | {' | '.join(told)} |")
    return "\n".join(lines)


def _farthest(moved):
    """`up to 3 sULP on Nehalem`: the CPU that is the farthest off, if any is."""

    def size(text):
        found = re.match(r"[\d.e+-]+", text)
        return float(found[0]) if found else float("inf")

    if not moved:
        return []
    cpu = max(moved, key=lambda c: size(moved[c]))
    number, _, verdict = moved[cpu].partition(" ")
    unit = " sULP" if number[0].isdigit() else ""
    return [f"up to {number}{unit}{f' ({verdict})' if verdict else ''} on {cpu}"]


def _between(text, begin, end, new):
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{new}\n{end}{tail}"


def write(made, cpus, told):
    """Put the whole table into docs/portability.md, and a short one into the README."""
    begin, end = "<!-- portability -->", "<!-- /portability -->"
    for path, text in (
        (REPOSITORY / "docs/portability.md", _full(made, cpus)),
        (REPOSITORY / "README.md", _short(made, cpus)),
    ):
        old = path.read_text(encoding="utf-8")
        if begin not in old:
            raise SystemExit(f"{path} has no place for the table: {begin}")
        path.write_text(_between(old, begin, end, f"{text}\n\n{told}"), encoding="utf-8")
