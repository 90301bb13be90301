"""scikit-learn: the container gives what the user's own object gives, for many kinds of models and tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import pandas
import pytest
import xgboost
from scipy import sparse
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from support.roundtrip import Both, Case, both_sides, save
from support.sklearn_models import KINDS, NUMBERS, TARGET, WORDS, columns, frame

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks import SaveOptions, adapter_for
from timeproof.frameworks.sklearn import SklearnOptions

TWO = (TARGET > 0).astype(int)
TABLE = frame()
WHOLE = TABLE.assign(place=TABLE["place"].fillna("sea"), size=TABLE["size"].astype(str)).drop(columns="eggs")


def asked(*methods: str) -> SaveOptions:
    return SaveOptions(SklearnOptions(methods=methods or None, onnx=False))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Both]:
    """Every model in one probe."""
    text = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(WORDS, KINDS)
    boosted = xgboost.XGBClassifier(n_estimators=3, n_jobs=1)
    leaves = lightgbm.LGBMRegressor(n_estimators=3, n_jobs=1, min_child_samples=4, verbose=-1)
    cats = catboost.CatBoostClassifier(iterations=3, verbose=0, thread_count=1, allow_writing_files=False)
    grid = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1]}, cv=2)
    cells = sparse.csr_matrix(np.where(NUMBERS > 0, NUMBERS, 0))
    wide = pandas.DataFrame(np.outer(NUMBERS[:, 0], np.arange(300))).add_prefix("x").assign(ringed=TWO > 0)
    cases = {
        "hist": Case(
            make_pipeline(columns(), HistGradientBoostingClassifier(max_iter=4)).fit(TABLE, KINDS), TABLE
        ),
        "xgboost": Case(make_pipeline(columns(), boosted).fit(TABLE, TWO), TABLE, asked()),
        "lightgbm": Case(make_pipeline(columns(), leaves).fit(TABLE, TARGET), TABLE, asked()),
        "catboost": Case(make_pipeline(columns(), cats).fit(TABLE, KINDS), TABLE, asked()),
        "boosting": Case(GradientBoostingClassifier(n_estimators=4).fit(NUMBERS, KINDS), NUMBERS),
        "search": Case(grid.fit(NUMBERS, KINDS), NUMBERS),
        "neighbours": Case(
            KNeighborsRegressor(3, algorithm="ball_tree").fit(NUMBERS, TARGET), NUMBERS, asked()
        ),
        "outliers": Case(
            IsolationForest(n_estimators=4).fit(NUMBERS), NUMBERS, asked("score_samples", "predict")
        ),
        "text": Case(text, WORDS),
        "vectors": Case(text[:-1], WORDS, asked()),
        "sparse": Case(Ridge().fit(cells, TARGET), cells),
        "targets": Case(
            MultiOutputClassifier(LogisticRegression()).fit(NUMBERS, np.column_stack([KINDS, KINDS])), NUMBERS
        ),
        "objects": Case(LogisticRegression().fit(NUMBERS, KINDS.astype(object)), NUMBERS),
        "codes": Case(OneHotEncoder(sparse_output=False).fit(TABLE[["size"]]), TABLE[["size"]], asked()),
        "named": Case(StandardScaler().set_output(transform="pandas").fit(NUMBERS), NUMBERS, asked()),
        "wide": Case(Ridge().fit(wide, TARGET), wide, asked()),
        "leaves": Case(RandomForestClassifier(3, n_jobs=2).fit(NUMBERS, KINDS), NUMBERS, asked("apply")),
        "copied": Case(make_pipeline(columns(), LogisticRegression()).fit(WHOLE, KINDS), WHOLE),
    }
    return both_sides(cases, tmp_path_factory.mktemp("sides"))


def test_every_answer_is_the_live_objects_own_bit_for_bit(sides: Mapping[str, Both]) -> None:
    for name, both in sides.items():
        assert both.saved.framework == "sklearn", name
        both.assert_identical()


def test_string_classes_come_back_as_text_of_any_source(sides: Mapping[str, Both]) -> None:
    for name in ("hist", "objects", "text", "catboost"):
        labels = sides[name].outputs["native"]["predict"]
        assert labels.dtype.kind == "U", name
        assert set(labels.ravel()) <= {"auk", "gull", "tern"}, name


def test_sparse_answers_and_several_targets_have_an_output_for_each_part(sides: Mapping[str, Both]) -> None:
    parts = [f"transform.{part}" for part in ("data", "indices", "indptr", "shape")]
    assert list(sides["vectors"].outputs["native"]) == parts
    targets = list(sides["targets"].outputs["native"])
    assert targets == ["predict", "predict_proba_0", "predict_proba_1"]


def test_what_the_model_means_stands_beside_it(sides: Mapping[str, Both]) -> None:
    signature = sides["hist"].saved.signature
    assert signature["classes"] == ["auk", "gull", "tern"]
    assert signature["columns"]["predict_proba"][0] == "probability of auk"  # type: ignore[index,call-overload]
    assert [feature["name"] for feature in signature["features"]] == list(TABLE)  # type: ignore[union-attr,index,call-overload]
    assert sides["hist"].saved.scores["predict_proba"] is True
    assert sides["boosting"].saved.init_args["n_estimators"] == 4


def test_the_copies_answer_within_float32_where_skl2onnx_converts(sides: Mapping[str, Both]) -> None:
    for name in ("boosting", "search", "copied", "objects"):
        native, copy = sides[name].outputs["native"], sides[name].outputs["onnx"]
        labels, scores = copy.values()
        assert (labels == native["predict"]).all(), name
        own = native["predict_proba"] if "predict_proba" in native else native["decision_function"]
        np.testing.assert_allclose(scores, own, atol=2e-6, err_msg=name)


def test_where_there_is_no_copy_a_note_says_why(sides: Mapping[str, Both]) -> None:
    for name, words in {"hist": "ONNX lacks", "sparse": "sparse", "targets": "ONNX"}.items():
        both = sides[name]
        assert both.saved.copies or any(words in note for note in both.saved.notes), both.saved.notes


def test_a_forest_of_several_threads_says_that_the_container_has_one(sides: Mapping[str, Both]) -> None:
    assert any("n_jobs is 2" in note for note in sides["leaves"].saved.notes)


def test_wrappers_of_trees_by_themselves_stay_with_their_own_framework() -> None:
    wrappers = {
        "xgboost": xgboost.XGBClassifier(n_estimators=2),
        "lightgbm": lightgbm.LGBMClassifier(n_estimators=2, verbose=-1),
        "catboost": catboost.CatBoostClassifier(iterations=2),
    }
    assert {name: adapter_for(wrapper).name for name, wrapper in wrappers.items()} == {
        name: name for name in wrappers
    }


def test_a_method_that_the_model_has_not_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    model = Ridge().fit(NUMBERS, TARGET)
    with pytest.raises(NotArchivable, match="no predict_proba") as caught:
        save(Case(model, NUMBERS, asked("predict_proba")), tmp_path / "out")
    assert "predict" in caught.value.advice
    with pytest.raises(BadRequest, match="fit"):
        SklearnOptions(methods=("fit",))


def test_inputs_that_the_model_itself_refuses_are_refused_in_its_words(tmp_path: Path) -> None:
    model = Ridge().fit(NUMBERS, TARGET)
    with pytest.raises(NotArchivable, match="features"):
        save(Case(model, NUMBERS[:, :2], asked()), tmp_path / "out")
