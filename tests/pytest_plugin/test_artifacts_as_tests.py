"""`pytest --timeproof-archive`: each artifact a test, those of one environment in one container."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as XML

import numpy as np
import pytest
from support.archive_making import Y, break_hard_link, flip, reseal
from support.paths import child_environment

from timeproof.base.digests import Digest
from timeproof.engines import docker
from timeproof.engines.protocol import ImageFacts
from timeproof.errors import EngineMissing
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.testing.archives import ENVIRONMENT, IMAGE
from timeproof.testing.fake_engine import FakeEngine, answer, answering, ended, result_frame, stream

pytest_plugins = "pytester"

HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
A, B = "grid-size-8/xgboost/v1", "grid-size-12/pytorch/v1"
NEAR = {"y": np.nextafter(Y["y"], 2)}


def test_every_artifact_is_a_test_and_what_brings_source_has_a_container_of_its_own(run) -> None:
    result, fake = run("-v")
    result.assert_outcomes(passed=2)
    asked = [[artifact["id"] for artifact in job["artifacts"]] for job in fake.jobs]
    assert sorted(asked) == [[B], [A]]
    result.stdout.fnmatch_lines(
        [
            f"*timeproof::{ENVIRONMENT}::{A} PASSED*",
            f"*timeproof::{ENVIRONMENT}::{B} PASSED*",
        ]
    )
    result.stdout.fnmatch_lines(
        ["collecting * collected 2 items", f"timeproof: replaying 2 in {ENVIRONMENT}"]
    )


def test_a_failure_says_what_differs_and_how_to_see_it_again(run, small) -> None:
    result, _ = run(script=answering({A: NEAR, B: Y}))
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            f"{A}: rounding (identical is allowed): differs by * sULP *",
            "  output 'y': rounding: at most 32 sULP of rounding; *",
            f"reproduce: timeproof replay {A} --archive {small.root}",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_what_is_allowed_passes(run) -> None:
    result, _ = run("--timeproof-allow", "rounding", script=answering({A: NEAR, B: Y}))
    result.assert_outcomes(passed=2)


def test_a_crash_shows_the_models_own_words(run) -> None:
    crashed = result_frame(B, "crashed", signal=11, log="Segmentation fault\nin libtree.so")

    def script(job: dict[str, Any], _: Any) -> tuple[bytes, Any]:
        alone = [artifact["id"] for artifact in job["artifacts"]] == [B]
        return stream(crashed if alone else answer(A, Y)), ended()

    result, _ = run("--timeproof-allow", "broken", script=script)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"{B}: crashed *signal 11*", "  | Segmentation fault", "  | in libtree.so"])


def test_an_altered_artifact_fails_and_the_others_go_on(run, small) -> None:
    flip(small.root / "grid-size-8/xgboost/metadata_xgb_v1.json")
    result, fake = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"{A}: altered *metadata_xgb_v1.json*", "  what to do: *"])
    assert [[a["id"] for a in job["artifacts"]] for job in fake.jobs] == [[B]]


def test_only_the_chosen_artifacts_run(run) -> None:
    for words in (["-k", "xgboost"], ["--timeproof-artifact", "*/xgboost/*"], ["--timeproof-artifact", A]):
        result, fake = run(*words)
        assert result.parseoutcomes()["passed"] == 1
        assert [[a["id"] for a in job["artifacts"]] for job in fake.jobs] == [[A]]


def test_the_first_failure_can_be_the_last(run) -> None:
    result, _ = run("-x", script=answering({A: NEAR, B: NEAR}))
    result.assert_outcomes(failed=1)


def test_they_run_beside_other_tests_and_can_be_told_from_them(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    assert run()[0].parseoutcomes() == {"passed": 3}
    result, fake = run("-m", "timeproof")
    assert result.parseoutcomes() == {"passed": 2, "deselected": 1}
    result, fake = run("-m", "not timeproof")
    assert result.parseoutcomes() == {"passed": 1, "deselected": 2}
    assert fake.calls == []


def test_junit_xml_names_environment_artifact_and_verdict(run, pytester: pytest.Pytester) -> None:
    run("--junitxml", "junit.xml", script=answering({A: NEAR, B: Y}))
    cases = {
        case.get("name"): case
        for case in XML.fromstring((pytester.path / "junit.xml").read_bytes()).iter("testcase")
    }
    assert {case.get("classname") for case in cases.values()} == {f"timeproof.{ENVIRONMENT}"}
    found = {
        name: {p.get("name"): p.get("value") for p in case.iter("property")} for name, case in cases.items()
    }
    assert {name: told["verdict"] for name, told in found.items()} == {A: "rounding", B: "identical"}
    failure = cases[A].find("failure")
    assert failure is not None
    assert "rounding (identical is allowed)" in (failure.text or "")


def test_the_plan_can_be_seen_without_running_it(run) -> None:
    result, fake = run("--collect-only", "-q")
    result.stdout.fnmatch_lines([f"timeproof::{ENVIRONMENT}::{A}", f"timeproof::{ENVIRONMENT}::{B}"])
    assert fake.calls == []


def test_no_engine_fails_each_test_with_what_to_do(pytester, small, monkeypatch) -> None:
    asked = []

    def missing() -> None:
        asked.append(1)
        raise EngineMissing("no container engine answers", advice="run 'make engine'")

    monkeypatch.setattr(docker, "connect", missing)
    result = pytester.runpytest_inprocess("--timeproof-archive", str(small.root))
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines([f"{A}: no container engine answers", "what to do: run 'make engine'"])
    assert asked == [1]


def test_an_archive_at_an_address_is_replayed(pytester, small, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fake = FakeEngine(answering({A: Y, B: {"y": Y["y"] * 2}}), [HELD])
    monkeypatch.setattr(docker, "connect", lambda: fake)
    address = f"file://{small.root}"
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--timeproof-archive", address)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"reproduce: timeproof replay {B} --archive {address}"])
    assert (tmp_path / "cache/timeproof/remote").is_dir()


CONFTEST = """
from support.archive_making import Y
from timeproof.testing.archives import IMAGE
from timeproof.testing.fake_engine import FakeEngine, answering
from timeproof.engines import docker as containers
from timeproof.engines.protocol import ImageFacts

def connect():
    open("connected", "a").write("once\\n")
    held = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
    return FakeEngine(answering({{{a!r}: Y, {b!r}: Y}}), [held])

containers.connect = connect
"""


@pytest.mark.slow
def test_xdist_gives_an_environment_to_one_worker(
    pytester: pytest.Pytester, small: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", child_environment()["PYTHONPATH"])
    pytester.makeconftest(CONFTEST.format(a=A, b=B))
    pytester.makepyfile("def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass")
    words = ["-m", "pytest", "-n", "2", "--timeproof-archive", str(small.root)]
    result = pytester.run(sys.executable, *words, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=5)
    assert (pytester.path / "connected").read_text() == "once\n"


def test_without_the_option_nothing_happens_and_nothing_is_imported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_other(request):
            assert request.config.option.timeproof_archive is None
            ours = {name for name in sys.modules if name.partition(".")[0] == "timeproof"}
            rooms = {name.split(".")[1] for name in ours if "." in name}
            assert rooms <= {"api", "base", "errors", "pytest_plugin", "store", "version"}
            assert "timeproof.pytest_plugin.items" not in ours
            assert not {"numpy", "pydantic", "docker", "typer", "yaml", "jinja2"} & set(sys.modules)
            assert not any("timeproof" in line for line in request.config.getini("markers"))
        """
    )
    # A process of its own: this one has imported everything.
    result = pytester.run(
        sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=1)


@pytest.mark.container
def test_a_real_archive_is_replayed_by_two_workers(sealed, started, tmp_path: Path) -> None:
    """xdist gives an environment to one worker, so that there is one container for the four artifacts."""
    words = [sys.executable, "-m", "pytest", "-v", "-n", "2", "--timeproof-archive", str(sealed.root)]
    done = subprocess.run(
        [*words, "--junitxml", "junit.xml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases = list(XML.fromstring((tmp_path / "junit.xml").read_bytes()).iter("testcase"))
    assert sorted(str(c.get("name")) for c in cases) == sorted(sealed.refs)
    workers = {line.split("]")[0] for line in done.stdout.splitlines() if "PASSED" in line}
    assert len(workers) == 1


@pytest.mark.container
def test_a_real_artifact_with_another_answer_fails(sealed, copy_of, pytester: pytest.Pytester) -> None:
    archive = copy_of(sealed)
    ref = archive.locate("grid-size-3/xgboost")
    record_another_answer(archive, ref)
    result = pytester.runpytest_inprocess("--timeproof-archive", str(archive.root))
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines([f"{ref}: broken (identical is allowed): *"])


def record_another_answer(archive: Archive, ref: Ref) -> None:
    """Twice every recorded output, with checksums to match: as if the container answered otherwise now."""
    metadata = read_metadata(archive, ref)
    path = archive.root / ref.folder / metadata.file("reference").path
    with path.open("rb") as stream:
        inputs = reference.read(stream, metadata.inputs, path)
        outputs = reference.read(stream, metadata.outputs, path)
    other = {name: array * 2 for name, array in outputs.items()}
    made = io.BytesIO()
    reference.write(made, input=inputs, output=other)
    break_hard_link(path).write_bytes(made.getvalue())

    def edit(document: dict[str, Any]) -> None:
        document["outputs"] = [s.model_dump(mode="json") for s in reference.specs_of("output", other)]
        document["witnesses"] = []  # which would be asked, and are of the old answer
        (entry,) = (f for f in document["files"] if f["role"] == "reference")
        entry.update(size=len(made.getvalue()), sha256=Digest.of(made.getvalue()).hex)

    reseal(archive.root / ref.metadata, edit)
