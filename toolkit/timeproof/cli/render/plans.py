"""How a regression's plan looks in a terminal. Values go in, text comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from timeproof.base.digests import Digest
from timeproof.cli.console import out, size
from timeproof.cli.render.shapes import rows_under
from timeproof.regression.plan import Plan


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
    """The bytes of all packages; None where a lock gives no size for one."""
    sizes = [n for n in packages.values() if n is not None]
    return sum(sizes) if len(sizes) == len(packages) else None


def _fetching(packages: Mapping[Digest, int | None]) -> str:
    """Say how many packages, and how large: "3 packages, 41.2 MB"; "at least" where a size is unknown."""
    sizes = [n for n in packages.values() if n is not None]
    least = "" if len(sizes) == len(packages) else "at least "
    total = f", {least}{size(sum(sizes))}" if sizes else ", of unknown size"
    return f"{len(packages)} package{'s' if len(packages) != 1 else ''}{total}"


def plan_table(plan: Plan) -> None:
    """Print a row for each environment: the cells that run there, and what must be done before."""
    table = rows_under("environment", "holds", "cells", "before it can run")
    for environment in plan.environments:
        frameworks = ", ".join(f"{k} {v}" for k, v in sorted(environment.frameworks.items()))
        cells = ", ".join(f"{n} {f}" for f, n in plan.by_framework(environment).items())
        if environment.record is not None:
            before = "[green]nothing: it is in the archive[/green]"
        elif environment.missing:
            before = f"fetch {_fetching(environment.missing)}; build the image"
        else:
            before = f"build the image of {size(environment.in_store)} of packages"
        table.add_row(escape(environment.title), escape(frameworks), cells or "–", before)
    out.print(table)
    builds = sum(c.record is None for c in plan.environments)
    fetch = plan.to_fetch()
    out.print(
        f"\n{len(plan.artifacts)} artifacts × {len(plan.environments)} environments: {plan.count()} cells"
        f" · {builds} to build" + (f" · {_fetching(fetch)} to fetch" if fetch else "")
    )
    for finding in plan.findings:
        out.print(f"[bold red]{finding.kind}[/bold red] {escape(finding.message)}")
