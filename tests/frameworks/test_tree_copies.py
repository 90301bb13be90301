"""PMML and PFA copies of real models: each answers as the library itself, within rounding."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xgboost

from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.errors import NotArchivable
from timeproof.frameworks import SaveOptions, adapter_for, adapter_named, read_inputs
from timeproof.frameworks.base import Saved
from timeproof.frameworks.pfa.probe import load as pfa_loader
from timeproof.frameworks.pmml.importing import IMPORTER
from timeproof.frameworks.pmml.probe import load as pmml_loader
from timeproof.frameworks.trees import copies
from timeproof.frameworks.trees.recorded import Recorded

_RNG = np.random.default_rng(5)
X = _RNG.normal(size=(160, 4))
X[_RNG.random(X.shape) < 0.1] = np.nan
SINGLE = X.astype(np.float32)
CLASSES = np.digitize(np.nan_to_num(X[:, 0] + X[:, 1]), [-0.6, 0.6])
REAL = np.nan_to_num(X[:, 0] * 3 + X[:, 1] * X[:, 2])
FRAME = pd.DataFrame(
    {
        "width": X[:, 0],
        "colour": pd.Categorical(_RNG.choice(["red", "gr een", 'bl"ue', "<&>"], len(X))),
    }
)
FRAME.loc[::9, "colour"] = np.nan
COLOURS = FRAME["colour"].cat.codes % 2 * 2 + np.nan_to_num(X[:, 0])
SPARSE = scipy.sparse.random(120, 8, 0.3, format="csr", dtype=np.float32, random_state=0)
CODES = np.column_stack([_RNG.integers(0, 40, len(X)), X[:, 1]])
_XGB: dict[str, Any] = {"n_jobs": 1, "n_estimators": 5, "max_depth": 3}
_LGB: dict[str, Any] = {"n_jobs": 1, "n_estimators": 5, "min_child_samples": 4, "verbose": -1}


def _xgb(objective: str, target: Any, **more: Any) -> tuple[Any, Any]:
    how = {"objective": objective, "nthread": 1, "max_depth": 3, **more}
    return xgboost.train(how, xgboost.DMatrix(SINGLE, target), 5), SINGLE


def _lgb(objective: str, target: Any, **more: Any) -> tuple[Any, Any]:
    return lightgbm.LGBMRegressor(objective=objective, **_LGB, **more).fit(X, target), X


def _stopped() -> tuple[Any, Any]:
    model = xgboost.XGBClassifier(n_jobs=1, n_estimators=40, early_stopping_rounds=2, learning_rate=0.9)
    model.fit(SINGLE[:100], CLASSES[:100], eval_set=[(SINGLE[100:], CLASSES[100:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    return model, SINGLE


def _strange_codes() -> tuple[Any, Any]:
    model = lightgbm.LGBMRegressor(min_data_per_group=4, cat_smooth=1, **_LGB)
    asked = CODES.copy()
    asked[::7, 0], asked[::11, 0], asked[::13, 0] = np.nan, -3, 99
    return model.fit(CODES, REAL + CODES[:, 0] % 3, categorical_feature=[0]), asked


_MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "xgboost two classes": lambda: (xgboost.XGBClassifier(**_XGB).fit(SINGLE, CLASSES > 0), SINGLE),
    "xgboost three classes": lambda: (xgboost.XGBClassifier(**_XGB).fit(SINGLE, CLASSES), SINGLE),
    "xgboost regressor": lambda: (xgboost.XGBRegressor(**_XGB).fit(X, REAL), X),
    "xgboost -1 is missing": lambda: (
        xgboost.XGBRegressor(missing=-1, **_XGB).fit(np.nan_to_num(SINGLE, nan=-1), REAL),
        np.nan_to_num(SINGLE, nan=-1),
    ),
    "xgboost forest": lambda: (
        xgboost.XGBRFClassifier(n_jobs=1, n_estimators=6).fit(SINGLE, CLASSES),
        SINGLE,
    ),
    "xgboost stopped": _stopped,
    "xgboost frame": lambda: (
        xgboost.XGBRegressor(enable_categorical=True, **_XGB).fit(FRAME, COLOURS),
        FRAME,
    ),
    "xgboost sparse": lambda: (
        xgboost.XGBRegressor(**_XGB).fit(SPARSE, np.asarray(SPARSE.sum(1)).ravel()),
        SPARSE,
    ),
    "xgboost logistic": lambda: _xgb("binary:logistic", CLASSES > 0),
    "xgboost softmax": lambda: _xgb("multi:softmax", CLASSES, num_class=3),
    "xgboost poisson": lambda: _xgb("count:poisson", np.abs(REAL)),
    "xgboost dart": lambda: _xgb("reg:squarederror", REAL, booster="dart", rate_drop=0.3),
    "lightgbm two classes": lambda: (lightgbm.LGBMClassifier(**_LGB).fit(X, CLASSES > 0), X),
    "lightgbm three classes": lambda: (lightgbm.LGBMClassifier(**_LGB).fit(X, CLASSES), X),
    "lightgbm float32": lambda: (lightgbm.LGBMRegressor(**_LGB).fit(SINGLE, REAL), SINGLE),
    "lightgbm zeros missing": lambda: (
        lightgbm.LGBMRegressor(zero_as_missing=True, **_LGB).fit(np.round(X), REAL),
        np.round(X),
    ),
    "lightgbm none missing": lambda: (lightgbm.LGBMRegressor(**_LGB).fit(np.nan_to_num(X), REAL), X),
    "lightgbm one for all": lambda: (
        lightgbm.LGBMClassifier(objective="multiclassova", sigmoid=1.5, **_LGB).fit(X, CLASSES),
        X,
    ),
    "lightgbm forest": lambda: (
        lightgbm.LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, **_LGB).fit(
            X, CLASSES
        ),
        X,
    ),
    "lightgbm regression forest": lambda: _lgb(
        "regression", REAL, boosting_type="rf", bagging_freq=1, bagging_fraction=0.6
    ),
    "lightgbm tweedie": lambda: _lgb("tweedie", np.abs(REAL)),
    "lightgbm entropy": lambda: _lgb("cross_entropy", 1 / (1 + np.exp(-REAL))),
    "lightgbm frame": lambda: (
        lightgbm.LGBMRegressor(min_data_per_group=4, cat_smooth=1, **_LGB).fit(FRAME, COLOURS),
        FRAME,
    ),
    "lightgbm strange codes": _strange_codes,
    "lightgbm sparse": lambda: (
        lightgbm.LGBMRegressor(**_LGB).fit(SPARSE, np.asarray(SPARSE.sum(1)).ravel()),
        SPARSE,
    ),
}


def _copied(model: Any, table: Any, folder: Path, **formats: bool) -> tuple[Saved, Any, dict[str, Any]]:
    """Save a model, write its copies; give what was saved, the inputs, and the model's own answer."""
    adapter: Any = adapter_for(model)
    inputs = read_inputs(adapter, model, table)
    saved = adapter.save(model, inputs, folder, "x_v1", SaveOptions())
    own = adapter.answers(model, inputs, saved)
    recorded = Recorded(inputs, own, saved.options)
    saved = copies.write_copies(
        formats, lambda: adapter.ensemble(model, folder, saved), recorded, folder, "x_v1", saved
    )
    return saved, inputs, own


def _asked(copy: Any, inputs: Any, folder: Path) -> dict[str, Any]:
    load: Any = {"pmml": pmml_loader, "pfa": pfa_loader}[copy.framework]
    options = json.loads(json.dumps(dict(copy.options)))
    outputs = load.run(str(folder), copy.model, list(inputs.items()), options, 1, {})
    return {name: array for name, array, _ in outputs}


@pytest.mark.filterwarnings("ignore")  # the libraries' own, while they train
@pytest.mark.parametrize("make", _MODELS.values(), ids=_MODELS)
def test_both_copies_answer_as_the_model(make: Callable[[], tuple[Any, Any]], tmp_path: Path) -> None:
    model, table = make()
    saved, inputs, own = _copied(model, table, tmp_path, pmml=True, pfa=True)
    labels = "multi:softmax" in str(getattr(model, "save_config", lambda: "")()) and "predict" in own
    assert [copy.name for copy in saved.copies] == (["pmml"] if labels else ["pmml", "pfa"]), saved.notes
    assert {file.path for file in saved.files if file.role == "interchange"} == {
        c.model for c in saved.copies
    }
    for copy in saved.copies:
        outputs = _asked(copy, inputs, tmp_path)
        difference = compare_outputs(own, outputs)
        assert difference.verdict.allowed_by(Verdict.rounding), f"{copy.name}: {difference.summary()}"
        if "raw_score" in own:
            np.testing.assert_array_equal(outputs["raw_score"], own["raw_score"])
    answers = IMPORTER.read_own_answers(tmp_path / "model_x_v1.pmml")
    assert len(next(iter(answers.outputs.arrays.values()))) == len(next(iter(own.values())))


def test_the_verification_of_a_copy_is_what_the_evaluator_answers(tmp_path: Path) -> None:
    model, table = _MODELS["lightgbm frame"]()
    _copied(model, table, tmp_path, pmml=True)
    answers = IMPORTER.read_own_answers(tmp_path / "model_x_v1.pmml")
    assert set(answers.inputs.arrays["colour"].tolist()) == {"red", "gr een", 'bl"ue', "<&>", ""}
    given = pmml_loader.run(
        str(tmp_path), "model_x_v1.pmml", list(answers.inputs.arrays.items()), dict(answers.options), 1, {}
    )
    for name, array, _ in given:
        np.testing.assert_allclose(array, answers.outputs.arrays[name], rtol=1e-12)


def test_where_there_can_be_no_copy_a_note_says_why_if_it_was_asked_for(tmp_path: Path) -> None:
    model = lightgbm.LGBMRegressor(linear_tree=True, **_LGB).fit(np.nan_to_num(X), REAL)
    for folder, asked in (("asked", True), ("unasked", False)):
        (tmp_path / folder).mkdir()
        saved, _, _ = _copied(model, np.nan_to_num(X), tmp_path / folder, pmml=asked)
        assert not saved.copies
        assert any("there is no pmml copy: its leaves are linear models" in n for n in saved.notes) is asked


def test_a_large_model_has_a_copy_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "NODES", 10)
    model, table = _MODELS["lightgbm float32"]()
    for folder, asked in (("asked", True), ("unasked", False)):
        (tmp_path / folder).mkdir()
        saved, _, _ = _copied(model, table, tmp_path / folder, pmml=asked)
        assert [copy.name for copy in saved.copies] == ["pmml"] * asked
        assert any("--pmml (pmml=True) writes it" in note for note in saved.notes) is not asked


def test_somebodys_own_document_takes_the_columns_by_their_names(tmp_path: Path) -> None:
    model, table = _MODELS["xgboost frame"]()
    saved, inputs, own = _copied(model, table, tmp_path, pmml=True, pfa=True)
    bare = replace(saved, copies=())
    for name in ("pmml", "pfa"):
        path = tmp_path / f"theirs.{name}"
        path.write_bytes((tmp_path / f"model_x_v1.{name}").read_bytes())
        (tmp_path / name).mkdir()
        copied = adapter_named(name).add_copy(path, inputs, tmp_path / name, "x_v1", SaveOptions(), bare)
        (copy,) = copied.copies
        assert copy.given
        outputs = _asked(copy, inputs, tmp_path / name)
        np.testing.assert_allclose(outputs["predict"], own["predict"], rtol=1e-6)
    with pytest.raises(NotArchivable, match="takes 2 fields"):
        adapter_named("pmml").add_copy(
            tmp_path / "theirs.pmml",
            {"input": np.zeros((2, 5))},
            tmp_path,
            "y_v1",
            SaveOptions(),
            replace(bare, signature={}, options={}),
        )


def test_a_model_that_cant_be_read_is_archived_without_a_copy(tmp_path: Path) -> None:
    model, table = _MODELS["lightgbm float32"]()
    adapter: Any = adapter_for(model)
    inputs = read_inputs(adapter, model, table)
    saved = adapter.save(model, inputs, tmp_path, "x_v1", SaveOptions())
    recorded = Recorded(inputs, {}, saved.options)

    def broken() -> Any:
        raise RuntimeError("the inside has changed")

    copied = copies.write_copies({"pmml": False}, broken, recorded, tmp_path, "x_v1", saved)
    assert copied.notes[-1] == "there is no pmml copy: RuntimeError: the inside has changed"
    path = tmp_path / saved.model
    path.write_text(path.read_text().replace("num_tree_per_iteration", "number"))
    copied = copies.write_copies(
        {"pmml": True}, lambda: adapter.ensemble(model, tmp_path, saved), recorded, tmp_path, "x_v1", saved
    )
    assert "not as LightGBM writes it" in copied.notes[-1]
