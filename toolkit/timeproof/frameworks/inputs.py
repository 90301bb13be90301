"""Reading the inputs that a user hands in, of whatever make, as plain named arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Adapter, Array, comes_from
from timeproof.frameworks.registry import specs
from timeproof.frameworks.spec import load_attribute

_ADVICE = "give a NumPy array, a list or tuple of them, or a mapping from input names to them"


@dataclass(frozen=True, slots=True)
class Table:
    """What a table is, beside its numbers.

    Args:
        features: for each column its `name`, `type` and, where it has them, `categories`; empty where the
            table names none.
        sparse: `format` (csr or csc) and `shape`, where the arrays are those of a sparse matrix.
    """

    features: tuple[Mapping[str, Json], ...] = ()
    sparse: Mapping[str, Json] | None = None

    @property
    def columns(self) -> list[str] | None:
        """The names of the columns, where the table has names."""
        return [str(feature["name"]) for feature in self.features] or None


class Inputs(dict[str, Array]):
    """Named arrays, as the archive stores them, and what the user handed in.

    Args:
        original: what the model itself is asked with, untouched.
        table: set by the adapters whose models take one table.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array] | Iterable[tuple[str, Array]],
        *,
        original: object = None,
        table: Table | None = None,
    ) -> None:
        super().__init__(arrays)
        self.original = original
        self.table = table

    def renamed(self, names: Sequence[str]) -> Inputs:
        """Give the same inputs under other names, in their order."""
        return Inputs(zip(names, self.values(), strict=True), original=self.original, table=self.table)


def read_inputs(adapter: Adapter, model: object, original: object) -> Inputs:
    """Read what a user hands in for `model`, as its framework takes it.

    An adapter that has a method `inputs` reads them itself. Raises NotArchivable.
    """
    reader = getattr(adapter, "inputs", None)
    if reader is not None:
        inputs: Inputs = reader(model, original)
        return inputs
    name = adapter.input_name(model)
    return normalise_inputs(original, **({"default_name": name} if name else {}))


def normalise_inputs(inputs: object, *, default_name: str = "input") -> Inputs:
    """Give the inputs as named, C-contiguous copies, in their order.

    Args:
        inputs: one array-like; a tuple or list of them (`input_0`, `input_1`, …, unless it is a plain
            list of numbers, which is one array); a mapping from names to them. An array-like is an
            array, a framework's own (such as a tensor), or a pandas DataFrame or Series of one dtype.
        default_name: what a single one is called.

    Raises:
        NotArchivable: nothing is given, or something has no bytes that last (Python objects).
    """
    if inputs is None or isinstance(inputs, (str, bytes, PathLike)):
        raise NotArchivable(f"{inputs!r} is not an input", advice=_ADVICE)
    if isinstance(inputs, Mapping):
        named = [(_name(name), item) for name, item in inputs.items()]
    elif isinstance(inputs, (tuple, list)) and any(_is_array(item) for item in inputs):
        if len(inputs) == 1:
            named = [(default_name, inputs[0])]
        else:
            named = [(f"{default_name}_{k}", item) for k, item in enumerate(inputs)]
    else:
        named = [(default_name, inputs)]
    arrays = Inputs(((name, _array(item, name)) for name, item in named), original=inputs)
    if not arrays:
        raise NotArchivable("there are no inputs", advice=_ADVICE)
    return arrays


def input_items(inputs: Any) -> list[Any]:
    """What the user handed in, item by item, in the order in which `normalise_inputs` names them."""
    if isinstance(inputs, Mapping):
        return list(inputs.values())
    if isinstance(inputs, (tuple, list)) and any(_is_array(item) for item in inputs):
        return list(inputs)
    return [inputs]


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or len(name) > 200 or not name.isprintable():
        raise NotArchivable(
            f"{name!r} can't name an input", advice="name inputs by printable strings of 1 to 200 characters"
        )
    return name


def _is_array(item: object) -> bool:
    return hasattr(item, "__array__") or comes_from(item, "pandas")


def _array(item: Any, name: str) -> Array:
    """Copy what the user handed in into an array that has bytes that last. Raises NotArchivable."""
    if item is None:
        raise NotArchivable(f"the input {name!r} is None", advice=_ADVICE)
    source = _framework_array(item, name)
    array = np.array(
        _plain_array(item, name) if source is None else source, order="C", copy=True, subok=False
    )
    if array.dtype.hasobject:
        raise NotArchivable(
            f"the input {name!r} holds Python objects",
            advice="convert it to numbers, or to fixed-width strings with .astype(str)",
        )
    if array.dtype.kind == "V" and array.dtype.names is None and array.dtype.type is not np.void:
        raise NotArchivable(
            f"the input {name!r} has the dtype {array.dtype.name}, which NumPy alone does not know",
            advice="give float32 inputs, and convert them inside the model",
        )
    if array.size == 0:
        raise NotArchivable(f"the input {name!r} is empty", advice="give at least one row")
    return array


def _plain_array(item: Any, name: str) -> Array:
    """Convert what is no framework's own kind of array."""
    if comes_from(item, "pandas"):
        return _frame(item, name)
    if hasattr(item, "toarray") and comes_from(item, "scipy"):
        raise NotArchivable(
            f"the input {name!r} is a sparse matrix, which this model does not take",
            advice=_array_advice("sparse matrices as they are"),
        )
    if isinstance(item, np.ma.MaskedArray) and np.ma.is_masked(item):
        raise NotArchivable(
            f"the input {name!r} has masked values", advice="fill them as the model gets them"
        )
    try:
        return np.asarray(item)
    except (ValueError, TypeError) as error:
        raise NotArchivable(f"the input {name!r} is no array: {error}", advice=_ADVICE) from error


def _framework_array(item: Any, name: str) -> Array | None:
    """Convert an array of a framework's own kind; None where no framework calls it its own."""
    for spec in specs():
        if spec.arrays and (array := load_attribute(spec.arrays)(item, name)) is not None:
            converted: Array = array
            return converted
    return None


def _array_advice(tables: str) -> str:
    titles = [spec.title for spec in specs() if spec.tables]
    return f"give the array that you give to the model itself. {' and '.join(titles)} models take {tables}"


def _frame(item: Any, name: str) -> Array:
    dtypes = sorted({str(dtype) for dtype in item.dtypes}) if hasattr(item, "columns") else [str(item.dtype)]
    if len(dtypes) > 1:
        raise NotArchivable(
            f"the input {name!r} is a table with columns of several types ({', '.join(dtypes)}), which this"
            " model does not take",
            advice=_array_advice("tables with columns of several types as they are, categories included"),
        )
    values = item.to_numpy()
    if values.dtype.hasobject:
        raise NotArchivable(
            f"the input {name!r} is a table of {', '.join(dtypes) or 'no columns'}: no array of numbers",
            advice=_array_advice("tables with columns of several types as they are, categories included"),
        )
    array: Array = values
    return array
