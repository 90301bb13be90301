"""Tables of Polars and Arrow: the model is asked with them, the container with the same numbers."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from support.roundtrip import Both, Case, both_sides

from timeproof.errors import NotArchivable
from timeproof.frameworks import adapter_for, read_inputs

polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")

RNG = np.random.default_rng(11)
ROWS = 100
NUMBERS = pd.DataFrame(
    {
        "age": RNG.integers(18, 90, ROWS),
        "income": np.where(RNG.random(ROWS) < 0.2, np.nan, RNG.normal(size=ROWS)),
        "member": RNG.random(ROWS) > 0.5,
    }
)
TARGET = (NUMBERS.age / 30 + NUMBERS.income.fillna(2)).to_numpy()
REVERSED = polars.from_pandas(NUMBERS[NUMBERS.columns[::-1]])
XGB = xgboost.XGBRegressor(n_estimators=6, n_jobs=1).fit(polars.from_pandas(NUMBERS), TARGET)
LGB = lightgbm.LGBMRegressor(n_estimators=6, n_jobs=1, verbose=-1, min_child_samples=3).fit(NUMBERS, TARGET)
CASES = {
    "xgb polars": Case(XGB, polars.from_pandas(NUMBERS)),
    "xgb polars reversed": Case(XGB, REVERSED),  # its wrapper holds the names of pandas' columns alone
    "xgb arrow": Case(XGB, pyarrow.Table.from_pandas(NUMBERS)),
    "xgb booster polars": Case(XGB.get_booster(), polars.from_pandas(NUMBERS)),
    "lgb polars": Case(LGB, polars.from_pandas(NUMBERS)),
    "lgb arrow": Case(LGB, pyarrow.Table.from_pandas(NUMBERS)),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    return both_sides(CASES, tmp_path_factory.mktemp("frames"))


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_stored_table_gives_the_users_own_answer(runs: dict[str, Both], name: str) -> None:
    runs[name].assert_identical()
    model, table = CASES[name].model, CASES[name].inputs
    own = model.predict(xgboost.DMatrix(table) if isinstance(model, xgboost.Booster) else table)
    assert np.array_equal(runs[name].outputs["native"]["predict"], own)


def test_a_booster_refuses_polars_columns_in_another_order_in_its_own_words(tmp_path: Path) -> None:
    booster = XGB.get_booster()
    with pytest.raises(NotArchivable, match="feature_names mismatch"):
        read_inputs(adapter_for(booster), booster, REVERSED)
