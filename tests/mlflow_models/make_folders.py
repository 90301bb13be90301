"""Write the model folders of `folders/` with a real MLflow: `make mlflow` has one that can run this.

    python tests/mlflow_models/make_folders.py FOLDER

Beside each folder lies `NAME.answer.json`: what MLflow itself answers to the example, to the last digit.
The committed folders are of MLflow 3.17.2 and 3.18.0, and are not made anew.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Save = Callable[[Path], Any]


def data() -> tuple[Any, Any, Any]:
    """Rows [40, 4] in float32, the same as a DataFrame of float64, and classes."""
    import pandas

    rng = np.random.default_rng(7)
    rows = rng.normal(size=(40, 4)).astype(np.float32)
    classes = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int)
    return rows, pandas.DataFrame(rows.astype(float), columns=["a", "b", "c", "d"]), classes


def tree_folders() -> dict[str, Save]:
    import catboost
    import lightgbm
    import mlflow.catboost
    import mlflow.lightgbm
    import mlflow.xgboost
    import scipy.sparse
    import xgboost

    rows, frame, classes = data()
    settings = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, label=classes), 5)
    named = xgboost.train(settings, xgboost.DMatrix(frame, label=classes), 5)
    wrapper = xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1).fit(frame, classes)
    sparse = scipy.sparse.csr_matrix(np.where(rows > 0, rows, 0))
    few = {"objective": "binary", "num_leaves": 5, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}
    light = lightgbm.train(few, lightgbm.Dataset(rows, label=classes), 5)
    light_wrapper = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1, n_jobs=1)
    light_wrapper.fit(frame, classes)
    cat = catboost.CatBoostClassifier(
        iterations=5, depth=3, verbose=0, allow_writing_files=False, thread_count=1
    ).fit(frame, classes)
    xgb, lgb = mlflow.xgboost.save_model, mlflow.lightgbm.save_model
    return {
        "xgboost_ubj": lambda p: xgb(booster, p, input_example=rows[:6]),
        "xgboost_json": lambda p: xgb(booster, p, input_example=rows[:6], model_format="json"),
        "xgboost_frame": lambda p: xgb(named, p, input_example=frame[:6]),
        "xgboost_sparse": lambda p: xgb(booster, p, input_example=sparse[:6]),
        "xgboost_wrapper": lambda p: xgb(wrapper, p, input_example=frame[:6]),
        "xgboost_no_example": lambda p: xgb(booster, p),
        "lightgbm": lambda p: lgb(light, p, input_example=rows[:6]),
        "lightgbm_wrapper": lambda p: lgb(light_wrapper, p, input_example=frame[:6]),
        "catboost": lambda p: mlflow.catboost.save_model(cat, p, input_example=frame[:6]),
    }


def sklearn_folders() -> dict[str, Save]:
    import mlflow.sklearn
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    rows, frame, classes = data()
    save, trusted = mlflow.sklearn.save_model, ["sklearn.tree._tree.Tree"]
    forest = RandomForestClassifier(3, max_depth=3, random_state=0).fit(rows, classes)
    linear = LogisticRegression().fit(frame, classes)
    return {
        "sklearn_skops": lambda p: save(linear, p, input_example=frame[:6], serialization_format="skops"),
        "sklearn_forest": lambda p: save(
            forest,
            p,
            input_example=rows[:6],
            serialization_format="skops",
            skops_trusted_types=trusted,
        ),
        "sklearn_pickle": lambda p: save(
            linear, p, input_example=frame[:6], serialization_format="cloudpickle"
        ),
    }


def network_folders(scratch: Path) -> dict[str, Save]:
    import mlflow.onnx
    import mlflow.pytorch
    import onnx
    import torch
    from onnx import TensorProto, helper

    rows, _, _ = data()
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    file = scratch / "net.onnx"
    torch.onnx.export(
        net, (torch.tensor(rows[:6]),), file, input_names=["x"], output_names=["y"], dynamo=False,
        dynamic_axes={"x": {0: "n"}},
    )  # fmt: skip
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("left", "right")]
    total = helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 4])
    adder = helper.make_model(
        helper.make_graph([helper.make_node("Add", ["left", "right"], ["sum"])], "adder", sides, [total]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    both = {"left": rows[:6], "right": rows[6:12]}
    pytorch, save_onnx = mlflow.pytorch.save_model, mlflow.onnx.save_model
    return {
        "pytorch_pt2": lambda p: pytorch(net, p, input_example=rows[:6], serialization_format="pt2"),
        "pytorch_pickle": lambda p: pytorch(net, p, input_example=rows[:6], serialization_format="pickle"),
        "onnx": lambda p: save_onnx(onnx.load(file), p, input_example=rows[:6]),
        "onnx_two_inputs": lambda p: save_onnx(adder, p, input_example=both),
    }


def pipeline(path: Path) -> None:
    """A tiny pipeline of transformers with random weights."""
    import mlflow.transformers
    import torch
    import transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a", "the"]
    vocabulary = path.with_suffix(".txt")
    vocabulary.write_text("\n".join(words))
    tokenizer = transformers.BertTokenizer(vocab=str(vocabulary))
    vocabulary.unlink()
    torch.manual_seed(0)
    sizes = {"vocab_size": 10, "hidden_size": 16, "intermediate_size": 16, "max_position_embeddings": 32}
    config = transformers.BertConfig(num_hidden_layers=1, num_attention_heads=2, **sizes)
    model = transformers.BertForSequenceClassification(config).eval()
    mlflow.transformers.save_model(
        transformers.pipeline("text-classification", model=model, tokenizer=tokenizer),
        path,
        input_example=["a good film", "the bad film"],
        pip_requirements=["torch==2.13.0", "transformers==5.24.0"],
    )


def own_code(path: Path) -> None:
    """A model of its author's own code, which MLflow pickles."""
    import mlflow.pyfunc

    class Doubled(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input * 2

    mlflow.pyfunc.save_model(path, python_model=Doubled(), input_example=data()[1][:6])


def answer_of(folder: Path) -> Any:
    """What MLflow's pyfunc answers to the folder's example; None where it has none, or can't be asked."""
    import mlflow.models
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(folder))
    if model.metadata.saved_input_example_info is None:
        return None
    answer = model.predict(model.input_example)
    if hasattr(answer, "to_dict"):
        answer = answer.to_dict(orient="list")
    return (
        {k: np.asarray(v).tolist() for k, v in answer.items()}
        if isinstance(answer, dict)
        else answer.tolist()
    )


def main(target: Path) -> None:
    warnings.simplefilter("ignore")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    target.mkdir(parents=True)
    scratch = target / ".scratch"
    scratch.mkdir()
    makers = {**tree_folders(), **sklearn_folders(), **network_folders(scratch), "transformers": pipeline}
    makers["own_code"] = own_code
    for name, save in makers.items():
        folder = target / name
        try:
            save(folder)
            answer = answer_of(folder)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
            continue
        if answer is not None:
            (target / f"{name}.answer.json").write_text(json.dumps(answer) + "\n")
        print(f"{name}: written")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
