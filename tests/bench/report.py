"""The bench's results as a table, as JSON, and as the table of the README."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from timing import Measure

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def machine() -> dict[str, Any]:
    """What it was measured on, as far as a reader needs it."""
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = re.search(r"^model name\s*:\s*(.+)$", facts, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", facts, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30),
        "sha_instructions": bool(flags and "sha_ni" in flags[1].split()),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _target(measure: Measure) -> str:
    if measure.target is None:
        return "–"
    return (
        f"≤ {measure.spell(measure.target) if measure.unit == 'ms' else f'{measure.target:g} {measure.unit}'}"
    )


def sides(measure: Measure) -> str:
    """What the two sides of a ratio took, in seconds."""
    return ", ".join(f"{name} {value:.2f} s" for name, value in measure.seconds.items())


def show(console: Console, measures: Sequence[Measure]) -> None:
    table = Table(header_style="bold", expand=False)
    for heading in ("measure", "median", "min", "max", "target", "met", "medians of the two sides"):
        table.add_column(heading, justify="right" if heading in {"median", "min", "max"} else "left")
    section = ""
    for one in measures:
        if one.section != section:
            table.add_section()
            section = one.section
        met = {True: "[green]yes[/green]", False: "[bold red]no[/bold red]", None: "–"}[one.met]
        values = [one.spell(v) for v in (one.median, min(one.values), max(one.values))]
        table.add_row(f"{section}: {one.name}", *values, _target(one), met, sides(one))
    console.print(table)


def markdown(measures: Sequence[Measure], where: dict[str, Any]) -> str:
    """The README's table, between its markers."""
    lines = [
        BEGIN,
        "| | | median | min – max | target |",
        "|---|---|---:|---:|---:|",
    ]
    section = ""
    for one in measures:
        first = one.section if one.section != section else ""
        section = one.section
        spread = f"{one.spell(min(one.values))} – {one.spell(max(one.values))}"
        missed = " (missed)" if one.met is False else ""
        lines.append(
            f"| {first} | {one.name} | {one.spell(one.median)} | {spread} | {_target(one)}{missed} |"
        )
    lines += [
        "",
        f"{where['cores']} cores of a virtual machine, {where['cpu']}, {where['memory_gib']} GiB,"
        f" {where['system']}, Python {where['python']}, {where['engine']}. Ratios are medians of pairs"
        f" that were run in turn; `make bench` measures them all.",
        END,
    ]
    return "\n".join(lines)


def write_readme(path: Path, text: str) -> None:
    """Replace what stands between the markers."""
    old = path.read_text(encoding="utf-8")
    if BEGIN not in old or END not in old:
        raise SystemExit(f"{path} has no {BEGIN} … {END}")
    head, _, rest = old.partition(BEGIN)
    path.write_text(head + text + rest.partition(END)[2], encoding="utf-8")
