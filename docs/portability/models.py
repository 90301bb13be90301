"""The models whose bits are compared over CPUs: each function gives what `timeproof.archive` takes.

Small on purpose: on a simulated CPU they take 5 to 90 times longer.
"""

import tempfile
from pathlib import Path

import nets
import numpy as np
import torch

ROWS = 33  # of each reference


def _random(*shape):
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def _net(kind, inputs, **init_args):
    torch.manual_seed(0)
    model = kind(**init_args)
    with torch.no_grad():  # as if trained: weights and running statistics that are not the defaults
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                spread = (
                    torch.rand_like(value) * 0.5 + 0.5 if "var" in name else torch.randn_like(value) * 0.1
                )
                value.copy_(spread if "running" in name else value + spread)
    return {"model": model.eval(), "inputs": inputs, "init_args": init_args}


def torch_lstm():
    return _net(nets.Recurrent, {"sequence": _random(ROWS, 9, 8)}, hidden=16)


def torch_attention():
    return _net(nets.Attention, {"tokens": _random(5, 7, 16)}, width=16, heads=4)


def torch_depthwise():
    return _net(nets.Depthwise, {"pictures": _random(5, 3, 16, 16)}, channels=12)


def torch_batch_norm():
    return _net(nets.Normed, {"rows": _random(ROWS, 20)}, width=32)


def torch_embedding():
    words = np.random.default_rng(7).integers(0, 200, (ROWS, 12))
    return _net(nets.Embedded, {"words": words}, words=200, width=24)


def torch_int8():
    return _net(nets.Int8, {"rows": _random(ROWS, 32)}, width=48) | {"onnx": False}


def torch_distances():
    return _net(nets.Distances, {"rows": _random(ROWS, 10)}, centres=5)


def _regression():
    x = _random(400, 12)
    return x, np.sin(x[:, 0]) + x[:, 1] * x[:, 2]


def xgboost_forest():
    """A random forest that regresses."""
    import xgboost

    x, y = _regression()
    model = xgboost.XGBRFRegressor(n_estimators=30, max_depth=5, n_jobs=1, random_state=0)
    return model.fit(x, y), x[:ROWS]


def xgboost_dart():
    """Boosting with dropout, for three classes."""
    import xgboost

    x, y = _regression()
    model = xgboost.XGBClassifier(
        booster="dart", rate_drop=0.2, n_estimators=20, max_depth=3, n_jobs=1, random_state=0
    )
    return model.fit(x, np.digitize(y, [-0.5, 0.5])), x[:ROWS]


def lightgbm_categorical():
    """Splits on sets of categories."""
    import lightgbm

    rng = np.random.default_rng(7)
    x = np.column_stack([rng.integers(0, 30, 600), rng.standard_normal((600, 4))]).astype(np.float32)
    y = (np.isin(x[:, 0], [1, 4, 9, 16, 25]) ^ (x[:, 1] > 0)).astype(int)
    model = lightgbm.LGBMClassifier(
        n_estimators=25, num_leaves=11, min_child_samples=5, n_jobs=1, random_state=0, verbosity=-1
    )
    return model.fit(x, y, categorical_feature=[0]), x[:ROWS]


def lightgbm_poisson():
    """A regression whose answer is an exponential."""
    import lightgbm

    x, y = _regression()
    model = lightgbm.LGBMRegressor(
        objective="poisson", n_estimators=25, num_leaves=11, n_jobs=1, random_state=0, verbosity=-1
    )
    return model.fit(x, np.exp(y)), x[:ROWS]


def lightgbm_linear():
    """A linear model in every leaf."""
    import lightgbm

    x, y = _regression()
    model = lightgbm.LGBMRegressor(
        linear_tree=True, n_estimators=15, num_leaves=7, n_jobs=1, random_state=0, verbosity=-1
    )
    return model.fit(x, y), x[:ROWS]


def _exported(made):
    """The ONNX file of a network, and its inputs."""
    ((name, value),) = made["inputs"].items()
    path = Path(tempfile.mkdtemp(prefix="timeproof-portability-")) / "model.onnx"
    torch.onnx.export(
        made["model"],
        (torch.from_numpy(value),),
        str(path),
        input_names=[name],
        dynamic_axes={name: {0: "rows"}},
        opset_version=17,
        dynamo=False,
    )
    return path, {name: value}


def onnx_lstm():
    return _exported(torch_lstm())


def onnx_attention():
    return _exported(torch_attention())


def onnx_depthwise():
    return _exported(torch_depthwise())


def onnx_int8():
    """Weights and values of 8 bits without a sign, which no CPU saturates."""
    from onnxruntime import quantization

    path, inputs = onnx_depthwise()
    ((name, value),) = inputs.items()

    class Samples(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = [{name: value}]

        def get_next(self):
            return self.left.pop() if self.left else None

    made = path.with_name("int8.onnx")
    quantization.quantize_static(
        path,
        made,
        Samples(),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QUInt8,
    )
    return made, inputs


ALL = (
    torch_lstm, torch_attention, torch_depthwise, torch_batch_norm, torch_embedding,
    torch_int8, torch_distances,
    xgboost_forest, xgboost_dart, lightgbm_categorical, lightgbm_poisson, lightgbm_linear,
    onnx_lstm, onnx_attention, onnx_depthwise, onnx_int8,
)  # fmt: skip
