"""How a regression's plan looks in a terminal. Values in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from timeproof.base.digests import Digest
from timeproof.cli.console import out, size
from timeproof.regression.plan import Plan
from timeproof.regression.reports.terminal import plain_table


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain values."""
    return {
        "artifacts": len(plan.artifacts),
        "cells": plan.count(),
        "environments": [
            {
                "environment": c.title,
                "frameworks": c.frameworks,
                "dated": c.dated,
                "built": c.record is not None,
                "cells": plan.by_framework(c),
                "packages_to_fetch": len(c.missing),
                "bytes_to_fetch": _bytes(c.missing),
                "bytes_in_store": c.in_store,
            }
            for c in plan.environments
        ],
        "packages_to_fetch": len(plan.to_fetch()),
        "bytes_to_fetch": _bytes(plan.to_fetch()),
        "findings": [f.facts() for f in plan.findings],
    }


def _bytes(packages: Mapping[Digest, int | None]) -> int | None:
    """The bytes of all of them; None where a lock doesn't tell the size of one."""
    known = [n for n in packages.values() if n is not None]
    return sum(known) if len(known) == len(packages) else None


def _fetching(packages: Mapping[Digest, int | None]) -> str:
    """Say how many, and how large: "3 packages, 41.2 MB", "at least" where a lock doesn't tell all sizes."""
    known = [n for n in packages.values() if n is not None]
    least = "" if len(known) == len(packages) else "at least "
    large = f", {least}{size(sum(known))}" if known else ", of unknown size"
    return f"{len(packages)} package{'s' if len(packages) != 1 else ''}{large}"


def plan_table(plan: Plan) -> None:
    """Print a row an environment: what runs there, and what must be done before."""
    table = plain_table("environment", "holds", "cells", "before it can run")
    for column in plan.environments:
        held = ", ".join(f"{k} {v}" for k, v in sorted(column.frameworks.items()))
        cells = ", ".join(f"{n} {f}" for f, n in plan.by_framework(column).items())
        if column.record is not None:
            before = "[green]nothing: it is in the archive[/green]"
        elif column.missing:
            before = f"fetch {_fetching(column.missing)}; build the image"
        else:
            before = f"build the image of {size(column.in_store)} of packages"
        table.add_row(escape(column.title), escape(held), cells or "–", before)
    out.print(table)
    builds = sum(c.record is None for c in plan.environments)
    fetch = plan.to_fetch()
    out.print(
        f"\n{len(plan.artifacts)} artifacts × {len(plan.environments)} environments: {plan.count()} cells"
        f" · {builds} to build" + (f" · {_fetching(fetch)} to fetch" if fetch else "")
    )
    for finding in plan.findings:
        out.print(f"[bold red]{finding.kind}[/bold red] {escape(finding.message)}")
