"""Tree models of a third party, run by the real probe: answers found again, and what harms contained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import local_probe
import numpy as np
import pytest
import tiny_models
from archive_making import ENVIRONMENT, copy_archive
from faking import FakeEngine

from timeproof.archive.layout import Archive, Ref
from timeproof.archive.verify import read_metadata
from timeproof.importing.importing import Request, import_models
from timeproof.limits import LIMITS
from timeproof.replay.judging import judge_outcome, task_of
from timeproof.replay.outcome import Outcome
from timeproof.replay.probing import run_probe
from timeproof.replay.profile import profile_named
from timeproof.replay.verdict import Verdict

pytest.importorskip("lightgbm")
pytest.importorskip("xgboost")


@pytest.fixture(scope="module")
def verdicts(_small, tmp_path_factory) -> dict[str, tuple[Verdict, str]]:
    """What replays of good and harmful imports found, by the file's name; one probe runs them all."""
    folder = tmp_path_factory.mktemp("trees")
    archive = Archive(copy_archive(_small, folder / "archive"))
    rows = tiny_models.ROWS.astype(np.float64)
    np.save(folder / "x.npy", rows)
    leaves, _ = tiny_models.leaves()
    forest, _ = tiny_models.forest()
    leaves.booster_.save_model(folder / "good.txt")
    text = (folder / "good.txt").read_text()
    (folder / "half.txt").write_text(text[: len(text) // 2])
    (folder / "loop.txt").write_text(text.replace("left_child=", "left_child=0 ", 1))
    np.savez(folder / "leaves.npz", raw_score=leaves.booster_.predict(rows, raw_score=True))
    np.savetxt(folder / "off.csv", leaves.booster_.predict(rows) + 0.25, delimiter=",")
    forest.get_booster().save_model(folder / "good.ubj")
    np.save(folder / "forest.npy", forest.predict_proba(rows))
    given = [("half.txt", "leaves.npz"), ("loop.txt", "leaves.npz"), ("good.txt", "leaves.npz")]
    given += [("good.txt", "off.csv"), ("good.ubj", "forest.npy")]
    refs: dict[str, Ref] = {}
    for model, answers in given:
        request = Request(folder / model, 5, ENVIRONMENT, folder / "x.npy", folder / answers)
        (refs[f"{model} {answers}"],) = import_models(archive, request, lambda: pytest.fail("an engine")).refs
    names = {str(ref): name for name, ref in refs.items()}
    found: dict[str, tuple[Verdict, str]] = {}

    def judge(outcome: Outcome) -> None:
        ref = Ref.parse(outcome.id)
        one = judge_outcome(archive, ref, read_metadata(archive, ref), outcome)
        found[names[outcome.id]] = one.verdict, one.reason

    run_probe(
        FakeEngine(local_probe.run),
        "sha256:x",
        [task_of(archive, ref, read_metadata(archive, ref)) for ref in refs.values()],
        profile_named("portable"),
        limits=replace(LIMITS, artifact_seconds=20.0),
        on_outcome=judge,
    )
    return found


@pytest.mark.parametrize("name", ["good.txt leaves.npz", "good.ubj forest.npy"])
def test_a_third_partys_answers_are_found_again(verdicts, name):
    assert verdicts[name][0] is Verdict.identical, verdicts[name]


def test_answers_that_are_not_the_models_are_broken(verdicts):
    assert verdicts["good.txt off.csv"][0] is Verdict.broken


def test_half_a_file_ends_its_own_process_and_no_other(verdicts):
    assert verdicts["half.txt leaves.npz"][0] in {Verdict.crashed, Verdict.refused}


def test_a_file_that_was_tampered_with_is_that_artifacts_verdict(verdicts):
    assert not verdicts["loop.txt leaves.npz"][0].allowed_by(Verdict.rounding)


def test_the_file_itself_is_kept_to_the_byte(small, tmp_path):
    model, rows = tiny_models.forest()
    path = Path(tmp_path, "m.json")
    model.get_booster().save_model(path)
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "y.npy", model.predict_proba(rows))
    request = Request(path, 5, ENVIRONMENT, tmp_path / "x.npy", tmp_path / "y.npy")
    (ref,) = import_models(small, request, lambda: pytest.fail("an engine")).refs
    kept = small.root / ref.folder / read_metadata(small, ref).model.file
    assert kept.read_bytes() == path.read_bytes()
