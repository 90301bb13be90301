"""A model file is named for what it is, by its bytes; each way that the advice shows is tried."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pytest
import sklearn.ensemble
import sklearn.pipeline
import sklearn.preprocessing
import torch
import xgboost
from support.roundtrip import Case, both_sides, save

from timeproof.errors import NotArchivable
from timeproof.frameworks import SaveOptions, adapter_for, adapter_for_file
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.frameworks.sklearn import SklearnOptions

RNG = np.random.default_rng(2)
X = RNG.normal(size=(40, 4)).astype(np.float32)
TWO = (X[:, 0] > 0).astype(int)
XGB = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, TWO)
LGB = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1, min_child_samples=3).fit(X, TWO)
PIPELINE = sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler(), XGB).fit(X, TWO)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


# XGBoost's format before JSON: what Booster.save_raw("deprecated") of 3.0 begins with.
BINARY = bytes.fromhex("08ddf53c04000000000000000100000000000000030000000000000001000000010000") + bytes(101)
BINARY += struct.pack("<Q", 16) + b"reg:squarederror" + struct.pack("<Q", 6) + b"gbtree" + bytes(64)


def torchscript(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates it
        torch.jit.trace(net(), torch.zeros(2, 4)).save(path)


def exported(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch of itself
        torch.export.save(torch.export.export(net(), (torch.zeros(2, 4),)), path)


def safetensors(path: Path) -> None:
    weights = np.zeros(4, np.float32).tobytes()
    header = json.dumps({"layer.bias": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + weights)


def arrays(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, x=X)


def keras(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("model.weights.h5", b"{}")


def checkpoint(path: Path) -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    torch.save({"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)


FOREIGN = {
    "a PyTorch file of weights without their class": lambda path: torch.save(net().state_dict(), path),
    "weights without their class (checkpoint)": checkpoint,
    "weights without their class (old)": lambda path: torch.save(
        net().state_dict(), path, _use_new_zipfile_serialization=False
    ),
    f"a PyTorch file that holds pickled objects ({__name__}.Net)": lambda path: torch.save(net(), path),
    f"a PyTorch file that holds pickled objects ({__name__}.Net) (old)": lambda path: torch.save(
        net(), path, _use_new_zipfile_serialization=False
    ),
    "a pickle of xgboost.sklearn.XGBClassifier": lambda path: path.write_bytes(pickle.dumps(XGB)),
    "a pickle of xgboost.core.Booster": lambda path: path.write_bytes(
        pickle.dumps(XGB.get_booster(), protocol=0)
    ),
    "a pickle of lightgbm.sklearn.LGBMClassifier": lambda path: joblib.dump(LGB, path),
    "a pickle of lightgbm.sklearn.LGBMClassifier (packed)": lambda path: joblib.dump(LGB, path, compress=3),
    "a pickle of lightgbm.basic.Booster": lambda path: path.write_bytes(
        gzip.compress(pickle.dumps(LGB.booster_))
    ),
    "a pickle of sklearn.pipeline.Pipeline": lambda path: path.write_bytes(pickle.dumps(PIPELINE)),
    "a pickle: code that runs": lambda path: path.write_bytes(pickle.dumps({"weights": [1, 2]})),
    "XGBoost's old binary format": lambda path: path.write_bytes(b"binf" + BINARY),
    "XGBoost's old binary format (bare)": lambda path: path.write_bytes(BINARY),
    "XGBoost's old binary format (text)": lambda path: path.write_bytes(b"bs64\tYmluZg=="),
    "Keras weights without the model's configuration": keras,
    "HDF5, as Keras wrote it before .keras": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)),
    "GGUF": lambda path: path.write_bytes(b"GGUF\x03" + bytes(64)),
    "a TensorFlow Lite model": lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64)),
    "arrays (.npz), no model": arrays,
    "a zip file that is damaged": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(64)),
    "what LightGBM's dump_model wrote": lambda path: path.write_text(json.dumps(LGB.booster_.dump_model())),
}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    found = {}
    for what, make in FOREIGN.items():
        path = tmp_path_factory.mktemp("foreign") / "made"
        make(path)
        found[what] = path.read_bytes()
    return found


@pytest.mark.parametrize("name", ["model.bin", "model.onnx", "model.json"])
@pytest.mark.parametrize("what", sorted(FOREIGN))
def test_a_file_is_named_for_what_it_is_whatever_it_is_called(
    tmp_path: Path, foreign: dict[str, bytes], what: str, name: str
) -> None:
    (tmp_path / name).write_bytes(foreign[what])
    expected = what.partition(" (checkpoint)")[0].partition(" (old)")[0].partition(" (packed)")[0]
    expected = expected.removesuffix(" (bare)").removesuffix(" (text)")
    with pytest.raises(NotArchivable) as caught:
        adapter_for_file(tmp_path / name)
    assert expected in str(caught.value)
    assert "Python function" not in str(caught.value.advice)


@pytest.mark.parametrize("name", ["m.bin", "m.model", "m", "m.txt"])
def test_models_are_taken_by_their_bytes_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    booster = XGB.get_booster()
    makers = {
        "json": lambda path: path.write_bytes(booster.save_raw("json")),
        "ubj": lambda path: path.write_bytes(booster.save_raw("ubj")),
        "text": LGB.booster_.save_model,
    }
    for form, make in makers.items():
        (tmp_path / form).mkdir()
        make(tmp_path / form / name)
    cases = {form: Case(tmp_path / form / name, X) for form in makers}
    found = both_sides(cases, tmp_path / "out")
    for form in ("json", "ubj"):
        assert found[form].saved.model == f"model_xgb_v1.{form}"
        assert np.array_equal(found[form].outputs["native"]["predict"], booster.predict(xgboost.DMatrix(X)))
    assert np.array_equal(found["text"].outputs["native"]["predict"], LGB.booster_.predict(X))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_onnx_file_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    torch.onnx.export(net(), (torch.from_numpy(X),), dynamo=True, external_data=False).save(
        tmp_path / "m.onnx"
    )
    shutil.copy(tmp_path / "m.onnx", tmp_path / "m.bin")
    saved, _, _ = save(Case(tmp_path / "m.bin", X), tmp_path / "out")
    assert saved.framework == "onnx"


@pytest.mark.parametrize("cut", [0, 1, 7, 9, 40, 200])
@pytest.mark.parametrize("what", sorted(FOREIGN))
def test_a_file_that_is_cut_off_is_refused_in_words(
    tmp_path: Path, foreign: dict[str, bytes], what: str, cut: int
) -> None:
    (tmp_path / "cut").write_bytes(foreign[what][:cut])
    with pytest.raises(NotArchivable) as caught:
        adapter_for_file(tmp_path / "cut")
    assert caught.value.advice


# --- what the advice says works ---------------------------------------------------------------


def test_pickled_trees_are_archived_from_the_python_that_made_them(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(XGB))
    joblib.dump(LGB, tmp_path / "l.joblib")
    with pytest.raises(NotArchivable, match="a pickle of xgboost") as caught:
        adapter_for_file(tmp_path / "x.pkl")
    assert "timeproof.archive(model, inputs" in str(caught.value.advice)
    loaded = {"x": pickle.loads((tmp_path / "x.pkl").read_bytes()), "l": joblib.load(tmp_path / "l.joblib")}
    for both in both_sides(
        {name: Case(model, X) for name, model in loaded.items()}, tmp_path / "out"
    ).values():
        both.assert_identical()


def test_weights_are_archived_in_their_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(4, 3).state_dict(), tmp_path / "m.pt")
    with pytest.raises(NotArchivable) as caught:
        adapter_for_file(tmp_path / "m.pt")
    assert "load_state_dict" in str(caught.value.advice)
    model = torch.nn.Linear(4, 3)
    model.load_state_dict(torch.load(tmp_path / "m.pt"))
    shape = {"in_features": 4, "out_features": 3}
    case = Case(model.eval(), X, SaveOptions(PyTorchOptions(onnx=False, init_args=shape)))
    both_sides({"net": case}, tmp_path / "out")["net"].assert_identical()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_exported_program_can_be_archived_as_its_onnx_export_too(tmp_path: Path) -> None:
    exported(tmp_path / "m.pt2")
    torch.onnx.export(torch.export.load(tmp_path / "m.pt2")).save(tmp_path / "model.onnx")
    both = both_sides({"program": Case(tmp_path / "model.onnx", X[:2])}, tmp_path / "out")["program"]
    (answer,) = both.outputs["native"].values()
    np.testing.assert_allclose(answer, net()(torch.from_numpy(X[:2])).detach().numpy(), rtol=1e-5)


def test_a_pickled_pipeline_is_archived_from_the_python_that_made_it(tmp_path: Path) -> None:
    joblib.dump(PIPELINE, tmp_path / "p.joblib")
    with pytest.raises(NotArchivable, match="a pickle of sklearn") as caught:
        adapter_for_file(tmp_path / "p.joblib")
    assert "timeproof.archive(model, inputs" in str(caught.value.advice)
    case = Case(joblib.load(tmp_path / "p.joblib"), X, SaveOptions(SklearnOptions(onnx=False)))
    both_sides({"pipeline": case}, tmp_path / "out")["pipeline"].assert_identical()


@pytest.mark.parametrize("name", ["m.bin", "m.onnx", "m"])
def test_torchs_own_files_are_taken_by_their_bytes(tmp_path: Path, name: str) -> None:
    makers = {"torch_export": exported, "torchscript": torchscript, "pytorch": safetensors}
    for framework, make in makers.items():
        make(tmp_path / "made")
        (tmp_path / "made").rename(tmp_path / name)
        assert adapter_for_file(tmp_path / name).name == framework


def test_a_part_of_a_model_is_refused_with_the_whole_in_the_advice() -> None:
    with pytest.raises(NotArchivable) as caught:
        adapter_for(sklearn.ensemble.RandomForestClassifier(1).fit(X, TWO)[0].tree_)
    assert "Pipeline" in str(caught.value.advice)


def test_a_forest_is_archived_as_its_onnx_conversion(tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    forest = sklearn.ensemble.RandomForestClassifier(5, random_state=0).fit(X, TWO)
    converted = skl2onnx.to_onnx(forest, X, options={"zipmap": False})
    (tmp_path / "f.onnx").write_bytes(converted.SerializeToString())
    both = both_sides({"forest": Case(tmp_path / "f.onnx", X)}, tmp_path / "out")["forest"]
    np.testing.assert_allclose(both.outputs["native"]["probabilities"], forest.predict_proba(X), atol=1e-6)
