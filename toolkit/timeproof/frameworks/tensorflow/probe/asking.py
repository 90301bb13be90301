"""How a Keras model, a SavedModel's signature or a tf.Module is called, and what its answer is called.

The user's process and the container ask by this module, by the same record, `options["asked"]`: `kind` is how
the inputs are handed over (single, list, mapping, arguments, keywords), `inputs` has one entry for each of
them, in the order of the callee: the `input`'s name, and what it is called there (`as`).
"""

import importlib
from typing import Any, Dict, List, Tuple

from timeproof_probe import output_names
from timeproof_probe.arrays import to_plain


def tensors_of(arrays: Dict[str, Any], call: Dict[str, Any]) -> List[Tuple[str, Any]]:
    """Give the inputs as tensors, in the callee's order, each by the name that the callee has for it."""
    tf: Any = importlib.import_module("tensorflow")
    tensors = []
    for entry in call["inputs"]:
        array = arrays[entry["input"]]
        if array.dtype.kind not in "SU":
            array = array.astype(array.dtype.newbyteorder("="))
        tensors.append((entry["as"], tf.constant(array)))
    return tensors


def ask(callee: Any, tensors: List[Tuple[str, Any]], call: Dict[str, Any], **more: Any) -> Any:
    """Call it as its record says; `more` goes along (training=False, for Keras)."""
    kind = call["kind"]
    values = [tensor for _, tensor in tensors]
    if kind == "single":
        return callee(values[0], **more)
    if kind == "list":
        return callee(values, **more)
    if kind == "mapping":
        return callee(dict(tensors), **more)
    if kind == "arguments":
        return callee(*values, **more)
    return callee(**dict(tensors), **more)


def named(answer: Any) -> List[Tuple[str, Any]]:
    """Name the tensors of an answer. Raises ValueError where something in it is none (ragged, sparse)."""
    tf: Any = importlib.import_module("tensorflow")

    def is_leaf(item: Any) -> bool:
        return (
            bool(tf.is_tensor(item))
            and hasattr(item, "dtype")
            and not hasattr(item, "dense_shape")
            and not hasattr(item, "row_splits")
        )

    return output_names.flatten(answer, is_leaf)


def arrays_of(answer: Any) -> List[Tuple[str, Any, str]]:
    """Give an answer's arrays as (name, array, the type it was made from or "")."""
    return [(name, *_plain(tensor)) for name, tensor in named(answer)]


def _plain(tensor: Any) -> Tuple[Any, str]:
    array, made_from = to_plain(tensor.numpy())
    return array, made_from
