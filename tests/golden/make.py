"""Make the golden archives of one schema. Run once for each schema, by hand; no test ever does.

    PYTHONPATH=tests:tests/user_code .venv-dev/bin/python tests/golden/make.py tests/golden/v1

Archives one model or more for each framework, in the environment that runs this, and keeps what is small:
metadata, references, model files, sources, the environment's record. What must hold on every CPU is proved on
simulated ones first.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from support.distributions import all_but_models

GRID_SIZE = 6
RNG = np.random.default_rng(20260102)
PICTURES = RNG.normal(size=(7, 1, GRID_SIZE, GRID_SIZE)).astype(np.float32)
KINDS = np.array([0, 1, 2, 3, 4, 0, 1])
TABLE = RNG.normal(size=(60, 5)).astype(np.float32)
TABLE[RNG.random(TABLE.shape) < 0.1] = np.nan
CLASSES = np.digitize(np.nan_to_num(TABLE[:, 0]), [-0.5, 0.5])
REAL = np.nan_to_num(TABLE[:, 0] * 3 + TABLE[:, 1])
ROWS = TABLE[:17]


def net() -> dict[str, Any]:
    import torch
    from golden_net import GoldenNet

    from timeproof.frameworks.pytorch import PyTorchOptions

    torch.manual_seed(0)
    settings = {"width": 6, "classes": 3}
    return {
        "model": GoldenNet(**settings).eval(),
        "inputs": {"pictures": PICTURES, "kinds": KINDS},
        "options": PyTorchOptions(init_args=settings),
    }


def xgboost_json() -> dict[str, Any]:
    import xgboost

    model = xgboost.XGBClassifier(
        n_estimators=12, max_depth=3, learning_rate=0.9, n_jobs=1, early_stopping_rounds=2
    )
    model.fit(TABLE[:40], CLASSES[:40], eval_set=[(TABLE[40:], CLASSES[40:])], verbose=False)
    return {"model": model, "inputs": ROWS}


def xgboost_ubj() -> dict[str, Any]:
    import xgboost

    from timeproof.frameworks.xgboost import XGBoostOptions

    model = xgboost.train(
        {"booster": "dart", "rate_drop": 0.3, "nthread": 1}, xgboost.DMatrix(TABLE, REAL), 6
    )
    return {"model": model, "inputs": ROWS, "options": XGBoostOptions(format="ubj")}


def lightgbm_classifier() -> dict[str, Any]:
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=6, min_child_samples=4, n_jobs=1, verbose=-1)
    return {"model": model.fit(TABLE, CLASSES > 0), "inputs": ROWS.astype(np.float64)}


def lightgbm_regressor() -> dict[str, Any]:
    import lightgbm

    codes = np.column_stack([RNG.integers(0, 4, 60), TABLE[:, 1]])
    model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=4, n_jobs=1, verbose=-1)
    return {"model": model.fit(codes, REAL, categorical_feature=[0]), "inputs": codes[:17]}


def graph() -> dict[str, Any]:
    from onnx import TensorProto, helper, numpy_helper

    weights = RNG.normal(size=(5, 8)).astype(np.float32)
    head = RNG.normal(size=(8, 3)).astype(np.float32)
    made = helper.make_graph(
        [
            helper.make_node("MatMul", ["rows", "weights"], ["hidden"]),
            helper.make_node("Tanh", ["hidden"], ["bent"]),
            helper.make_node("MatMul", ["bent", "head"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "golden",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 5])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3]),
        ],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(head, "head")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return {"model": model, "inputs": {"rows": np.nan_to_num(ROWS)}}


MODELS = (net, xgboost_json, xgboost_ubj, lightgbm_classifier, lightgbm_regressor, graph)


def keep(archive: Path, target: Path) -> None:
    """Copy what is small: no package, no image, and no recipe."""
    for folder in sorted(archive.glob("grid-size-*")):
        shutil.copytree(folder, target / folder.name, ignore=shutil.ignore_patterns(".lock", ".*"))
    for record in sorted(archive.glob("environments/*/image.json")):
        place = target / record.relative_to(archive)
        place.parent.mkdir(parents=True)
        shutil.copyfile(record, place)


def seal(root: Path, environment: str | None, *, prove: bool) -> str:
    """Archive every model; where asked, prove on simulated CPUs that no bit of it moves."""
    import timeproof

    for make in MODELS:
        fields = make()
        model, inputs = fields.pop("model"), fields.pop("inputs")
        without = () if environment else all_but_models()
        done = timeproof.archive(
            model,
            inputs,
            grid_size=GRID_SIZE,
            root=root,
            environment=environment,
            without=without,
            prove_portable=prove,
            **fields,
        )
        environment = done.metadata.environment.name
        print(done.ref, [(p.cpu, p.profile, p.verdict) for p in done.metadata.proofs], flush=True)
        moved = [p for p in done.metadata.proofs if p.emulator and p.verdict != "identical"]
        assert not moved or done.ref.framework == "onnx", f"{done.ref} moves: choose another model"
    assert environment is not None
    return environment


def main(target: Path) -> None:
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own, while they save and export
        root = Path(name)
        environment = seal(root, None, prove=True)
        # One document of an artifact that was proved, for its fields; its emulator is no file here.
        (target / "documents").mkdir()
        for proved in root.glob("grid-size-*/xgboost/metadata_xgb_v1.json"):
            shutil.copyfile(proved, target / "documents" / "metadata_proved.json")
        for folder in root.glob("grid-size-*"):
            shutil.rmtree(folder)
        seal(root, environment, prove=False)
        keep(root, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
