"""PMML and PFA copies as sealing writes, measures and refuses them; with documents that nyoka 5.5.0 wrote.

`nyoka/` holds two models and nyoka's conversions of them. It knows XGBoost up to 1.7; of
a model of XGBoost 3.2 it drops the value that the sums begin with, without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost

from timeproof.errors import BadRequest, SealFailed
from timeproof.frameworks import SaveOptions
from timeproof.frameworks.lightgbm import LightGBMOptions
from timeproof.importing.flow import Request, import_models
from timeproof.replaying.flow import replay
from timeproof.store.layout import Archive
from timeproof.store.verify import verify
from timeproof.testing.archives import engine, publish_environment, seal

NYOKA = Path(__file__).parent / "nyoka"
ROWS = np.linspace(-1, 1, 48, dtype=np.float32).reshape(12, 4)[:, [2, 0, 3, 1]] * np.float32([1, -1, 1, 2])
TABLE = ROWS.astype(np.float64)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive(tmp_path / "archive")
    publish_environment(made)
    return made


@pytest.fixture
def numpy_environment(archive: Archive) -> str:
    return publish_environment(archive, "arrays", "numpy-2.4.6").folder


def _boosted() -> Any:
    model = lightgbm.LGBMRegressor(n_estimators=3, min_child_samples=2, n_jobs=1, verbose=-1)
    return model.fit(TABLE, TABLE[:, 0] + TABLE[:, 1] ** 2)


def test_a_small_model_of_trees_gets_a_pmml_copy_unasked(archive: Archive, numpy_environment: str) -> None:
    done = seal(archive, _boosted(), TABLE, environment=numpy_environment)
    (copy,) = done.metadata.copies
    assert (copy.name, copy.file, copy.distance.verdict) == ("pmml", "model_lgb_v1.pmml", "identical")
    assert done.metadata.notes == []
    assert verify(archive).ok


def test_what_is_asked_for_is_written_and_nothing_else(archive: Archive, numpy_environment: str) -> None:
    for options, names in (
        (LightGBMOptions(pmml=False), []),
        (LightGBMOptions(pmml=False, pfa=True), ["pfa"]),
        (LightGBMOptions(pmml=True, pfa=True), ["pmml", "pfa"]),
    ):
        done = seal(archive, _boosted(), TABLE, environment=numpy_environment, options=SaveOptions(options))
        assert [copy.name for copy in done.metadata.copies] == names
        assert {copy.distance.verdict for copy in done.metadata.copies} <= {"identical"}


def test_an_environment_without_numpy_gets_none(archive: Archive) -> None:
    assert seal(archive, _boosted(), TABLE).metadata.copies == []


def test_a_copy_becomes_a_model_of_its_own_by_its_own_verification(
    archive: Archive, numpy_environment: str, tmp_path: Path
) -> None:
    seal(archive, _boosted(), TABLE, environment=numpy_environment)
    document = archive.root / "grid-size-8/lightgbm/model_lgb_v1.pmml"
    request = Request(source=document, grid_size=8, environment=numpy_environment)
    imported = import_models(archive, request, engine)
    assert [str(ref) for ref in imported.refs] == ["grid-size-8/pmml/v1"]
    assert "own ModelVerification, 12 rows" in imported.notes[0]
    result = replay(archive, list(imported.refs), engine())
    assert [str(artifact.verdict) for artifact in result.replayed] == ["identical"]
    again = import_models(archive, request, engine)
    assert again.refs == ()
    with pytest.raises(BadRequest, match="belong together"):
        import_models(archive, Request(document, 8, numpy_environment, inputs=tmp_path / "x.npy"), engine)


def test_nyokas_conversion_of_lightgbm_is_kept(archive: Archive) -> None:
    booster = lightgbm.Booster(model_file=NYOKA / "lightgbm.txt")
    done = seal(archive, booster, TABLE, copies={"pmml": NYOKA / "lightgbm.pmml"})
    (copy,) = done.metadata.copies
    assert copy.distance.verdict in {"identical", "rounding"}
    assert copy.distance.compared == {"predict": "y", "raw_score": "predicted_y"}


def test_nyokas_conversion_of_xgboost_is_another_answer(archive: Archive) -> None:
    booster = xgboost.Booster(model_file=NYOKA / "xgboost.json")
    given = {"pmml": NYOKA / "xgboost.pmml"}
    with pytest.raises(SealFailed, match="pmml: broken"):
        seal(archive, booster, ROWS, copies=given)
    assert list(archive.refs()) == []
    assert verify(archive).ok
    done = seal(archive, booster, ROWS, copies=given, keep_inexact=True)
    assert done.metadata.kept == ["inexact"]
    (copy,) = done.metadata.copies
    assert copy.distance.outputs["predict"].max_abs > 0.05


def test_a_copy_of_another_model_and_a_cut_one_are_refused(archive: Archive, tmp_path: Path) -> None:
    booster = lightgbm.Booster(model_file=NYOKA / "lightgbm.txt")
    with pytest.raises(SealFailed, match="pmml: broken"):
        seal(archive, booster, TABLE, copies={"pmml": NYOKA / "xgboost.pmml"})
    cut = tmp_path / "cut.pmml"
    cut.write_bytes((NYOKA / "lightgbm.pmml").read_bytes()[:3000])
    with pytest.raises(Exception, match="no XML that can be read"):
        seal(archive, booster, TABLE, copies={"pmml": cut})
    assert list(archive.refs()) == []
    assert verify(archive).ok
