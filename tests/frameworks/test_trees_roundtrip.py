"""XGBoost and LightGBM: the probe gives what the user's own object gives, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from support.roundtrip import Both, Case, both_sides, save

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks import SaveOptions, adapter_for_file
from timeproof.frameworks.lightgbm import LightGBMOptions
from timeproof.frameworks.options import FrameworkOptions
from timeproof.frameworks.xgboost import XGBoostOptions

RNG = np.random.default_rng(7)
TABLE = RNG.normal(size=(150, 6)).astype(np.float32)
BINARY = (TABLE[:, 0] + TABLE[:, 1] * TABLE[:, 2] > 0).astype(np.int64)
CLASSES = np.digitize(TABLE[:, 0], [-0.5, 0.5])
REAL = TABLE[:, 0] * 3 + np.sin(TABLE[:, 3])
CODES = np.column_stack([RNG.integers(0, 5, 150), TABLE[:, 1]]).astype(np.float32)
HOLED = np.where(RNG.random(TABLE.shape) < 0.2, -9.0, TABLE).astype(np.float32)
XGB = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1}
LGB = {"n_estimators": 6, "n_jobs": 1, "verbose": -1, "min_child_samples": 5}


def early_stopped() -> xgboost.XGBClassifier:
    model = xgboost.XGBClassifier(**{**XGB, "n_estimators": 60}, early_stopping_rounds=2, learning_rate=1.0)
    return model.fit(TABLE[:75], BINARY[:75], eval_set=[(TABLE[75:], 1 - BINARY[75:])], verbose=False)


def stopped_lightgbm() -> lightgbm.Booster:
    # Without keep_training_booster LightGBM itself drops the trees after the best.
    return lightgbm.train(
        {
            "num_threads": 1,
            "verbose": -1,
            "objective": "binary",
            "learning_rate": 0.5,
            "metric": "binary_logloss",
        },
        lightgbm.Dataset(TABLE[:75], BINARY[:75]),
        60,
        valid_sets=[lightgbm.Dataset(TABLE[75:], BINARY[75:])],
        callbacks=[lightgbm.early_stopping(3, verbose=False)],
        keep_training_booster=True,
    )


def booster(**more: object) -> xgboost.Booster:
    data = xgboost.DMatrix(TABLE, REAL, feature_names=[f"f {k}" for k in range(6)])
    return xgboost.train({"max_depth": 3, "nthread": 1, **more}, data, num_boost_round=6)


@pytest.fixture(scope="module")
def xgb(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    def fit(kind: type, target: np.ndarray, table: np.ndarray = TABLE, **more: object) -> object:
        return kind(**{**XGB, **more}).fit(table, target)

    data = xgboost.DMatrix(TABLE, REAL)
    stopped = xgboost.train(
        {"learning_rate": 1.0, "nthread": 1},
        data,
        60,
        evals=[(xgboost.DMatrix(TABLE[::-1].copy(), REAL), "eval")],
        early_stopping_rounds=2,
        verbose_eval=False,
    )
    assert stopped.num_boosted_rounds() > stopped.best_iteration + 1
    cases = {
        "binary": Case(fit(xgboost.XGBClassifier, BINARY), TABLE),
        "ubj": Case(fit(xgboost.XGBClassifier, BINARY), TABLE, SaveOptions(XGBoostOptions(format="ubj"))),
        "classes": Case(fit(xgboost.XGBClassifier, CLASSES), TABLE),
        "softmax": Case(fit(xgboost.XGBClassifier, CLASSES, objective="multi:softmax"), TABLE),
        "labels": Case(fit(xgboost.XGBClassifier, np.column_stack([BINARY, 1 - BINARY])), TABLE),
        "regressor": Case(fit(xgboost.XGBRegressor, REAL), TABLE.astype(np.float64)),
        "gamma": Case(fit(xgboost.XGBRegressor, np.exp(REAL / 4), objective="reg:gamma"), TABLE),
        "forest": Case(fit(xgboost.XGBRFRegressor, REAL), TABLE),
        "ranker": Case(xgboost.XGBRanker(**XGB).fit(TABLE, CLASSES, qid=np.repeat([0, 1, 2], 50)), TABLE),
        "linear": Case(fit(xgboost.XGBRegressor, REAL, booster="gblinear", max_depth=None), TABLE),
        "dart": Case(fit(xgboost.XGBClassifier, BINARY, booster="dart", rate_drop=0.5), TABLE),
        "missing": Case(fit(xgboost.XGBClassifier, BINARY, HOLED, missing=-9.0), HOLED),
        "categories": Case(
            fit(xgboost.XGBClassifier, BINARY, CODES, enable_categorical=True, feature_types=["c", "q"]),
            CODES,
        ),
        "stopped": Case(early_stopped(), TABLE),
        "booster": Case(booster(), TABLE),
        "stopped booster": Case(stopped, TABLE),
        "nan inputs": Case(booster(), np.where(HOLED == -9, np.nan, HOLED)),
    }
    return both_sides(cases, tmp_path_factory.mktemp("xgb"))


@pytest.mark.parametrize(
    "name",
    [
        "binary",
        "ubj",
        "classes",
        "softmax",
        "labels",
        "regressor",
        "gamma",
        "forest",
        "ranker",
        "linear",
        "dart",
        "missing",
        "categories",
        "stopped",
        "booster",
        "stopped booster",
        "nan inputs",
    ],
)
def test_xgboost_answers_as_the_users_object(xgb: dict[str, Both], name: str) -> None:
    xgb[name].assert_identical()


def test_a_classifier_gives_probabilities_and_margins(xgb: dict[str, Both]) -> None:
    assert list(xgb["binary"].expected) == ["predict_proba", "margin"]
    assert xgb["binary"].outputs["native"]["predict_proba"].shape == (150, 2)
    assert list(xgb["regressor"].expected) == ["predict", "margin"]
    assert list(xgb["booster"].expected) == ["predict", "margin"]


def test_an_early_stopped_wrapper_uses_its_best_trees_only(xgb: dict[str, Both]) -> None:
    trees = xgb["stopped"].saved.options["iteration_range"]
    loaded = xgboost.Booster(model_file=str(xgb["stopped"].folder / xgb["stopped"].saved.model))
    assert trees is not None
    assert trees[1] < loaded.num_boosted_rounds()
    assert xgb["stopped"].saved.options["trees"] == {"used": trees[1], "of": loaded.num_boosted_rounds()}
    everything = loaded.predict(xgboost.DMatrix(TABLE))
    assert not np.array_equal(everything, xgb["stopped"].outputs["native"]["predict_proba"][:, 1])


def test_an_early_stopped_booster_uses_all_trees_and_says_so(xgb: dict[str, Both]) -> None:
    assert xgb["stopped booster"].saved.options["iteration_range"] is None
    told = xgb["stopped booster"].saved.options["trees"]
    assert told == {"used": told["of"], "of": told["of"]}
    assert any("stopped early" in note for note in xgb["stopped booster"].saved.notes)
    assert not any("stopped early" in note for note in xgb["booster"].saved.notes)


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_a_file_of_an_early_stopped_model_says_that_its_wrapper_answers_otherwise(
    tmp_path: Path, suffix: str
) -> None:
    model = early_stopped()
    model.save_model(tmp_path / f"stopped.{suffix}")
    saved, _, _ = save(Case(tmp_path / f"stopped.{suffix}", TABLE), tmp_path / "m")
    assert saved.options["best_iteration"] == model.best_iteration
    assert any(f"the first {model.best_iteration + 1} rounds" in note for note in saved.notes)


def test_formats_and_names_on_disk(xgb: dict[str, Both]) -> None:
    assert xgb["binary"].saved.model == "model_xgb_v1.json"
    assert xgb["ubj"].saved.model == "model_xgb_v1.ubj"
    assert json.loads((xgb["binary"].folder / "model_xgb_v1.json").read_text())["learner"]
    assert (xgb["ubj"].folder / "model_xgb_v1.ubj").read_bytes()[:1] == b"{"


def test_hyper_parameters_are_kept_as_json_values(xgb: dict[str, Both]) -> None:
    kept = xgb["dart"].saved.init_args
    assert kept["max_depth"] == 3
    assert kept["rate_drop"] == 0.5
    assert kept["missing"] is None
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert xgb["dart"].saved.notes == ()


def logistic(truth: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    guess = 1 / (1 + np.exp(-raw))
    return guess - truth, guess * (1 - guess)


def objective(truth: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return guess - truth, np.ones_like(truth)


def test_a_parameter_without_a_json_value_is_left_out_with_a_note(tmp_path: Path) -> None:
    model = xgboost.XGBRegressor(**XGB, objective=objective, reg_alpha=np.float32(0.5)).fit(TABLE, REAL)
    saved, _, _ = save(Case(model, TABLE), tmp_path / "custom")
    assert "objective" not in saved.init_args
    assert saved.init_args["reg_alpha"] == 0.5
    assert any("'objective' is not stored" in note for note in saved.notes)
    assert any("numpy.float32" in note for note in saved.notes)


@pytest.fixture(scope="module")
def lgb(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    stopped = stopped_lightgbm()
    assert 0 < stopped.best_iteration < stopped.current_iteration()
    cases = {
        "binary": Case(lightgbm.LGBMClassifier(**LGB).fit(TABLE, BINARY), TABLE),
        "classes": Case(lightgbm.LGBMClassifier(**LGB).fit(TABLE, CLASSES), TABLE.astype(np.float64)),
        "regressor": Case(lightgbm.LGBMRegressor(**LGB).fit(TABLE, REAL), TABLE),
        "linear": Case(lightgbm.LGBMRegressor(**LGB, linear_tree=True).fit(TABLE, REAL), TABLE),
        "json": Case(
            lightgbm.LGBMRegressor(**LGB).fit(TABLE, REAL), TABLE, SaveOptions(LightGBMOptions(format="json"))
        ),
        "categories": Case(
            lightgbm.LGBMClassifier(**LGB).fit(CODES, BINARY, categorical_feature=[0]), CODES.astype(np.int64)
        ),
        "custom": Case(lightgbm.LGBMClassifier(**LGB, objective=logistic).fit(TABLE, BINARY), TABLE),
        "booster": Case(
            lightgbm.train(
                {"num_threads": 1, "verbose": -1, "alpha": float("inf")}, lightgbm.Dataset(TABLE, REAL), 5
            ),
            TABLE,
        ),
        "stopped": Case(stopped, TABLE),
    }
    return both_sides(cases, tmp_path_factory.mktemp("lgb"))


@pytest.mark.parametrize(
    "name", ["binary", "classes", "regressor", "linear", "json", "categories", "custom", "booster", "stopped"]
)
def test_lightgbm_answers_as_the_users_object(lgb: dict[str, Both], name: str) -> None:
    lgb[name].assert_identical()
    classifies = name in {"binary", "classes", "categories", "custom"}
    assert list(lgb[name].expected) == ["predict_proba" if classifies else "predict", "raw_score"]


def test_a_classifier_of_two_classes_gives_a_column_for_each(lgb: dict[str, Both]) -> None:
    given = lgb["binary"].outputs["native"]["predict_proba"]
    assert given.shape == (150, 2)
    assert np.array_equal(given[:, 0], 1 - given[:, 1])
    assert lgb["classes"].outputs["native"]["predict_proba"].shape == (150, 3)
    assert lgb["custom"].outputs["native"]["predict_proba"].shape == (150,)  # raw scores, as LightGBM's own


def test_linear_trees_are_told_from_the_file_and_noted(lgb: dict[str, Both], tmp_path: Path) -> None:
    assert lgb["linear"].saved.options["linear_tree"] is True
    assert any("linear_tree" in note for note in lgb["linear"].saved.notes)
    assert lgb["regressor"].saved.options["linear_tree"] is False
    text = tmp_path / "linear.txt"
    text.write_bytes((lgb["linear"].folder / "model_lgb_v1.txt").read_bytes())
    saved, _, _ = save(Case(text, TABLE), tmp_path / "again")
    assert saved.options["linear_tree"] is True
    assert any("linear_tree" in note for note in saved.notes)


def test_an_early_stopped_lightgbm_keeps_all_trees_and_answers_with_the_best(lgb: dict[str, Both]) -> None:
    both = lgb["stopped"]
    loaded = lightgbm.Booster(model_file=str(both.folder / both.saved.model))
    assert loaded.num_trees() > both.saved.options["num_iteration"]
    assert not np.array_equal(loaded.predict(TABLE), both.outputs["native"]["predict"])
    used = both.saved.options["num_iteration"]
    assert both.saved.options["trees"] == {"used": used, "of": loaded.current_iteration()}
    assert any("stopped early" in note for note in both.saved.notes)


def test_a_json_dump_is_kept_beside_the_text_that_is_replayed(lgb: dict[str, Both]) -> None:
    saved = lgb["json"].saved
    assert saved.model == "model_lgb_v1.txt"
    assert {(item.path, item.role) for item in saved.files} == {
        ("model_lgb_v1.txt", "model"),
        ("model_lgb_v1.json", "optional"),
    }
    assert any("can't be loaded back" in note for note in saved.notes)
    with pytest.raises(NotArchivable, match="dump_model"):
        adapter_for_file(lgb["json"].folder / "model_lgb_v1.json")


def test_parameters_that_are_not_finite_become_null_with_a_note(lgb: dict[str, Both]) -> None:
    assert lgb["booster"].saved.init_args["alpha"] is None
    assert any("'alpha'" in note for note in lgb["booster"].saved.notes)


def test_existing_files_are_kept_byte_for_byte_and_replayed(tmp_path: Path) -> None:
    model = booster()
    trees = lightgbm.LGBMRegressor(**LGB).fit(TABLE, REAL)
    model.save_model(tmp_path / "a.json")
    model.save_model(tmp_path / "b.ubj")
    trees.booster_.save_model(tmp_path / "c.txt")
    names = ["a.json", "b.ubj", "c.txt"]
    found = both_sides({name: Case(tmp_path / name, TABLE) for name in names}, tmp_path / "out")
    for name in names:
        assert found[name].result["status"] == "ok", found[name].result["reason"]
        kept = found[name].folder / found[name].saved.model
        assert kept.read_bytes() == (tmp_path / name).read_bytes()
    data = xgboost.DMatrix(TABLE, feature_names=model.feature_names)
    for name in ("a.json", "b.ubj"):
        assert np.array_equal(found[name].outputs["native"]["predict"], model.predict(data))
    assert np.array_equal(found["c.txt"].outputs["native"]["predict"], trees.predict(TABLE))


@pytest.mark.parametrize(
    ("model", "inputs", "options", "error", "words"),
    [
        (xgboost.XGBClassifier(), TABLE, SaveOptions(), NotArchivable, "not been fitted"),
        (lightgbm.LGBMClassifier(), TABLE, SaveOptions(), NotArchivable, "not been fitted"),
        (None, TABLE, SaveOptions(FrameworkOptions(format="pickle")), BadRequest, "'pickle'"),
        (None, {"a": TABLE, "b": TABLE}, SaveOptions(), NotArchivable, "not 2 inputs"),
        (None, TABLE[0], SaveOptions(), NotArchivable, "table of numbers"),
        (None, TABLE.astype(str), SaveOptions(), NotArchivable, "table of numbers"),
        (None, TABLE[:, :2], SaveOptions(), NotArchivable, "can't answer these inputs"),
    ],
)
def test_what_can_not_be_archived_is_refused_with_advice(
    tmp_path: Path, model: object, inputs: object, options: SaveOptions, error: type, words: str
) -> None:
    models = [model] if model is not None else [booster(), lightgbm.LGBMRegressor(**LGB).fit(TABLE, REAL)]
    for k, each in enumerate(models):
        with pytest.raises(error, match=words) as caught:
            save(Case(each, inputs, options), tmp_path / f"m{k}")
        assert caught.value.advice
