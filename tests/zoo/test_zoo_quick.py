"""A dozen models of the zoo, each against its user's own answer; all of them are `make zoo` (docs/zoo.md)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zoo_judging
import zoo_table
from zoo_case import Case, Made, cases_of
from zoo_running import Place, run

# Modules whose models need what the tests' own environment has, and nothing more.
MODULES = (
    "models_calls",
    "models_dtypes",
    "models_wrong",
    "models_programs",
    "models_xgboost",
    "models_lightgbm",
    "models_onnx",
)
pytest.importorskip("torch")  # the modules are imported by their names
QUICK = [case for case in cases_of(MODULES).values() if case.quick]


@pytest.fixture(scope="module")
def place(sealed, tmp_path_factory) -> Place:
    """An archive of one's own, with the environment of the tests."""
    from support.archive_making import copy_archive

    folder = tmp_path_factory.mktemp("zoo")
    return Place(folder, copy_archive(sealed.root, folder / "archive"), folder)


@pytest.mark.container
@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_what_is_sealed_is_the_users_own_answer(case: Case, place: Place, sealed) -> None:
    row = run(case, place, sealed.environment)
    assert row["ok"], f"must be {case.expected}; {zoo_table.outcome(row)} {zoo_table.distance(row)}"


def nothing() -> Made:
    raise AssertionError("this model is not made here")


CASE = Case("one", "trees", "models_xgboost", "", nothing, sealed=True, words=(), quick=False)
SEALED = {"status": "sealed", "verdict": "drift"}
REFUSED = {"status": "refused", "message": "a hook\nchanges the answer", "advice": "remove it"}


@pytest.mark.parametrize(
    ("sealed", "words", "row", "ok"),
    [
        (True, (), SEALED, True),
        (True, (), {**SEALED, "verdict": "outliers"}, False),
        (True, (), {**SEALED, "verdict": "broken"}, False),
        (False, ("hook",), SEALED, False),
        (True, (), REFUSED, False),
        (False, ("hook",), REFUSED, True),
        (False, ("remove",), REFUSED, True),
        (False, ("buffer",), REFUSED, False),
        (False, ("",), REFUSED, True),
        (True, ("hook",), REFUSED, True),
        (True, ("hook",), {"status": "crashed", "message": "signal 11"}, False),
    ],
)
def test_a_row_is_as_it_must_be_only_where_its_model_came_to_what_it_must(sealed, words, row, ok) -> None:
    case = replace(CASE, sealed=sealed, words=words)
    assert zoo_judging.as_expected(case, row) is ok


def test_answers_are_held_against_outputs_by_name_and_else_by_place() -> None:
    one = np.zeros(1)
    sealed = {"predict_proba": one, "margin": one}
    assert zoo_judging.matched(["predict_proba"], sealed) == ["predict_proba"]
    assert zoo_judging.matched([""], sealed) == ["predict_proba"]
    assert zoo_judging.matched(["", ""], sealed) == ["predict_proba", None]
    assert zoo_judging.matched(["b", "a"], {"a": one, "b": one}) == ["b", "a"]


def test_a_model_whose_process_dies_is_a_row(tmp_path) -> None:
    lost = replace(CASE, name="absent", module="models_nowhere")
    row = run(lost, Place(tmp_path, tmp_path / "archive", tmp_path), "nowhere")
    assert row["status"] == "crashed"
    assert "models_nowhere" in row["message"]
    assert not row["ok"]


def test_the_table_stands_between_its_markers(tmp_path) -> None:
    page = tmp_path / "zoo.md"
    page.write_text(f"# Zoo\n\n{zoo_table.BEGIN}\nold\n{zoo_table.END}\nthe end\n")
    facts = {"name": "one", "about": "a|b", "group": "trees", "ok": True, "sulp": 3.21, "relative": 2e-7}
    rows = [{**facts, **SEALED}, {**facts, **REFUSED, "name": "two", "ok": False}]
    zoo_table.write(page, rows)
    text = page.read_text()
    assert "2 models: 1 drift, 1 refused. 1 came to what they must." in text
    assert "| one | a\\|b | sealed, drift | 3.21 sULP, 2.0e-07 |" in text
    assert "**not as it must be:** refused: a hook |" in text
    assert text.startswith("# Zoo\n")
    assert text.endswith("the end\n")
    assert "old" not in text
