"""Tables of every make: what is stored gives, in the probe, what the user's own call gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xgboost
from support.roundtrip import Both, Case, both_sides, save

from timeproof.errors import NotArchivable
from timeproof.frameworks import SaveOptions, adapter_for, read_inputs
from timeproof.frameworks.conversions import with_copies
from timeproof.testing import probing

RNG = np.random.default_rng(11)
ROWS = 120
CITIES = RNG.choice(["Bern", "Lima", "Oslo", "Rome"], ROWS)
FRAME = pd.DataFrame(
    {
        "age": RNG.integers(18, 90, ROWS),
        "income": np.where(RNG.random(ROWS) < 0.2, np.nan, RNG.normal(size=ROWS)),
        "city": pd.Categorical(CITIES),
        "member": RNG.random(ROWS) > 0.5,
        "plan": pd.Categorical(RNG.choice([5, 7, 9], ROWS), ordered=True),
    }
)
TARGET = FRAME.age / 30 + FRAME.city.cat.codes % 2 * 3 + FRAME.income.fillna(2) + (FRAME.plan.cat.codes == 1)
YES = np.where(TARGET.median() < TARGET, "yes", "no")
# The same values, with the categories in another order: a table as it comes later.
LATER = FRAME.assign(
    city=pd.Categorical(CITIES, categories=["Rome", "Oslo", "Lima", "Bern"]),
    plan=pd.Categorical(FRAME.plan.astype(int), categories=[9, 7, 5], ordered=True),
)
NUMBERS = FRAME[["age", "income", "member"]]
# Two thirds are left out; some zeros are written down.
SPARSE = scipy.sparse.random(ROWS, 8, density=0.3, random_state=3, format="csr", dtype=np.float64)
SPARSE.data[::7] = 0.0
SPARSE.data[::5] = np.nan
_DENSE = SPARSE.toarray()
SPARSE_TARGET = np.nansum(_DENSE, axis=1) + (_DENSE[:, 0] == 0) + 3 * np.isnan(_DENSE[:, :3]).any(axis=1)
XGB = {"n_estimators": 6, "max_depth": 4, "n_jobs": 1}
LGB = {"n_estimators": 6, "n_jobs": 1, "verbose": -1, "min_child_samples": 3, "min_data_per_group": 5}


def xgb_frames() -> xgboost.XGBRegressor:
    return xgboost.XGBRegressor(**XGB, enable_categorical=True).fit(FRAME, TARGET)


def xgb_booster() -> xgboost.Booster:
    data = xgboost.DMatrix(FRAME, TARGET, enable_categorical=True)
    return xgboost.train({"max_depth": 4, "nthread": 1}, data, 6)


def lgb_frames() -> lightgbm.LGBMRegressor:
    return lightgbm.LGBMRegressor(**LGB).fit(FRAME, TARGET)


def lgb_booster() -> lightgbm.Booster:
    data = lightgbm.Dataset(FRAME, TARGET)
    return lightgbm.train({"num_threads": 1, "verbose": -1, "min_data_per_group": 5}, data, 6)


def nullable() -> pd.DataFrame:
    frame = NUMBERS.astype({"age": "Int64", "member": "boolean"})
    frame.loc[3, "age"] = pd.NA
    frame.loc[5, "member"] = pd.NA
    return frame


def unseen() -> pd.DataFrame:
    """A table with a category that the training had not."""
    city = FRAME.city.astype(object)
    city[:10] = "Quito"
    return FRAME.assign(city=pd.Categorical(city))


def asked_for(model: object, table: object) -> np.ndarray:
    """The user's own answer, with nothing of ours in between."""
    if isinstance(model, xgboost.Booster):
        if not isinstance(table, xgboost.DMatrix):
            table = xgboost.DMatrix(table, enable_categorical=True)
        return model.predict(table)
    return getattr(model, "predict_proba", model.predict)(table)


def cases() -> dict[str, Case]:
    plain = xgboost.XGBRegressor(**XGB).fit(NUMBERS, TARGET)
    plain_lgb = lightgbm.LGBMRegressor(**LGB).fit(NUMBERS, TARGET)
    spare = xgboost.XGBRegressor(**XGB).fit(SPARSE, SPARSE_TARGET)
    spare_lgb = lightgbm.LGBMRegressor(**LGB).fit(SPARSE, SPARSE_TARGET)
    zero = xgboost.XGBRegressor(**XGB, missing=0.0).fit(SPARSE, SPARSE_TARGET)
    dart = xgboost.XGBRegressor(**XGB, booster="dart", rate_drop=0.5).fit(SPARSE, SPARSE_TARGET)
    coded = xgboost.XGBRegressor(**XGB, enable_categorical=True, feature_types=["c", "q"]).fit(
        np.column_stack([FRAME.city.cat.codes, FRAME.age]).astype(float), TARGET
    )
    training = xgboost.DMatrix(SPARSE, SPARSE_TARGET, feature_names=[f"f {k}" for k in range(8)])
    return {
        "xgb numbers": Case(plain, NUMBERS),
        "xgb nullable": Case(plain, nullable()),
        "xgb by name": Case(plain, {"people": NUMBERS}),
        "xgb categories": Case(xgb_frames(), FRAME),
        "xgb later": Case(xgb_frames(), LATER),
        "xgb unused": Case(xgb_frames(), FRAME.assign(city=FRAME.city.cat.add_categories("Aosta"))),
        "xgb missing category": Case(xgb_frames(), FRAME.assign(city=FRAME.city.where(FRAME.age > 40))),
        "xgb booster later": Case(xgb_booster(), LATER),
        "xgb own codes": Case(coded, FRAME[["city", "age"]]),
        "xgb few rows": Case(xgb_frames(), LATER[50:53]),
        "lgb numbers": Case(plain_lgb, NUMBERS),
        "lgb nullable": Case(plain_lgb, nullable()),
        "lgb reversed": Case(plain_lgb, NUMBERS[NUMBERS.columns[::-1]]),
        "lgb categories": Case(lgb_frames(), FRAME),
        "lgb later": Case(lgb_frames(), LATER),
        "lgb unseen": Case(lgb_frames(), unseen()),
        "lgb booster later": Case(lgb_booster(), LATER),
        "lgb labels": Case(lightgbm.LGBMClassifier(**LGB).fit(FRAME, YES), LATER),
        "lgb few rows": Case(lgb_frames(), LATER[50:53]),
        **{
            f"{name} {form}": Case(model, SPARSE.asformat(form))
            for name, model in (("xgb", spare), ("lgb", spare_lgb))
            for form in ("csr", "csc", "coo", "lil")
            if (name, form) != ("xgb", "lil")  # XGBoost itself does not read it
        },
        "xgb csr_array": Case(spare, scipy.sparse.csr_array(SPARSE)),
        "lgb csr_array": Case(spare_lgb, scipy.sparse.csr_array(SPARSE)),
        "xgb zero is missing": Case(zero, SPARSE),
        "xgb dart csr": Case(dart, SPARSE),
        "xgb dart csc": Case(dart, SPARSE.tocsc()),
        "xgb matrix": Case(
            xgboost.train({"max_depth": 4, "nthread": 1}, training, 6),
            xgboost.DMatrix(SPARSE, feature_names=training.feature_names),
        ),
        "xgb pandas sparse": Case(plain, NUMBERS.assign(age=NUMBERS.age.astype("Sparse[int64]"))),
        "lgb pandas sparse": Case(plain_lgb, NUMBERS.assign(age=NUMBERS.age.astype("Sparse[int64]"))),
    }


CASES = cases()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    return both_sides(CASES, tmp_path_factory.mktemp("tables"))


@pytest.mark.filterwarnings("ignore:Sparse arrays from pandas:UserWarning")
@pytest.mark.filterwarnings("ignore:Converting data to scipy sparse matrix:UserWarning")
@pytest.mark.parametrize("name", sorted(CASES))
def test_the_stored_table_gives_the_users_own_answer(runs: dict[str, Both], name: str) -> None:
    runs[name].assert_identical()
    table = CASES[name].inputs["people"] if isinstance(CASES[name].inputs, dict) else CASES[name].inputs
    (first, *_) = runs[name].outputs["native"].values()
    assert np.array_equal(first, asked_for(CASES[name].model, table))


def test_the_cases_tell_a_wrong_reading_from_a_right_one() -> None:
    """The answers move where a missing value becomes 0, or a category gets another number."""
    for model, table in (("xgb csr", SPARSE), ("lgb csr", SPARSE)):
        wrong = np.where(SPARSE.toarray() == 0, np.nan if model.startswith("lgb") else 0.0, SPARSE.toarray())
        assert not np.array_equal(CASES[model].model.predict(table), CASES[model].model.predict(wrong))
    codes = LATER.assign(city=LATER.city.cat.codes, plan=LATER.plan.cat.codes).to_numpy(dtype=float)
    assert not np.array_equal(
        CASES["xgb later"].model.predict(LATER), CASES["xgb later"].model.predict(codes)
    )
    booster = CASES["lgb booster later"].model
    assert not np.array_equal(booster.predict(LATER), booster.predict(codes))


def test_a_sparse_matrix_is_stored_by_its_own_arrays(runs: dict[str, Both]) -> None:
    assert runs["xgb csr"].saved.input_names == ("input.data", "input.indices", "input.indptr")
    assert runs["xgb csr"].saved.options["sparse"] == {"format": "csr", "shape": [ROWS, 8]}
    assert runs["xgb csc"].saved.options["sparse"]["format"] == "csc"
    assert "sparse" not in runs["xgb numbers"].saved.options


@pytest.mark.parametrize("model", [xgb_frames(), xgb_booster()])
def test_xgboost_refuses_columns_in_another_order_in_its_own_words(model: object) -> None:
    with pytest.raises(NotArchivable, match="feature_names mismatch") as caught:
        read_inputs(adapter_for(model), model, FRAME[FRAME.columns[::-1]])
    assert caught.value.advice


def test_a_category_that_xgboost_has_not_seen_is_refused() -> None:
    """XGBoost 3.2 takes Quito for Rome, the next that it knows, and refuses Zug: none comes after."""
    model = xgb_frames()
    rome = FRAME.assign(city=FRAME.city.astype(object).mask(FRAME.index < 10, "Rome").astype("category"))
    assert np.array_equal(model.predict(unseen()), model.predict(rome))
    with pytest.raises(NotArchivable, match=r"'city' has categories .*: Quito\.") as caught:
        read_inputs(adapter_for(model), model, unseen())
    assert caught.value.advice


def test_a_category_that_no_row_has_is_no_matter(runs: dict[str, Both]) -> None:
    assert "Aosta" in CASES["xgb unused"].inputs.city.cat.categories
    assert runs["xgb unused"].saved.signature["features"][2]["categories"] == ["Bern", "Lima", "Oslo", "Rome"]


def test_the_probe_holds_the_columns_against_the_models_own(tmp_path: Path) -> None:
    model = CASES["xgb numbers"].model
    saved, _, _ = save(Case(model, NUMBERS), tmp_path / "m")
    assert saved.options["columns"] == ["age", "income", "member"]
    wrong = replace(saved, options={**saved.options, "columns": ["age", "member", "income"]})
    jobs = [
        probing.artifact(
            tmp_path / "m", "xgboost", s.model, names=["input"], name=name, options=dict(s.options)
        )
        for name, s in (("right", saved), ("wrong", wrong))
    ]
    replay = probing.run(jobs, tmp_path, threads=1)
    assert replay.status("right") == "ok"
    assert replay.status("wrong") == "refused"
    assert "feature_names mismatch" in replay.results["wrong"]["reason"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sparse": {"format": "bsr", "shape": [ROWS, 8]}}, "no sparse matrix"),
        ({"sparse": None}, "takes one input, not 3"),
        ({"sparse": {"format": "csr", "shape": [2, 2]}}, "ValueError"),
    ],
)
def test_arrays_that_make_up_no_table_are_refused_by_the_probe(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    saved, given, _ = save(Case(CASES["xgb csr"].model, SPARSE), tmp_path / "m")
    options = {**saved.options, **change}
    job = probing.artifact(
        tmp_path / "m", "xgboost", saved.model, names=list(given), name="m", options=options
    )
    replay = probing.run([job], tmp_path, threads=1)
    assert replay.status("m") == "refused"
    assert words in replay.results["m"]["reason"]


def onnx_model() -> bytes:
    from onnx import TensorProto, helper

    port = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", port[:1], port[1:])
    return helper.make_model(graph).SerializeToString()


def test_a_copy_in_onnx_takes_no_sparse_matrix(tmp_path: Path) -> None:
    saved, given, _ = save(Case(CASES["xgb csr"].model, SPARSE), tmp_path / "m")
    with pytest.raises(NotArchivable, match="sparse matrix") as caught:
        with_copies(saved, {"onnx": onnx_model()}, given, tmp_path, "xgb_v1", SaveOptions())
    assert "without a copy" in str(caught.value.advice)


def test_columns_without_numbers_are_named() -> None:
    model = lgb_frames()
    table = FRAME.assign(age=CITIES, member=pd.Timestamp("2020-01-01"))
    with pytest.raises(NotArchivable, match=r"age: (object|<U4|str), member: datetime64") as caught:
        read_inputs(adapter_for(model), model, table)
    assert "code" not in str(caught.value.advice)


def test_lightgbm_refuses_another_number_of_columns_of_categories() -> None:
    model = lgb_frames()
    with pytest.raises(NotArchivable, match="1 columns of categories, the model was trained with 2"):
        read_inputs(adapter_for(model), model, FRAME.assign(plan=FRAME.plan.astype(int)))


def test_a_file_of_lightgbm_brings_its_categories(tmp_path: Path) -> None:
    model = lgb_booster()
    model.save_model(tmp_path / "m.txt")
    found = both_sides({"file": Case(tmp_path / "m.txt", LATER)}, tmp_path / "out")["file"]
    assert np.array_equal(found.outputs["native"]["predict"], model.predict(LATER))


def test_a_file_of_xgboost_with_a_table_of_categories_is_refused_with_a_way_that_works(
    tmp_path: Path,
) -> None:
    model = xgb_booster()
    model.save_model(tmp_path / "m.json")
    with pytest.raises(NotArchivable, match="has categories") as caught:
        save(Case(tmp_path / "m.json", LATER), tmp_path / "out")
    assert "xgboost.Booster(model_file=" in str(caught.value.advice)
    loaded = xgboost.Booster(model_file=str(tmp_path / "m.json"))
    found = both_sides({"loaded": Case(loaded, LATER)}, tmp_path / "advised")["loaded"]
    found.assert_identical()
    assert np.array_equal(found.outputs["native"]["predict"], asked_for(model, LATER))


@pytest.mark.parametrize("change", ["categories", "base_margin"])
def test_a_matrix_that_does_not_give_back_all_is_refused(change: str) -> None:
    model = xgb_booster()
    if change == "categories":
        matrix = xgboost.DMatrix(FRAME, enable_categorical=True)
    else:
        matrix = xgboost.DMatrix(NUMBERS, base_margin=np.ones(ROWS))
    with pytest.raises(NotArchivable, match=change) as caught:
        read_inputs(adapter_for(model), model, matrix)
    assert caught.value.advice


def test_the_users_own_table_is_what_the_model_is_asked_with() -> None:
    given: list[object] = []

    class Watched(lightgbm.LGBMRegressor):
        def predict(self, X: object, **more: object) -> np.ndarray:
            given.append(X)
            return super().predict(X, **more)

    model = Watched(**LGB).fit(FRAME, TARGET)
    adapter = adapter_for(model)
    for table in (LATER, NUMBERS.to_numpy(dtype=float), SPARSE):
        given.clear()
        if table is not LATER:
            model.fit(table, TARGET)
        read_inputs(adapter, model, table)
        assert given[0] is table
