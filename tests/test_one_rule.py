"""One rule of passing, by every door: the command `replay`, the command `regress`, the plugin, the API.

All artifacts stand in one archive: each native answer with each witness. Each door replays them all on the
CPU that they were sealed on and on another one, under several options. Of each artifact the four must say
what the table says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as XML

import numpy as np
import pytest
from support.witness_making import NATIVE, WIDE, publish
from typer.testing import CliRunner

import timeproof
from timeproof.cli.main import make_app
from timeproof.compare.verdict import Verdict
from timeproof.engines import docker
from timeproof.engines.protocol import ImageFacts
from timeproof.regression.report import Report
from timeproof.store.layout import Archive
from timeproof.store.schema.v1 import EnvironmentRef
from timeproof.testing.archives import IMAGE, publish_environment
from timeproof.testing.fake_engine import FakeEngine, answer, ended, frame, result_frame, stream

pytest_plugins = "pytester"

HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
Y = NATIVE["y"]
ANSWERS: dict[str, Any] = {
    "identical": Y,
    "rounding": np.nextafter(Y, np.float32(1)),
    "drift": Y * np.float32(1 + 6e-5),
    "outliers": Y * np.float32(1 + 6e-4),
    "broken": Y[::-1].copy(),
    "refused": None,
}
WITNESSES = ("none", "margin holds", "margin differs", "float64 holds", "float64 differs")


@dataclass(frozen=True, slots=True)
class Case:
    """One artifact: what it answers natively, and what its witness does."""

    verdict: str
    witness: str

    def outputs(self, kind: str | None) -> dict[str, Any] | None:
        """What it answers natively (`kind` None) or as a witness; None where it is refused."""
        if kind is not None:
            return {n: np.nextafter(a, np.float32(9)) for n, a in WIDE.items()} if self.differs else WIDE
        if self.verdict == "refused":
            return None
        margin = NATIVE["margin"]
        return {
            "y": ANSWERS[self.verdict],
            "margin": np.nextafter(margin, np.float32(9)) if self.witness == "margin differs" else margin,
        }

    @property
    def differs(self) -> bool:
        return self.witness.endswith("differs")

    def passes(self, *, other_cpu: bool, allow: str, strict: bool) -> bool:
        """The table: what docs/numerics.md says, in plain comparisons."""
        order = ["identical", "rounding", "drift", "outliers", "broken"]
        if self.verdict == "refused":
            return False
        if order.index(self.verdict) <= order.index(allow):
            return True
        same_answer = self.verdict in ("rounding", "drift")
        return self.witness.endswith("holds") and other_cpu and same_answer and not strict


CASES = [
    Case(verdict, witness)
    for verdict in ANSWERS
    for witness in WITNESSES
    if not (verdict == "identical" and witness == "margin differs")  # which would not be identical
]


@dataclass(frozen=True, slots=True)
class Shelf:
    archive: Archive
    environment: str
    cases: dict[str, Case]  # by artifact


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    archive = Archive(tmp_path_factory.mktemp("rule") / "archive")
    record = publish_environment(archive, "xgboost-3.2.0", "xgboost_cpu-3.2.0")
    own = EnvironmentRef(name=record.folder, lock_sha256=record.lock_sha256, image=record.image)
    cases = {}
    for case in CASES:
        kinds = [] if case.witness == "none" else [case.witness.split()[0]]
        cases[str(publish(archive, *kinds, framework="xgboost", environment=own))] = case
    return Shelf(archive, record.folder, cases)


@pytest.fixture(params=[False, True], ids=["same CPU", "another CPU"])
def other_cpu(request: pytest.FixtureRequest, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the engine stands on another CPU than the artifacts were sealed on."""
    machine = {"cpu": "another CPU" if request.param else "a CPU"}
    hello = frame({"kind": "hello", "contract": 1, "python": "3.11.7", "machine": machine})

    def script(job: dict[str, Any], _: Any) -> tuple[bytes, Any]:
        frames = []
        for artifact in job["artifacts"]:
            outputs = shelf.cases[artifact["id"]].outputs(artifact["witness"])
            frames.append(
                result_frame(artifact["id"], "refused")
                if outputs is None
                else answer(artifact["id"], outputs)
            )
        return hello + stream(*frames)[len(stream(done=False)) :], ended()

    fake = FakeEngine(script, [HELD])
    monkeypatch.setattr(docker, "connect", lambda: fake)
    for name in ("TIMEPROOF_ENGINE", "TIMEPROOF_REGISTRY", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return bool(request.param)


SETTINGS = [
    ("identical", False),
    ("identical", True),
    ("rounding", False),
    ("drift", True),
    ("broken", False),
]
# `regress` says from which verdict on a cell fails, `replay` which one still passes.
FAIL_ON = {"identical": "rounding", "rounding": "drift", "drift": "outliers", "broken": "refused"}


def by_replay(shelf: Shelf, allow: str, strict: bool, folder: Path) -> dict[str, bool]:
    words = ["replay", "--all", "--archive", str(shelf.archive.root), "--allow", allow, "--json"]
    words += ["--report", f"json:{folder}/replay.json", *(["--strict"] if strict else [])]
    done = CliRunner().invoke(make_app(["replay"]), words)
    passed = json.loads(done.stdout)["passed"]
    assert done.exit_code == (0 if passed else 1)
    report = Report.parse((folder / "replay.json").read_bytes(), folder)
    assert report.passed == passed
    return {cell.artifact: not cell.fails for cell in report.cells}


def by_regress(shelf: Shelf, allow: str, strict: bool, folder: Path) -> dict[str, bool]:
    words = ["regress", str(shelf.archive.root), "--env", shelf.environment, "--out", str(folder / "out")]
    words += ["--report", "json", "--workers", "1", *(["--strict"] if strict else [])]
    words += [] if allow == "identical" else ["--fail-on", FAIL_ON[allow]]
    done = CliRunner().invoke(make_app(["regress"]), words)
    report = Report.parse((folder / "out/report.json").read_bytes(), folder)
    assert done.exit_code == (0 if report.passed else 1), done.output
    return {cell.artifact: not cell.fails for cell in report.cells}


def by_plugin(
    shelf: Shelf, allow: str, strict: bool, pytester: pytest.Pytester, folder: Path
) -> dict[str, bool]:
    words = ["--timeproof-archive", str(shelf.archive.root), "--timeproof-allow", allow, "-q", "--tb=no"]
    words += ["--timeproof-strict"] if strict else []
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--junitxml", str(folder / "junit.xml"), *words)
    cases = XML.fromstring((folder / "junit.xml").read_bytes()).iter("testcase")
    return {str(case.get("name")): case.find("failure") is None for case in cases}


def by_api(shelf: Shelf, allow: str, strict: bool) -> dict[str, bool]:
    result = timeproof.replay(root=shelf.archive.root)
    passes = {str(r.ref): r.passes(Verdict(allow), strict=strict) for r in result.replayed}
    assert result.passes(Verdict(allow), strict=strict) is all(passes.values())
    return passes


@pytest.mark.parametrize(("allow", "strict"), SETTINGS)
def test_every_door_keeps_the_one_rule(shelf, other_cpu, allow, strict, pytester, tmp_path):
    expected = {
        name: case.passes(other_cpu=other_cpu, allow=allow, strict=strict)
        for name, case in shelf.cases.items()
    }
    assert len(set(expected.values())) == 2
    doors = {
        "replay": by_replay(shelf, allow, strict, tmp_path),
        "regress": by_regress(shelf, allow, strict, tmp_path),
        "plugin": by_plugin(shelf, allow, strict, pytester, tmp_path),
        "API": by_api(shelf, allow, strict),
    }
    for door, passes in doors.items():
        wrong = {str(shelf.cases[name]): passes[name] for name in expected if passes[name] != expected[name]}
        assert wrong == {}, f"{door} says otherwise"


def test_the_verdicts_are_those_that_the_table_names(shelf, other_cpu):
    result = timeproof.replay(root=shelf.archive.root)
    assert {str(r.ref): str(r.verdict) for r in result.replayed} == {
        name: case.verdict for name, case in shelf.cases.items()
    }
