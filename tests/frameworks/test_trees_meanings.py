"""What the outputs and the features mean is kept, and which outputs are class scores."""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from support.roundtrip import Case, both_sides, save

RNG = np.random.default_rng(5)
X = RNG.normal(size=(90, 4)).astype(np.float32)
NAMED = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(b=RNG.integers(0, 9, 90))
TWO = (X[:, 0] > 0).astype(int)
REAL = X[:, 0].copy()
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
WORDS = np.array(["low", "middle", "high"])[THREE]
FEW = {"n_estimators": 4, "n_jobs": 1}
QUIET = {**FEW, "verbose": -1, "min_child_samples": 3}
GROUPS = {"group": [30, 30, 30]}


def xgb_train(objective: str, target: np.ndarray, **more: object) -> xgboost.Booster:
    return xgboost.train({"objective": objective, "nthread": 1, **more}, xgboost.DMatrix(X, target), 4)


def lgb_train(objective: object, target: np.ndarray, **more: object) -> lightgbm.Booster:
    given = {"objective": objective, "num_threads": 1, "verbose": -1, **more}
    return lightgbm.train(given, lightgbm.Dataset(X, target), 4)


def own_objective(guess: np.ndarray, data: lightgbm.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return guess - data.get_label(), np.ones_like(guess)


def logistic(truth: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    guess = 1 / (1 + np.exp(-raw))
    return guess - truth, guess * (1 - guess)


PROBABILITIES = ["probability of 0", "probability of 1", "probability of 2"]
CASES = {
    # model: (scores, classes, columns)
    "xgb two": (
        xgboost.XGBClassifier(**FEW).fit(X, TWO),
        {"predict_proba": True, "margin": False},
        [0, 1],
        {"predict_proba": ["probability of 0", "probability of 1"], "margin": ["margin of 1"]},
    ),
    "xgb three": (
        xgboost.XGBRFClassifier(**FEW).fit(X, THREE),
        {"predict_proba": True, "margin": True},
        [0, 1, 2],
        {"predict_proba": PROBABILITIES, "margin": ["margin of 0", "margin of 1", "margin of 2"]},
    ),
    "xgb labels": (
        xgboost.XGBClassifier(**FEW).fit(X, np.column_stack([TWO, 1 - TWO])),
        {"predict_proba": False, "margin": False},
        None,
        {
            "predict_proba": ["probability of label 0", "probability of label 1"],
            "margin": ["margin of target 0", "margin of target 1"],
        },
    ),
    "xgb outputs": (
        xgboost.XGBRegressor(**FEW).fit(X, X[:, :2]),
        {"predict": False, "margin": False},
        None,
        {"predict": ["target 0", "target 1"], "margin": ["margin of target 0", "margin of target 1"]},
    ),
    "xgb ranker": (
        xgboost.XGBRanker(**FEW).fit(X, THREE, **GROUPS),
        {"predict": False, "margin": False},
        None,
        {"predict": ["rank score"], "margin": ["margin"]},
    ),
    "xgb booster of classes": (
        xgb_train("multi:softprob", THREE, num_class=3),
        {"predict": True, "margin": True},
        [0, 1, 2],
        {"predict": PROBABILITIES, "margin": ["margin of 0", "margin of 1", "margin of 2"]},
    ),
    "xgb booster of labels": (
        xgb_train("multi:softmax", THREE, num_class=3),
        {"predict": False, "margin": True},
        [0, 1, 2],
        {"predict": ["class"], "margin": ["margin of 0", "margin of 1", "margin of 2"]},
    ),
    "xgb booster of two": (
        xgb_train("binary:logistic", TWO),
        {"predict": False, "margin": False},
        None,
        {"predict": ["probability of 1"], "margin": ["margin"]},
    ),
    "lgb words": (
        lightgbm.LGBMClassifier(**QUIET).fit(X, WORDS),
        {"predict_proba": True, "raw_score": True},
        ["high", "low", "middle"],
        {
            "predict_proba": ["probability of high", "probability of low", "probability of middle"],
            "raw_score": ["raw score of high", "raw score of low", "raw score of middle"],
        },
    ),
    "lgb two words": (
        lightgbm.LGBMClassifier(**QUIET).fit(X, np.where(TWO, "yes", "no")),
        {"predict_proba": True, "raw_score": False},
        ["no", "yes"],
        {"predict_proba": ["probability of no", "probability of yes"], "raw_score": ["raw score of yes"]},
    ),
    "lgb own objective": (
        lightgbm.LGBMClassifier(**QUIET, objective=logistic).fit(X, TWO),
        {"predict_proba": False, "raw_score": False},
        [0, 1],
        {"predict_proba": ["raw score of 1"], "raw_score": ["raw score of 1"]},
    ),
    "lgb ranker": (
        lightgbm.LGBMRanker(**QUIET).fit(X, THREE, **GROUPS),
        {"predict": False, "raw_score": False},
        None,
        {"predict": ["rank score"], "raw_score": ["raw score"]},
    ),
    "lgb booster of classes": (
        lgb_train("multiclass", THREE, num_class=3),
        {"predict": True, "raw_score": True},
        [0, 1, 2],
        {"predict": PROBABILITIES, "raw_score": ["raw score of 0", "raw score of 1", "raw score of 2"]},
    ),
    "lgb booster of its own": (
        lgb_train(own_objective, REAL),
        {"predict": False, "raw_score": False},
        None,
        {"predict": ["value"], "raw_score": ["raw score"]},
    ),
    "lgb stops early": (
        lightgbm.LGBMClassifier(
            **{**QUIET, "n_estimators": 40},
            pred_early_stop=True,
            pred_early_stop_freq=2,
            pred_early_stop_margin=0.5,
        ).fit(X, TWO),
        {"predict_proba": True, "raw_score": False},
        [0, 1],
        {"predict_proba": ["probability of 0", "probability of 1"], "raw_score": ["raw score of 1"]},
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return both_sides({name: Case(case[0], X) for name, case in CASES.items()}, tmp_path_factory.mktemp("m"))


@pytest.mark.parametrize("name", CASES)
def test_the_outputs_are_those_of_the_users_object_and_have_a_meaning(runs: dict, name: str) -> None:
    _, scores, classes, columns = CASES[name]
    both = runs[name]
    both.assert_identical()
    assert both.saved.scores == scores
    assert both.saved.signature.get("classes") == classes
    assert both.saved.signature["columns"] == columns
    assert json.loads(json.dumps(both.saved.signature, allow_nan=False)) == both.saved.signature
    for output, words in columns.items():  # a word for each column, a column for each word
        shape = both.outputs["native"][output].shape
        assert len(words) == (shape[1] if len(shape) == 2 else 1)
        assert not (scores[output] and len(shape) == 1)


def test_early_stopping_of_predictions_reaches_the_probe(runs: dict) -> None:
    model = CASES["lgb stops early"][0]
    everything = model.booster_.predict(X)
    assert not np.array_equal(runs["lgb stops early"].outputs["native"]["predict_proba"][:, 1], everything)


@pytest.mark.parametrize(
    "model",
    [xgboost.XGBRegressor(**FEW).fit(NAMED, REAL), lightgbm.LGBMRegressor(**QUIET).fit(NAMED, REAL)],
)
def test_features_are_the_tables_own_or_else_the_models(tmp_path: Path, model: object) -> None:
    saved, _, _ = save(Case(model, NAMED), tmp_path / "table")
    assert saved.signature["features"] == [
        {"name": name, "type": "int64" if name == "b" else "float32"} for name in "abcd"
    ]
    saved, _, _ = save(Case(model, NAMED.to_numpy()), tmp_path / "array")
    assert [feature["name"] for feature in saved.signature["features"]] == list("abcd")


def test_made_up_names_are_not_kept(tmp_path: Path) -> None:
    for k, model in enumerate((CASES["xgb two"][0], CASES["lgb words"][0])):
        saved, _, _ = save(Case(model, X), tmp_path / f"m{k}")
        assert "features" not in saved.signature
