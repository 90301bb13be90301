"""CatBoost models come back bit for bit from every kind of table, and what can't is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from support.roundtrip import Both, Case, both_sides, save

catboost = pytest.importorskip("catboost")

from support import catboost_models  # noqa: E402
from support.catboost_models import CLASSES, HOW, REAL, mixed, numeric, regressor, table_of_words  # noqa: E402

from timeproof.errors import NotArchivable  # noqa: E402
from timeproof.frameworks import SaveOptions, adapter_for, read_inputs  # noqa: E402
from timeproof.frameworks.catboost import CatBoostOptions  # noqa: E402

WITHOUT = SaveOptions(CatBoostOptions(format="cbm", onnx=False))
ROWS = catboost_models.numeric_rows()
DRAW = np.random.default_rng(3)
NUMBERS = DRAW.normal(size=(240, 5)).astype(np.float32)


def fitted(loss: str, target: Any, kind: str = "CatBoostRegressor") -> Any:
    return getattr(catboost, kind)(loss_function=loss, **HOW).fit(NUMBERS, target)


def ranker() -> Any:
    pool = catboost.Pool(NUMBERS, REAL, group_id=np.arange(240) // 12)
    return catboost.CatBoostRanker(loss_function="QueryRMSE", **HOW).fit(pool)


def embedded() -> tuple[Any, Any]:
    vectors = DRAW.random((120, 4)).astype(np.float32)
    table = pd.DataFrame({"age": DRAW.random(120), "place": list(vectors)})
    model = catboost.CatBoostClassifier(embedding_features=["place"], **HOW)
    return model.fit(table, (vectors[:, 0] > 0.5).astype(int)), table.head(9)


def sparse() -> tuple[Any, Any]:
    matrix = scipy.sparse.random(120, 5, 0.4, "csr", random_state=0)
    return catboost.CatBoostRegressor(**HOW).fit(matrix, REAL[:120]), matrix


def cases() -> dict[str, Case]:
    words, table = mixed()
    model, rows = numeric()
    named = pd.DataFrame(NUMBERS, columns=list("abcde"))
    by_name = catboost.CatBoostClassifier(**HOW).fit(named, CLASSES)
    integers = DRAW.integers(0, 5, (240, 2))
    coded = catboost.CatBoostClassifier(cat_features=[0], **HOW).fit(integers, integers[:, 0] > 2)
    asked = {
        "regressor": regressor(),
        "ranker": (ranker(), ROWS),
        "plain": (catboost.train(catboost.Pool(NUMBERS, REAL), {**HOW, "loss_function": "RMSE"}), ROWS),
        "two targets": (fitted("MultiRMSE", NUMBERS[:, :2]), ROWS),
        "uncertain": (fitted("RMSEWithUncertainty", REAL), ROWS),
        "counts": (fitted("Poisson", np.abs(np.round(REAL))), ROWS),
        "labels": (fitted("MultiLogloss", (NUMBERS[:, :3] > 0).astype(int), "CatBoostClassifier"), ROWS),
        "booleans": (fitted("Logloss", NUMBERS[:, 0] > 0, "CatBoostClassifier"), ROWS),
        "words": (words, table),
        "words in rows": (words, table.astype({"floor": int}).to_numpy(dtype=object)),
        "polars": (by_name, pl.DataFrame({name: NUMBERS[:9, k] for k, name in enumerate("abcde")})),
        "columns by name": (by_name, named[list("edcba")].head(9)),
        "nullable": (by_name, named.head(9).astype("Float32")),
        "pool": (model, catboost.Pool(rows)),
        "named pool": (by_name, catboost.Pool(named.head(9))),
        "doubles": (model, rows.astype(np.float64)),
        "whole categories": (coded, integers[:9]),
        "embeddings": embedded(),
        "sparse": sparse(),
    }
    return {name: Case(model, inputs, WITHOUT) for name, (model, inputs) in asked.items()}


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    return both_sides(cases(), tmp_path_factory.mktemp("catboost") / "sides")


def test_every_kind_of_model_and_table_comes_back_bit_for_bit(sides: dict[str, Both]) -> None:
    for name, both in sides.items():
        assert both.result["status"] == "ok", f"{name}: {both.result['reason']}"
        both.assert_identical()


def test_outputs_say_what_they_mean(sides: dict[str, Both]) -> None:
    labels, uncertain = sides["labels"].saved, sides["uncertain"].saved
    assert labels.scores == {"predict_proba": False, "raw_formula_val": False, "predict": False}
    assert uncertain.signature["columns"]["predict"] == ["mean", "variance"]  # type: ignore[index,call-overload]
    classes = sides["words in rows"].saved
    assert classes.signature["classes"] == ["no", "yes"]
    assert classes.scores["predict_proba"] is True


def test_a_tables_columns_are_recorded_with_their_types_and_categories(sides: dict[str, Both]) -> None:
    features = {
        str(feature["name"]): feature  # type: ignore[index,call-overload]
        for feature in sides["words"].saved.signature["features"]  # type: ignore[union-attr]
    }
    assert features["kind"]["categories"] == ["x", "y", "z"]  # type: ignore[index,call-overload]
    assert list(features) == [*table_of_words().columns]


def test_the_thread_count_changes_no_bit(tmp_path: Path) -> None:
    model, rows = numeric()
    many = np.vstack([rows] * 200)
    for threads in (1, 2, None):
        sides = both_sides({"m": Case(model, many, WITHOUT)}, tmp_path / str(threads), threads=threads)
        sides["m"].assert_identical()


def test_the_onnx_copy_is_catboosts_own_and_runs(tmp_path: Path) -> None:
    model, rows = numeric()
    (both,) = both_sides({"m": Case(model, rows)}, tmp_path / "sides").values()
    both.assert_identical()
    (copy,) = both.saved.copies
    assert copy.partial
    assert not copy.given
    assert copy.facts["exporter"] == "catboost"
    assert both.outputs["onnx"]


def test_a_model_with_categories_has_no_onnx_copy_and_says_so(tmp_path: Path) -> None:
    model, table = mixed()
    saved, inputs, _ = save(Case(model, table), tmp_path / "saved")
    assert not saved.copies
    notes = " ".join(saved.notes)
    assert "there is no ONNX copy: " in notes
    assert "there is no JSON of the model: " in notes
    assert list(inputs) == ["input.numbers", "input.1", "input.2", "input.3", "input.4", "input.5"]


def test_one_object_saved_twice_gives_equal_bytes_and_its_json_is_kept(tmp_path: Path) -> None:
    model, rows = numeric()
    files = []
    for name in ("first", "second"):
        saved, _, _ = save(Case(model, rows), tmp_path / name)
        assert [(f.role, f.format) for f in saved.files][:2] == [
            ("model", "catboost-cbm"),
            ("optional", "catboost-json"),
        ]
        files.append([(tmp_path / name / file.path).read_bytes() for file in saved.files])
    assert files[0] == files[1]


def test_a_file_takes_columns_by_name_and_words(tmp_path: Path) -> None:
    model, table = mixed()
    model.save_model(str(tmp_path / "m.cbm"))
    whole = table.assign(paid=table.paid.astype(int))
    columns = {n: whole[n].to_numpy() if n == "age" else whole[n].to_numpy(str) for n in whole.columns}
    strings = whole.to_numpy(str)
    cases = {
        "columns": Case(tmp_path / "m.cbm", columns),
        "rows of strings": Case(tmp_path / "m.cbm", strings),
    }
    expected = catboost.CatBoost.predict(model, table, prediction_type="RawFormulaVal")
    for name, both in both_sides(cases, tmp_path / "sides").items():
        assert both.result["status"] == "ok", both.result["reason"]
        assert np.array_equal(both.outputs["native"]["predict"], expected), name


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (lambda t: t.assign(city=[None, *t.city[1:]]), "neither a string nor a whole number"),
        (lambda t: t.assign(city=[f"{c}\0" for c in t.city]), "ends in NUL"),
        (lambda t: t.rename(columns={"city": "town"}), "should be feature with name"),
        (lambda t: t[[*t.columns[::-1]]], "review: .* is no number"),  # CatBoost goes by places, too
        (lambda t: t.head(0), "empty"),
        (lambda t: catboost.FeaturesData(num_feature_data=ROWS), "FeaturesData"),
    ],
)
def test_a_table_that_can_not_be_kept_is_refused(table: Any, words: str) -> None:
    model, rows = mixed()
    with pytest.raises(NotArchivable, match=words) as caught:
        read_inputs(adapter_for(model), model, table(rows))
    assert caught.value.advice


def test_a_predict_of_the_users_own_is_named(tmp_path: Path) -> None:
    class Doubled(catboost.CatBoostRegressor):  # type: ignore[misc]
        def predict(self, *given: Any, **more: Any) -> Any:
            return super().predict(*given, **more) * 2

    model = Doubled(**HOW).fit(NUMBERS, REAL)
    saved, _, expected = save(Case(model, ROWS, WITHOUT), tmp_path / "saved")
    assert not np.array_equal(expected["predict"], expected["raw_formula_val"])
    (reason,) = adapter_for(model).differences(model, saved)
    assert "has its own predict" in reason
