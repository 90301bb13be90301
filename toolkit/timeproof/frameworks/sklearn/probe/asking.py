"""How a scikit-learn model is asked: the same for the user's own object and for the archived one.

It imports NumPy only when it is called, and no framework.
"""

import importlib
from typing import Any, List, Sequence, Tuple

METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "score_samples",
    "apply",
)
_DEFAULT = ("predict", "predict_proba", "decision_function")
_INSTEAD = ("transform", "score_samples")
_DEPTH = 8  # of lists within lists

Output = Tuple[str, Any, str]


def default_methods(model: Any) -> List[str]:
    """Name what a model is asked by, where its user says nothing; empty where it has none of these."""
    if has(model, "predict"):
        return [name for name in _DEFAULT if has(model, name)]
    return [name for name in _INSTEAD if has(model, name)][:1]


def has(model: Any, method: str) -> bool:
    """Say whether the model has the method; what its class hides (available_if) it has not."""
    return callable(getattr(model, method, None))


def ask(model: Any, table: Any, methods: Sequence[str]) -> List[Output]:
    """Give the answers of each method as (name, array, the type it was made from or "").

    Raises TypeError for an answer that has no bytes to compare.
    """
    outputs: List[Output] = []
    for method in methods:
        outputs += named(method, getattr(model, method)(table))
    return outputs


def named(name: str, value: Any, depth: int = 0) -> List[Output]:
    """Give an answer's arrays: `name`; `name_0`, … of a list (several targets); the parts of a sparse matrix;
    the columns of a table whose columns have several types.
    """
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "shape") and depth < _DEPTH:
        parts: List[Output] = []
        for k, item in enumerate(value):
            parts += named("{}_{}".format(name, k), item, depth + 1)
        return parts
    if hasattr(value, "tocsr"):
        rows = value.tocsr()
        shape = importlib.import_module("numpy").array(rows.shape, dtype="int64")
        pairs = [("data", rows.data), ("indices", rows.indices), ("indptr", rows.indptr), ("shape", shape)]
        return [("{}.{}".format(name, part), plain(array)[0], "") for part, array in pairs]
    if hasattr(value, "columns") and hasattr(value, "to_numpy") and not _is_uniform(value):
        return [("{}.{}".format(name, label), *plain(value[label])) for label in value.columns]
    return [(name, *plain(value.to_numpy() if hasattr(value, "to_numpy") else value))]


def plain(value: Any) -> Tuple[Any, str]:
    """Turn an answer into an array that has bytes; Python objects of one kind become that kind.

    Raises TypeError for any other array of Python objects.
    """
    numpy: Any = importlib.import_module("numpy")
    array = numpy.asarray(value)
    if array.dtype.kind != "O":
        return numpy.array(array, order="C", copy=True), ""
    items = array.ravel().tolist()
    if items and all(isinstance(item, str) for item in items):
        return array.astype(str), "string"
    for kind, dtype in ((bool, "?"), (int, "int64"), (float, "float64")):
        if items and all(type(item) is kind for item in items):
            return array.astype(dtype), "object"
    raise TypeError("the answer is an array of Python objects, which has no bytes to compare")


def _is_uniform(table: Any) -> bool:
    """Whether all columns are of one type that NumPy has."""
    kinds = {str(table[label].dtype) for label in table.columns}
    return len(kinds) == 1 and kinds.pop() in ("float64", "float32", "int64", "int32", "bool", "object")
