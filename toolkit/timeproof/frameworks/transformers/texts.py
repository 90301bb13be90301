"""The inputs of a Transformers model: arrays by the names that its forward has, and texts.

Texts are kept as arrays of fixed-width strings: they are what the container gets, and it makes the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array
from timeproof.frameworks.inputs import Inputs, normalise_inputs

TEXTS = "texts"
PAIR = "text_pair"


def read_inputs(original: Any, name: str) -> Inputs:
    """Name the inputs; texts become arrays of strings.

    Args:
        original: arrays as other models take them; a list of texts; or a mapping whose values are either.
        name: of the one input without a name.

    Raises:
        NotArchivable: something is neither arrays nor texts.
    """
    if _is_texts(original):
        return Inputs({TEXTS: _text_array(original, TEXTS)}, original={TEXTS: original})
    if not isinstance(original, Mapping) or not any(_is_texts(item) for item in original.values()):
        return normalise_inputs(original, default_name=name)
    arrays: dict[str, Array] = {}
    for key, item in original.items():
        arrays |= {key: _text_array(item, key)} if _is_texts(item) else normalise_inputs({key: item})
    return Inputs(arrays, original=original)


def text_names(inputs: Mapping[str, Array]) -> list[str]:
    """Name the inputs that are texts: the first, and the second of pairs.

    Raises:
        NotArchivable: there are more than that, or texts of other shapes.
    """
    names = [name for name, array in inputs.items() if array.dtype.kind == "U"]
    first = [name for name in names if name != PAIR]
    if len(first) > 1 or (PAIR in names and not first):
        raise NotArchivable(
            f"{', '.join(names)} are texts, and a tokenizer takes one list of them",
            advice=f"give one list of texts, and the second ones of pairs as {PAIR!r}",
        )
    ordered = [*first, *(name for name in names if name == PAIR)]
    shapes = {inputs[name].shape for name in ordered}
    if any(len(shape) != 1 for shape in shapes) or len(shapes) > 1:
        raise NotArchivable(
            f"the texts ({', '.join(ordered)}) are not one list, or not two of one length",
            advice="give a list of strings",
        )
    return ordered


def texts_of(inputs: Mapping[str, Array], names: list[str]) -> list[list[str]]:
    """Give the texts as the container reads them back from the file."""
    return [[str(text) for text in inputs[name]] for name in names]


def _is_texts(item: Any) -> bool:
    if isinstance(item, np.ndarray):
        return bool(item.dtype.kind == "U")
    return isinstance(item, (list, tuple)) and bool(item) and all(isinstance(text, str) for text in item)


def _text_array(item: Any, name: str) -> Array:
    array = np.array(item, dtype=np.str_)
    if not array.size:
        raise NotArchivable(f"the input {name!r} is empty", advice="give at least one text")
    if [str(text) for text in array.ravel()] != [str(text) for text in np.ravel(item)] or any(
        text.endswith("\0") for text in item if isinstance(text, str)
    ):
        raise NotArchivable(
            f"a text of {name!r} ends with a NUL character, which an array of strings can't hold",
            advice="remove it",
        )
    return array
