"""A model file is asked in the user's own Python, too, where its library is in use there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from support.roundtrip import Case, save

from timeproof.errors import NotArchivable
from timeproof.frameworks import adapter_for_file, read_inputs

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 4))
TARGET = X[:, 0].copy()
CITY = pd.DataFrame({"city": pd.Categorical(RNG.choice(["Bern", "Lima"], 60)), "x": TARGET})


def xgb_file(path: Path) -> xgboost.Booster:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, TARGET), 4)
    booster.save_model(path / "m.json")
    return booster


def test_a_file_answers_as_the_booster_that_it_makes(tmp_path: Path) -> None:
    booster = xgb_file(tmp_path)
    trees = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(CITY, TARGET), 4)
    trees.save_model(tmp_path / "m.txt")
    later = CITY.assign(city=CITY.city.cat.reorder_categories(["Lima", "Bern"]))
    for name, table, own in (
        ("m.json", X, booster.predict(xgboost.DMatrix(X))),
        ("m.txt", later, trees.predict(later)),
    ):
        adapter = adapter_for_file(tmp_path / name)
        saved, _, _ = save(Case(tmp_path / name, table), tmp_path / f"{name}.saved")
        inputs = read_inputs(adapter, tmp_path / name, table)
        answers = adapter.answers(tmp_path / name, inputs, saved)
        assert next(iter(answers)) == "predict"
        assert np.array_equal(answers["predict"], own)


def test_a_damaged_file_does_not_end_the_users_process(tmp_path: Path) -> None:
    trees = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, TARGET), 4)
    text = trees.model_to_string()
    (tmp_path / "half.txt").write_text(text[: text.index("feature_names")])
    adapter = adapter_for_file(tmp_path / "half.txt")
    saved, inputs, _ = save(Case(tmp_path / "half.txt", X), tmp_path / "saved")
    with pytest.raises(NotArchivable, match="gives no answer in this Python") as caught:
        adapter.answers(tmp_path / "half.txt", inputs, saved)
    assert caught.value.advice


def test_columns_in_another_order_are_refused_by_a_file_too(tmp_path: Path) -> None:
    named = pd.DataFrame(X, columns=list("abcd"))
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(named, TARGET), 4)
    booster.save_model(tmp_path / "m.ubj")
    adapter = adapter_for_file(tmp_path / "m.ubj")
    saved, inputs, _ = save(Case(tmp_path / "m.ubj", named[list("dcba")]), tmp_path / "saved")
    with pytest.raises(NotArchivable, match="feature_names mismatch"):
        adapter.answers(tmp_path / "m.ubj", inputs, saved)


def test_a_process_without_the_library_asks_nothing(tmp_path: Path) -> None:
    xgb_file(tmp_path)
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from timeproof.errors import NotArchivable\n"
        "from timeproof.frameworks import adapter_for_file, read_inputs\n"
        f"path = Path({str(tmp_path / 'm.json')!r})\n"
        "adapter = adapter_for_file(path)\n"
        "inputs = read_inputs(adapter, path, np.zeros((2, 4)))\n"
        "from types import SimpleNamespace\n"
        "try: adapter.answers(path, inputs, SimpleNamespace(options={}))\n"
        "except NotArchivable as error: assert 'not in use' in str(error)\n"
        "else: raise SystemExit('it was asked')\n"
        "assert 'xgboost' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
