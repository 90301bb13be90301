"""Tree models of a third party, run by the real probe: answers found again, and what harms contained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import tiny_models
from support.archive_making import copy_archive

from timeproof.base.limits import LIMITS
from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest, NotImportable
from timeproof.importing.flow import Request, import_models
from timeproof.replaying.grading import judge_outcome, task_of
from timeproof.runs.container_run import run_probe
from timeproof.runs.probe_stream import Outcome
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.testing import local_probe
from timeproof.testing.archives import ENVIRONMENT
from timeproof.testing.fake_engine import FakeEngine

pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")


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
    booster, data = forest.get_booster(), xgboost.DMatrix(rows)
    np.savez(
        folder / "two.txt.npz",
        predict=leaves.booster_.predict(rows, num_iteration=2),
        leaf=leaves.booster_.predict(rows, num_iteration=2, pred_leaf=True),
    )
    np.savez(
        folder / "two.ubj.npz",
        predict=booster.predict(data, iteration_range=(0, 2)),
        leaf=booster.predict(data, iteration_range=(0, 2), pred_leaf=True).astype(np.int64),
    )
    given += [("good.txt", "two.txt.npz"), ("good.ubj", "two.ubj.npz")]
    refs: dict[str, Ref] = {}
    for model, answers in given:
        trees = 2 if "two" in answers else None
        request = Request(folder / model, 5, ENVIRONMENT, folder / "x.npy", folder / answers, trees=trees)
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


@pytest.mark.parametrize(
    "name",
    [
        *("good.txt leaves.npz", "good.ubj forest.npy"),
        *("good.txt two.txt.npz", "good.ubj two.ubj.npz"),  # two rounds of three, and their leaves
    ],
)
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


@pytest.mark.parametrize(("trees", "why"), [(0, "the number of boosting rounds must be 1 or more")])
def test_a_number_of_trees_that_is_none_is_refused(small, tmp_path, trees, why):
    model, rows = tiny_models.leaves()
    model.booster_.save_model(tmp_path / "m.txt")
    np.save(tmp_path / "x.npy", rows)
    request = Request(tmp_path / "m.txt", 5, ENVIRONMENT, tmp_path / "x.npy", tmp_path / "x.npy", trees=trees)
    with pytest.raises(BadRequest, match=why):
        import_models(small, request, lambda: pytest.fail("an engine"))


def imported(archive, folder, *, answers, columns="", trees=None):
    """Import an XGBoost model of three rounds with these answers; the notes, and the metadata."""
    model, rows = tiny_models.forest()
    model.get_booster().save_model(folder / "m.json")
    np.savetxt(folder / "x.csv", rows, delimiter=",", header=columns, comments="", fmt="%.9g")
    np.savez(folder / "y.npz", **answers(model, rows))
    request = Request(folder / "m.json", 5, ENVIRONMENT, folder / "x.csv", folder / "y.npz", trees=trees)
    done = import_models(archive, request, lambda: pytest.fail("an engine"))
    return done.notes, read_metadata(archive, done.refs[0])


def test_answers_in_a_wider_dtype_are_kept_in_the_models_where_no_value_is_lost(small, tmp_path):
    notes, metadata = imported(
        small, tmp_path, answers=lambda m, rows: {"predict": m.predict_proba(rows).astype("f8")}
    )
    assert notes == ("the answer predict is kept as float32, not float64: every value is the same",)
    assert metadata.outputs[0].dtype == "<f4"
    assert metadata.notes[0] == notes[0]


def test_answers_that_the_models_dtype_does_not_hold_stay_as_they_are_and_it_is_said(small, tmp_path):
    notes, metadata = imported(
        small, tmp_path, answers=lambda m, rows: {"predict": m.predict_proba(rows) + np.float64(1e-9)}
    )
    assert "graded by value" in notes[0]
    assert metadata.outputs[0].dtype == "<f8"


def test_with_a_number_of_rounds_nothing_says_that_all_trees_answer(small, tmp_path):
    notes, metadata = imported(
        small, tmp_path, answers=lambda m, rows: {"leaf": m.apply(rows)[:, :6]}, trees=2
    )
    assert metadata.notes == list(notes) == ["the answers are those of the first 2 boosting rounds"]
    assert metadata.model.options["iteration_range"] == [0, 2]


def test_the_names_of_an_inputs_columns_are_kept(small, tmp_path):
    answers = lambda m, rows: {"predict": m.predict_proba(rows)}  # noqa: E731 - one line, twice
    _, metadata = imported(small, tmp_path, answers=answers, columns="a,b,c,d")
    assert metadata.model.signature == {"features": [{"name": name} for name in "abcd"]}


@pytest.mark.parametrize("suffix", [".json", ".txt"])
def test_columns_in_another_order_than_the_models_features_are_refused(small, tmp_path, suffix):
    pandas = pytest.importorskip("pandas")
    model, rows = tiny_models.leaves() if suffix == ".txt" else tiny_models.forest()
    frame = pandas.DataFrame(rows, columns=["price", "qty", "age", "size"])
    model.fit(frame, tiny_models.LABELS)
    path = tmp_path / f"m{suffix}"
    (model.get_booster() if suffix == ".json" else model.booster_).save_model(path)
    np.save(tmp_path / "y.npy", model.predict_proba(frame))
    for name, table in (("good", frame), ("bad", frame[["qty", "price", "age", "size"]])):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    told = Request(path, 5, ENVIRONMENT, tmp_path / "bad.csv", tmp_path / "y.npy")
    with pytest.raises(
        NotImportable, match="columns are qty, price, age, size; the model's features are price"
    ):
        import_models(small, told, lambda: pytest.fail("an engine"))
    done = import_models(small, replace(told, inputs=tmp_path / "good.csv"), lambda: pytest.fail("an engine"))
    assert [f["name"] for f in read_metadata(small, done.refs[0]).model.signature["features"]] == [*frame]
