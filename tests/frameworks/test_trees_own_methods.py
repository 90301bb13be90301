"""Models whose answer is not their library's: the user's own object is asked, and the reason has a name."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from support.roundtrip import Case, save

from timeproof.errors import NotArchivable
from timeproof.frameworks import adapter_for, read_inputs

RNG = np.random.default_rng(5)
X = RNG.normal(size=(90, 4)).astype(np.float32)
TWO = (X[:, 0] > 0).astype(int)
FEW = {"n_estimators": 4, "n_jobs": 1}
QUIET = {**FEW, "verbose": -1, "min_child_samples": 3}


class Calibrated(xgboost.XGBClassifier):
    """Probabilities of its own: the arguments, too."""

    def predict_proba(self, X: object) -> np.ndarray:
        return np.sqrt(super().predict_proba(X))


class CalibratedLight(lightgbm.LGBMClassifier):
    def predict_proba(self, X: object) -> np.ndarray:
        return np.sqrt(super().predict_proba(X))


class Cautious(xgboost.XGBClassifier):
    """Labels of its own."""

    def predict(self, X: object, **more: object) -> np.ndarray:
        return (self.predict_proba(X)[:, 1] > 0.9).astype(int)


class CautiousLight(lightgbm.LGBMClassifier):
    def predict(self, X: object, **more: object) -> np.ndarray:
        return (self.predict_proba(X)[:, 1] > 0.9).astype(int)


class Logged(xgboost.XGBClassifier):
    """Its own predict says what XGBoost's says."""

    def predict(self, X: object, **more: object) -> np.ndarray:
        return super().predict(X, **more)


class Scaled(xgboost.XGBRegressor):
    def predict(self, X: object) -> np.ndarray:
        return super().predict(X) * 100


class Doubled(xgboost.Booster):
    def predict(self, data: object, **more: object) -> np.ndarray:
        return super().predict(data, **more) * 2


def plain_regressor() -> xgboost.XGBRegressor:
    return xgboost.XGBRegressor(**FEW).fit(X, X[:, 0])


def with_attribute() -> xgboost.XGBRegressor:
    model = plain_regressor()
    inner = model.predict
    model.predict = lambda table: inner(table) + 1.0
    return model


def light_with_attribute() -> lightgbm.LGBMRegressor:
    model = lightgbm.LGBMRegressor(**QUIET).fit(X, X[:, 0])
    inner = model.predict
    model.predict = lambda table: inner(table) + 1.0
    return model


def own_booster() -> Doubled:
    booster = Doubled()
    booster.load_model(plain_regressor().get_booster().save_raw("json"))
    return booster


@pytest.mark.parametrize(
    ("model", "output", "own", "reason"),
    [
        (
            Calibrated(**FEW).fit(X, TWO),
            "predict_proba",
            None,
            "the class Calibrated has its own predict_proba",
        ),
        (
            CalibratedLight(**QUIET).fit(X, TWO),
            "predict_proba",
            None,
            "the class CalibratedLight has its own predict_proba",
        ),
        (Cautious(**FEW).fit(X, TWO), "predict", None, "the class Cautious has its own predict"),
        (CautiousLight(**QUIET).fit(X, TWO), "predict", None, "the class CautiousLight has its own predict"),
        (Scaled(**FEW).fit(X, X[:, 0]), "predict", None, "the class Scaled has its own predict"),
        (with_attribute(), "predict", None, "the object has an attribute 'predict' of its own"),
        (light_with_attribute(), "predict", None, "the object has an attribute 'predict' of its own"),
        (own_booster(), "predict", xgboost.DMatrix(X), "the class Doubled has its own predict"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_own_answer_is_the_users_objects_and_the_reason_is_named(
    tmp_path: Path, model: object, output: str, own: object, reason: str
) -> None:
    saved, _, answers = save(Case(model, X), tmp_path / "m")
    assert np.array_equal(answers[output], getattr(model, output)(X if own is None else own))
    assert reason in adapter_for(model).differences(model, saved)[0]


def test_labels_of_the_users_own_are_among_the_answers_only_where_they_differ(tmp_path: Path) -> None:
    _, _, answers = save(Case(Cautious(**FEW).fit(X, TWO), X), tmp_path / "cautious")
    assert "predict" in answers
    _, _, answers = save(Case(Logged(**FEW).fit(X, TWO), X), tmp_path / "logged")
    assert list(answers) == ["predict_proba", "margin"]
    _, _, answers = save(Case(xgboost.XGBClassifier(**FEW).fit(X, TWO), X), tmp_path / "plain")
    assert list(answers) == ["predict_proba", "margin"]


@pytest.mark.parametrize(
    "model",
    [
        plain_regressor(),
        plain_regressor().get_booster(),
        xgboost.XGBRFClassifier(**FEW).fit(X, TWO),
        lightgbm.LGBMClassifier(**QUIET).fit(X, TWO),
        lightgbm.LGBMRegressor(**QUIET).fit(X, X[:, 0]).booster_,
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_libraries_own_classes_have_no_differences(tmp_path: Path, model: object) -> None:
    saved, _, _ = save(Case(model, X), tmp_path / "m")
    assert adapter_for(model).differences(model, saved) == []


def test_a_method_that_somebody_put_into_the_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faster(self: object, X: object, **more: object) -> np.ndarray:
        return np.zeros(len(X))

    model = lightgbm.LGBMRegressor(**QUIET).fit(X, X[:, 0])
    monkeypatch.setattr(lightgbm.LGBMModel, "predict", faster)
    saved, _, answers = save(Case(model, X), tmp_path / "m")
    assert not answers["predict"].any()
    assert adapter_for(model).differences(model, saved) == [
        f"LGBMModel.predict is not lightgbm's: {__name__} has replaced it"
    ]


def test_what_an_own_predict_raises_is_said() -> None:
    class Broken(xgboost.XGBRegressor):
        def predict(self, X: object) -> np.ndarray:
            raise KeyError("scaler")

    model = Broken(**FEW).fit(X, X[:, 0])
    with pytest.raises(NotArchivable, match="KeyError: 'scaler'"):
        read_inputs(adapter_for(model), model, X)
