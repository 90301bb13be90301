"""Reports on their way to files and to stdout. Makes none of them itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from timeproof.base import atomic
from timeproof.regression.report import Report
from timeproof.regression.reports.registry import BY_DEFAULT, Target, targets_of


def write_reports(report: Report, targets: Sequence[Target]) -> list[Path]:
    """Make and write every report: each file is whole, or as it was before. Give the files' paths.

    Where `GITHUB_STEP_SUMMARY` names a file, the Markdown summary is appended to it, too.

    Raises StorageFailed.
    """
    paths = []
    for target in targets:
        data = target.format.render(report)
        if target.path is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            with atomic.storage(target.path):
                target.path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(target.path, data)
            paths.append(target.path)
        if target.format.name == "markdown":
            _append_to_step_summary(data)
    return paths


def targets_by_default(folder: Path) -> list[Target]:
    """What a regression writes where no report is named: one file of each form, in `folder`."""
    return targets_of(BY_DEFAULT, folder)


def _append_to_step_summary(data: bytes) -> None:
    if step := os.environ.get("GITHUB_STEP_SUMMARY"):
        with atomic.storage(Path(step)), open(step, "ab") as stream:
            stream.write(data)
