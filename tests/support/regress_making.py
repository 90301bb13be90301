"""Archives with several environments, and engines that answer in each of them as a script says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from support.archive_making import Y, publish

from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import ImageFacts
from timeproof.regression.executors.local import Local
from timeproof.regression.flow import regress
from timeproof.regression.journal import Journal
from timeproof.regression.plan import make_plan
from timeproof.regression.report import Cell, Report, ReportedArtifact, ReportedEnvironment
from timeproof.store.layout import Archive
from timeproof.testing.archives import IMAGE, publish_environment
from timeproof.testing.fake_engine import FakeEngine, answer, ended, result_frame, stream

HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
VERSIONS = ("3.3.5", "4.0.0", "4.7.0")


def years(root: Path, versions: Iterable[str] = VERSIONS, artifacts: int = 2) -> Archive:
    """Some LightGBM artifacts and an XGBoost one, an environment for each version of LightGBM."""
    archive = Archive(root)
    publish_environment(archive)
    for version in versions:
        publish_environment(archive, f"lightgbm-{version}", f"lightgbm-{version}")
    publish_environment(archive, "xgboost-3.2.0", "xgboost_cpu-3.2.0")
    for _ in range(artifacts):
        publish(archive, "lightgbm")
    publish(archive, "xgboost")
    return archive


def off(by: float) -> dict[str, Any]:
    """The recorded answer, off by so much."""
    return {"y": Y["y"] + by}


Answer = Mapping[str, Any] | str


def engine(
    answers: Callable[[str], Answer] = lambda _: Y, *, before: Callable[[str], None] = lambda _: None
) -> FakeEngine:
    """An engine whose containers answer each artifact with arrays, or end it with a status.

    Args:
        before: called with each artifact's id before it answers; may raise.
    """

    def script(job: dict[str, Any], _: Any) -> Any:
        frames = []
        for artifact in job["artifacts"]:
            before(artifact["id"])
            reply = answers(artifact["id"])
            frames.append(
                result_frame(artifact["id"], reply)
                if isinstance(reply, str)
                else answer(artifact["id"], reply)
            )
        return stream(*frames), ended()

    return FakeEngine(script, [HELD])


def cell(
    verdict: str | Verdict = "identical",
    artifact: str = "grid-size-8/lightgbm/v1",
    environment: str = "lightgbm-4.0.0-0123456789ab",
    **more: Any,
) -> Cell:
    fields: dict[str, Any] = {"reason": f"it is {verdict}", "profile": "portable", "answer": None}
    if Verdict(verdict).graded:
        fields["answer"] = f"{Verdict(verdict).severity:064x}"
    return Cell(artifact=artifact, environment=environment, verdict=Verdict(verdict), **(fields | more))


def broken() -> dict[str, Any]:
    return {"y": np.array([7.0, -7.0])}


LGB1, LGB2, XGB = "grid-size-8/lightgbm/v1", "grid-size-8/lightgbm/v2", "grid-size-8/xgboost/v1"


def run_regression(archive: Archive, fake: FakeEngine, out: Path, *, workers: int = 1, **how: Any) -> Report:
    """Plan and run a regression on this machine; `how` are the plan's and the journal's own arguments."""
    journal = Journal(out, resume=how.get("resume", False), again=how.get("again", False))
    try:
        plan = make_plan(archive, how.get("environments", ()), how.get("artifacts", ()))
        return regress(plan, Local(archive, lambda: fake, workers=workers), journal)
    finally:
        journal.close()


def verdicts_of(report: Report) -> dict[tuple[str, str], str]:
    """The verdict of each cell, by artifact and the environment's title."""
    titles = {e.name: e.title for e in report.environments}
    return {(c.artifact, titles[c.environment]): str(c.verdict) for c in report.cells}


LGB, OLD, NEW = "grid-size-8/lightgbm/v1", "lightgbm-3.3.5-0123456789ab", "lightgbm-4.0.0-0123456789ab"
TITLES = {OLD: "lightgbm-3.3.5", NEW: "lightgbm-4.0.0"}


def report(*cells: Cell, origin: str = "sealed") -> Report:
    """A report of one LightGBM artifact in two environments, of which the newer is its own."""

    def environment(name: str) -> ReportedEnvironment:
        more: dict[str, Any] = {"dated": None, "created": "", "manifest": "", "platform": ""}
        return ReportedEnvironment(name=name, title=TITLES[name], frameworks={}, packages={}, **more)

    row: dict[str, Any] = {
        "framework": "lightgbm",
        "framework_version": "4.0.0",
        "python": "3.11.7",
    }
    return Report(
        schema=1,
        toolkit="0",
        archive="a",
        artifacts=[ReportedArtifact(ref=LGB, profile="portable", created="", origin=origin, **row)],
        environments=[environment(OLD), environment(NEW)],
        cells=list(cells),
    )
