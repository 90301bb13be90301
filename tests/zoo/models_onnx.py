"""ONNX: files that other people's wheels ship, scikit-learn's estimators converted, graphs of every kind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from zoo_case import Made, model, wrong

WHEELS = Path(os.environ.get("TIMEPROOF_ZOO_WHEELS", "build/zoo/data"))


def answers(given: Path | bytes, inputs: dict[str, Any]) -> dict[str, Any]:
    """What onnxruntime gives, as its user has it; a list of maps as one array for each key."""
    session = onnxruntime.InferenceSession(given)
    names = [output.name for output in session.get_outputs()]
    found: dict[str, Any] = {}
    for name, value in zip(names, session.run(None, inputs), strict=True):
        if isinstance(value, list) and isinstance(value[0], dict):
            found |= {f"{name}_{key}": np.array([row[key] for row in value], np.float32) for key in value[0]}
        else:
            found[name] = np.asarray(value).astype(str) if np.asarray(value).dtype == object else value
    return found


def file(path: Path, inputs: dict[str, Any]) -> Made:
    return Made(path, inputs, lambda: answers(path, inputs))


def shipped(name: str, **inputs: Any) -> Made:
    return file(WHEELS / name, inputs)


def sound(points: int, rate: int = 16000) -> np.ndarray:
    """A rising voice of a few harmonics, and some noise."""
    seconds = np.arange(points) / rate
    phase = 2 * np.pi * (120 * seconds + 40 * seconds**2)
    voice = sum(np.sin(k * phase) / k for k in (1, 2, 3, 5))
    noise = np.random.default_rng(0).normal(size=points) * 0.01
    return (voice * 0.2 * np.clip(np.sin(8 * seconds), 0, 1) + noise).astype(np.float32)


def picture(text: str, width: int, height: int) -> np.ndarray:
    """float32 [1, 3, height, width], from -1 to 1: black letters on white."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((8, height // 4), text, fill="black", font_size=height // 2)
    return (np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1).copy()


STATE = np.zeros((2, 1, 128), np.float32)
CELL = np.zeros((1, 1, 128), np.float32)


@model("silero-vad: state, rate and sound, in its file's order")
def silero() -> Made:
    return shipped("silero_vad/silero_vad.onnx", input=sound(576)[None], state=STATE, sr=np.array(16000))


@model("silero-vad, 8 kHz, inputs in another order")
def silero_8k() -> Made:
    return shipped(
        "silero_vad/silero_vad.onnx", sr=np.array(8000), state=STATE + 0.1, input=sound(288, 8000)[None]
    )


@model("silero-vad, opset 15")
def silero_op15() -> Made:
    return shipped(
        "silero_vad/silero_vad_16k_op15.onnx", input=sound(576)[None], state=STATE, sr=np.array(16000)
    )


@model("silero-vad, opset 18, without If")
def silero_ifless() -> Made:
    return shipped(
        "silero_vad/silero_vad_op18_ifless.onnx", input=sound(576)[None], sr=np.array(16000), state=STATE
    )


@model("silero-vad with half the weights' bits")
def silero_half() -> Made:
    return shipped("silero_vad/silero_vad_half.onnx", input=sound(576)[None], state=STATE)


@model("silero-vad over a whole sequence")
def silero_sequence() -> Made:
    return shipped(
        "silero_vad/silero_vad_16k_sequence.onnx", input=sound(576 * 40).reshape(40, 576), h=CELL, c=CELL
    )


@model("faster-whisper's silero-vad")
def faster_whisper_vad() -> Made:
    return shipped(
        "faster_whisper/silero_vad_v6.onnx", input=sound(576 * 25).reshape(25, 576), h=CELL, c=CELL
    )


@model("magika: what a file is, from its bytes")
def magika() -> Made:
    texts = [
        b"#!/bin/sh\nset -e\necho hello\n",
        b"import numpy as np\n\ndef f(x):\n    return x\n",
        b"\x7fELF\x02\x01\x01",
    ]
    table = np.full((3, 2048), 256, np.int32)
    for row, text in zip(table, texts, strict=True):
        row[: len(text)] = list(text)
        row[1024 - len(text) : 1024] = list(text)
    return shipped("magika/model.onnx", bytes=table)


@model("rapidocr's detector: a plane of scores for a picture")
def rapidocr_detector() -> Made:
    return shipped("rapidocr/ch_PP-OCRv4_det_infer.onnx", x=picture("the zoo opens at 9", 320, 96))


@model("rapidocr's reader: 6,625 scores at each place")
def rapidocr_reader() -> Made:
    return shipped("rapidocr/ch_PP-OCRv4_rec_infer.onnx", x=picture("the zoo", 160, 48))


@model("rapidocr's classifier of what stands on its head")
def rapidocr_classifier() -> Made:
    return shipped("rapidocr/ch_ppocr_mobile_v2.0_cls_infer.onnx", x=picture("the zoo", 192, 48))


@model("basic-pitch: notes of two seconds of sound")
def basic_pitch() -> Made:
    x = sound(43844, 22050).reshape(1, 43844, 1)
    return shipped("basic_pitch/nmp.onnx", **{"serving_default_input_2:0": x})


def converted(estimator: Any, x: np.ndarray, **options: Any) -> Made:
    """skl2onnx's conversion, as a model in memory."""
    from skl2onnx import to_onnx

    made = to_onnx(estimator, x[:1], options=options or None, target_opset=17)
    inputs = {"X": x}
    return Made(made, inputs, lambda: answers(made.SerializeToString(), inputs))


def rows() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(2).normal(size=(120, 5)).astype(np.float32)
    return x, np.digitize(x[:, 0] + x[:, 1] ** 2, [0.3, 1.2])


@model("scikit-learn's pipeline, converted; probabilities in an array")
def sklearn_pipeline() -> Made:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = rows()
    return converted(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), x, zipmap=False)


@model("scikit-learn's forest, converted; string labels, probabilities in maps")
def sklearn_forest_maps() -> Made:
    from sklearn.ensemble import RandomForestClassifier

    x, y = rows()
    labels = np.array(["tern", "gull", "auk"])[y]
    return converted(RandomForestClassifier(12, max_depth=4, random_state=0).fit(x, labels), x)


@model("scikit-learn's boosted regressor, converted")
def sklearn_boosted() -> Made:
    from sklearn.ensemble import GradientBoostingRegressor

    x, _ = rows()
    return converted(GradientBoostingRegressor(n_estimators=12, random_state=0).fit(x, x[:, 0] * x[:, 1]), x)


@model("a Gaussian process, converted, in float64")
def sklearn_process() -> Made:
    from sklearn.gaussian_process import GaussianProcessRegressor

    x, _ = rows()
    wide = x.astype(np.float64)
    return converted(GaussianProcessRegressor(alpha=0.1).fit(wide, wide[:, 0]), wide)


@model("text features, converted: strings in", refused="string")
def sklearn_text() -> Made:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = ["a gull and a tern", "one auk", "terns and gulls, gulls", "no bird"]
    fitted = TfidfVectorizer(token_pattern="[a-zA-Z]+", lowercase=False).fit(words)
    made = to_onnx(fitted, initial_types=[("words", StringTensorType([None]))], target_opset=17)
    inputs = {"words": np.array(words)}
    given = {"words": np.array(words, object)}
    return Made(made, inputs, lambda: answers(made.SerializeToString(), given))


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], tensors: list[Any] | None = None) -> Any:
    made = helper.make_graph(
        nodes, "zoo", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in tensors or []]
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


@model("two inputs of one shape, named in another order than the graph's", quick=True)
def onnx_reordered() -> Made:
    node = helper.make_node("Sub", ["left", "right"], ["y"])
    made = graph([node], [value("left", [4]), value("right", [4])], [value("y", [4])])
    inputs = {"right": np.arange(4, dtype=np.float32), "left": np.full(4, 10, np.float32)}
    return Made(made, inputs, lambda: answers(made.SerializeToString(), inputs))


@model("a matrix product in float16")
def onnx_half() -> Made:
    weights = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float16)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    half = TensorProto.FLOAT16
    made = graph([node], [value("x", ["n", 16], half)], [value("y", ["n", 4], half)], [("w", weights)])
    inputs = {"x": np.random.default_rng(1).normal(size=(9, 16)).astype(np.float16)}
    return Made(made, inputs, lambda: answers(made.SerializeToString(), inputs))


@model("one array for a graph with one input")
def onnx_unnamed() -> Made:
    made = graph([helper.make_node("Erf", ["x"], ["y"])], [value("x", ["n", 3])], [value("y", ["n", 3])])
    x = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    return Made(made, x, lambda: answers(made.SerializeToString(), {"x": x}))


@model("int8, quantized by onnxruntime with unsigned weights")
def onnx_int8() -> Made:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    random = np.random.default_rng(0)
    weights = [
        ("w", random.normal(size=(16, 32)).astype(np.float32)),
        ("v", random.normal(size=(32, 4)).astype(np.float32)),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "v"], ["y"]),
    ]
    folder = Path(tempfile.mkdtemp(prefix="zoo-"))
    onnx.save(graph(nodes, [value("x", ["n", 16])], [value("y", ["n", 4])], weights), folder / "float.onnx")
    quantize_dynamic(folder / "float.onnx", folder / "int8.onnx", weight_type=QuantType.QUInt8)
    return file(folder / "int8.onnx", {"x": random.normal(size=(20, 16)).astype(np.float32)})


@model(
    "float64 given to a float32 graph, which onnxruntime itself refuses",
    sealed=False,
    refused=("float", "double"),
)
def onnx_wrong_type() -> Made:
    made = graph([helper.make_node("Erf", ["x"], ["y"])], [value("x", ["n", 3])], [value("y", ["n", 3])])
    inputs = {"x": np.random.default_rng(1).normal(size=(50, 3))}
    return Made(made, inputs, lambda: answers(made.SerializeToString(), inputs))


@wrong("a session of onnxruntime", "InferenceSession")
def onnx_session() -> Made:
    made = graph([helper.make_node("Erf", ["x"], ["y"])], [value("x", ["n", 3])], [value("y", ["n", 3])])
    session = onnxruntime.InferenceSession(made.SerializeToString())
    x = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    return Made(session, {"x": x}, lambda: session.run(None, {"x": x}))


@model("a booster of XGBoost, converted by onnxmltools")
def xgboost_converted() -> Made:
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    x, y = rows()
    clf = xgboost.XGBClassifier(n_estimators=8, n_jobs=1).fit(x, y)
    made = convert_xgboost(clf, initial_types=[("x", FloatTensorType([None, 5]))], target_opset=15)
    return Made(made, {"x": x}, lambda: answers(made.SerializeToString(), {"x": x}))
