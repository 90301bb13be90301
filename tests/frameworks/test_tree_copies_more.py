"""PMML and PFA copies of scikit-learn's forests and boosting, and of CatBoost: they answer as the library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.frameworks import SaveOptions, adapter_for, read_inputs
from timeproof.frameworks.base import Saved
from timeproof.frameworks.pfa.probe import load as pfa_loader
from timeproof.frameworks.pmml.probe import load as pmml_loader
from timeproof.frameworks.trees.copies import write_copies
from timeproof.frameworks.trees.recorded import Recorded

sklearn_ensemble = pytest.importorskip("sklearn.ensemble")
sklearn_tree = pytest.importorskip("sklearn.tree")
pytest.importorskip("skops")

_RNG = np.random.default_rng(7)
X = _RNG.normal(size=(150, 4))
MISSING = np.where(_RNG.random(X.shape) < 0.1, np.nan, X)
NUMBERS = np.digitize(X[:, 0] + X[:, 1], [-0.6, 0.6])
WORDS = np.array(["low", "mid", "high & up"])[NUMBERS]
REAL = X[:, 0] * 3 + X[:, 1] * X[:, 2]
_SMALL: dict[str, Any] = {"n_estimators": 5, "max_depth": 3, "random_state": 0}
_CAT: dict[str, Any] = {"iterations": 6, "depth": 3, "thread_count": 1, "verbose": False}


def _cat(kind: str, target: Any, **more: Any) -> Any:
    library = pytest.importorskip("catboost")
    return getattr(library, kind)(allow_writing_files=False, **_CAT, **more).fit(MISSING, target)


def _sk(kind: str, target: Any, table: Any = X, **more: Any) -> Any:
    return getattr(sklearn_ensemble, kind)(**more).fit(table, target), table


_MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "tree": lambda: (sklearn_tree.DecisionTreeClassifier(max_depth=4).fit(X, NUMBERS), X),
    "forest, words": lambda: _sk("RandomForestClassifier", WORDS, MISSING, **_SMALL),
    "forest, truth": lambda: _sk("ExtraTreesClassifier", NUMBERS > 0, X.astype(np.float32), **_SMALL),
    "forest, numbers": lambda: _sk("RandomForestRegressor", REAL, MISSING, **_SMALL),
    "boosting, two": lambda: _sk("GradientBoostingClassifier", NUMBERS // 2, **_SMALL),
    "boosting, exponential": lambda: _sk(
        "GradientBoostingClassifier", NUMBERS // 2, loss="exponential", **_SMALL
    ),
    "boosting, three": lambda: _sk("GradientBoostingClassifier", WORDS, **_SMALL),
    "boosting, numbers": lambda: _sk("GradientBoostingRegressor", REAL, init="zero", **_SMALL),
    "histograms, two": lambda: _sk("HistGradientBoostingClassifier", NUMBERS // 2, MISSING, max_iter=4),
    "histograms, three": lambda: _sk("HistGradientBoostingClassifier", WORDS, MISSING, max_iter=4),
    "histograms, poisson": lambda: _sk(
        "HistGradientBoostingRegressor", np.abs(REAL), MISSING, max_iter=4, loss="poisson"
    ),
    "catboost, two": lambda: (_cat("CatBoostClassifier", NUMBERS // 2), MISSING),
    "catboost, three": lambda: (_cat("CatBoostClassifier", WORDS), MISSING),
    "catboost, each": lambda: (
        _cat("CatBoostClassifier", NUMBERS, loss_function="MultiClassOneVsAll"),
        MISSING,
    ),
    "catboost, numbers": lambda: (_cat("CatBoostRegressor", REAL), MISSING),
    "catboost, poisson": lambda: (
        _cat("CatBoostRegressor", np.abs(REAL), loss_function="Poisson"),
        MISSING,
    ),
}


def _copied(model: Any, table: Any, folder: Path) -> tuple[Saved, Any, dict[str, Any]]:
    adapter: Any = adapter_for(model)
    inputs = read_inputs(adapter, model, table)
    saved = adapter.save(model, inputs, folder, "x_v1", SaveOptions())
    own = adapter.answers(model, inputs, saved)
    formats = {"pmml": True, "pfa": True}
    recorded = Recorded(inputs, own, saved.options)
    saved = write_copies(
        formats, lambda: adapter.ensemble(model, folder, saved), recorded, folder, "x_v1", saved
    )
    return saved, inputs, own


@pytest.mark.parametrize("make", _MODELS.values(), ids=_MODELS)
def test_both_copies_answer_as_the_model(make: Callable[[], tuple[Any, Any]], tmp_path: Path) -> None:
    model, table = make()
    saved, inputs, own = _copied(model, table, tmp_path)
    assert [copy.name for copy in saved.copies] == ["pmml", "pfa"], saved.notes
    for copy, load in zip(saved.copies, (pmml_loader, pfa_loader), strict=True):
        options = json.loads(json.dumps(dict(copy.options)))
        given = load.run(str(tmp_path), copy.model, list(inputs.items()), options, 1, {})
        outputs = {name: array for name, array, _ in given}
        left_out = set(own) - set(outputs)
        assert left_out <= {"predict"}
        assert copy.partial is bool(left_out)
        difference = compare_outputs({name: own[name] for name in outputs}, outputs)
        assert difference.verdict.allowed_by(Verdict.rounding), f"{copy.name}: {difference.summary()}"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _sk("AdaBoostClassifier", NUMBERS, n_estimators=3), "AdaBoostClassifier, is no forest"),
        (lambda: _sk("RandomForestRegressor", X[:, :2], **_SMALL), "several targets"),
        (
            lambda: _sk(
                "GradientBoostingRegressor", REAL, init=sklearn_tree.DecisionTreeRegressor(), **_SMALL
            ),
            "begins with another model",
        ),
        (lambda: (_cat("CatBoostRegressor", REAL, grow_policy="Lossguide"), MISSING), "not symmetric"),
    ],
)
def test_what_has_no_copy_is_said(make: Callable[[], tuple[Any, Any]], words: str, tmp_path: Path) -> None:
    model, table = make()
    saved, _, _ = _copied(model, table, tmp_path)
    assert not saved.copies
    assert any(words in note and note.startswith("there is no pmml copy") for note in saved.notes), (
        saved.notes
    )
