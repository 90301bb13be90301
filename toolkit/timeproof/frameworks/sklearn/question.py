"""What a scikit-learn model is asked with: an array, text, a sparse matrix, a DataFrame, by their bytes.

A DataFrame becomes one array `[rows, 1]` for each column; of many columns, one for all columns of a type.
What is missing among text and nullable numbers stands in an array of codes beside them. The loader's
`frames` puts the table together again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, comes_from
from timeproof.frameworks.inputs import Inputs, Table, normalise_inputs
from timeproof.frameworks.sklearn.probe.frames import NA, NAN, NONE, PRESENT
from timeproof.frameworks.trees.tables import is_frame, is_pandas, is_sparse, plain, read_table

MANY_COLUMNS = 256  # from here on, columns of one type share an array
_ARTICLE = "a scikit-learn"
_NULLABLE = frozenset({"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"}) | frozenset(
    {"Float32", "Float64", "boolean"}
)
_ADVICE = (
    "give a DataFrame with columns of int, float, bool, text, category or datetime64, an array, a sparse"
    " matrix or a list of text"
)


@dataclass(frozen=True, slots=True)
class Question(Table):
    """A table, and the `form` by which the loader puts it together from the arrays; None for one array."""

    form: Mapping[str, Json] | None = None

    @property
    def options(self) -> dict[str, Json]:
        """What the loader is told."""
        options: dict[str, Json] = {} if self.form is None else {"form": dict(self.form)}
        return options | ({"sparse": dict(self.sparse)} if self.sparse else {})


def read_question(original: object) -> Inputs:
    """Read the one table that a user hands in. Raises NotArchivable."""
    name, table = _single(original)
    if is_frame(table):
        return _of_frame(_as_pandas(table), table, name)
    if is_sparse(table):
        inputs = read_table(table, _ARTICLE, lambda _: {})
        assert inputs.table is not None
        return Inputs(_renamed(inputs, name), original=table, table=Question(sparse=inputs.table.sparse))
    items = _object_array(table)
    if items is not None:
        arrays = {name: _text(items.ravel()).reshape(items.shape)}
        codes = _codes(items.ravel(), name).reshape(items.shape)
        if missing := bool(codes.any()):
            arrays[f"{name}.missing"] = codes
        return Inputs(arrays, original=table, table=Question(form={"kind": "objects", "missing": missing}))
    inputs = normalise_inputs({name: table})
    (array,) = inputs.values()
    if array.ndim == 0 or array.dtype.kind not in "fiubUmM":
        raise NotArchivable(
            f"a scikit-learn model takes a table, not {array.dtype} of shape {list(array.shape)}",
            advice=_ADVICE,
        )
    plain_array = isinstance(table, (np.ndarray, list, tuple)) and not comes_from(table, "torch")
    return Inputs(inputs, original=table if plain_array else array, table=Question())


def question_of(inputs: Mapping[str, Array]) -> tuple[Any, Question]:
    """What the model itself is asked with, and what is known of it."""
    if isinstance(inputs, Inputs) and isinstance(inputs.table, Question):
        return inputs.original, inputs.table
    if len(inputs) != 1:
        raise NotArchivable(f"a scikit-learn model takes one table, not {len(inputs)} inputs", advice=_ADVICE)
    (array,) = inputs.values()
    return array, Question()


def _single(original: object) -> tuple[str, Any]:
    """Give the one table's name, and the table."""
    if isinstance(original, Mapping):
        if len(original) != 1:
            raise NotArchivable(
                f"a scikit-learn model takes one table, not {len(original)} inputs",
                advice="give the columns as one DataFrame: pandas.DataFrame(…)",
            )
        ((name, table),) = original.items()
        return str(name), table
    if isinstance(original, (list, tuple)) and len(original) == 1 and hasattr(original[0], "shape"):
        return "input", original[0]
    return "input", original


def _renamed(inputs: Inputs, name: str) -> Iterator[tuple[str, Array]]:
    return ((key.replace("input", name, 1), array) for key, array in inputs.items())


def _as_pandas(table: Any) -> Any:
    if is_pandas(table):
        return table
    try:
        return table.to_pandas()
    except Exception as error:  # pandas or pyarrow is missing, or a type has no like there
        raise NotArchivable(
            f"the table can't be read as a pandas DataFrame: {error}",
            advice="install pandas and pyarrow beside the model, or give the table as a pandas DataFrame",
        ) from error


def _object_array(table: Any) -> Any:
    """The Python objects of an array of them, or of a Series of text; None for anything else."""
    if comes_from(table, "pandas", frozenset({"Series"})):
        numbers = isinstance(table.dtype, np.dtype) and table.dtype.kind in "fiub"
        return None if numbers else table.to_numpy(dtype=object)
    if isinstance(table, np.ndarray) and table.dtype.kind == "O":
        return table
    return None


@dataclass(slots=True)
class _Parts:
    """The arrays of a DataFrame as they come, and what each is."""

    prefix: str
    arrays: dict[str, Array] = field(default_factory=dict)
    parts: list[Json] = field(default_factory=list)

    def add(self, label: str, part: dict[str, Json], values: Array, codes: Array | None = None) -> None:
        name = base = f"{self.prefix}.{_printable(label)}"
        count = 1
        while name in self.arrays or f"{name}.missing" in self.arrays:
            count += 1
            name = f"{base}_{count}"
        self.arrays[name] = np.array(values, order="C", copy=True)
        if codes is not None:
            self.arrays[f"{name}.missing"] = np.array(codes, order="C", copy=True)
            part = {**part, "missing": True}
        self.parts.append(part)


def _printable(label: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in label)[:100]


def _of_frame(frame: Any, original: object, name: str) -> Inputs:
    if not len(frame) or not len(frame.columns):
        raise NotArchivable(f"the input {name!r} is empty", advice="give at least one row and one column")
    labels = [_label(label) for label in frame.columns]
    parts = _Parts(name)
    features: list[Mapping[str, Json]] = []
    shared: dict[str, list[int]] = {}
    many = len(labels) > MANY_COLUMNS
    for place, (label, dtype) in enumerate(zip(labels, frame.dtypes, strict=True)):
        feature: dict[str, Json] = {"name": str(label), "type": str(dtype)}
        series = frame.iloc[:, place]
        if many and isinstance(dtype, np.dtype) and dtype.kind in "fiub":
            shared.setdefault(str(dtype), []).append(place)
        else:
            _add_column(parts, series, place, str(label), feature)
        features.append(feature)
    for spelled, places in shared.items():
        part: dict[str, Json] = {"columns": [*places], "kind": "numbers", "dtype": spelled}
        parts.add(spelled, part, frame.iloc[:, places].to_numpy())
    form: dict[str, Json] = {"kind": "frame", "columns": labels, "parts": parts.parts}
    return Inputs(parts.arrays, original=original, table=Question(tuple(features), form=form))


def _label(label: Any) -> Json:
    value = label.item() if isinstance(label, np.generic) else label
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise NotArchivable(
            f"the column {label!r} is named by a {type(label).__name__}",
            advice="name the columns by text or by whole numbers",
        )
    return value


def _add_column(parts: _Parts, series: Any, place: int, label: str, feature: dict[str, Json]) -> None:
    dtype = series.dtype
    spelled = str(dtype)
    part: dict[str, Json] = {"columns": [place], "dtype": spelled}
    if isinstance(dtype, np.dtype) and dtype.kind in "fiubmM":
        parts.add(label, {**part, "kind": "numbers"}, series.to_numpy().reshape(-1, 1))
    elif comes_from(dtype, "pandas", frozenset({"CategoricalDtype"})):
        index = series.cat.categories
        categories: list[Json] = [_category(value, label) for value in index]
        feature["categories"] = [plain(value) for value in index]
        more: dict[str, Json] = {
            "categories": categories,
            "of": str(index.dtype),
            "ordered": bool(dtype.ordered),
        }
        codes = np.asarray(series.cat.codes).reshape(-1, 1)
        parts.add(label, {**part, **more, "kind": "category"}, codes)
    elif spelled in _NULLABLE:
        gaps = np.asarray(series.isna())
        numbers = series.array
        filled = numbers.fillna(False if spelled == "boolean" else 0) if gaps.any() else numbers
        values = filled.to_numpy(dtype=np.dtype(spelled.lower().replace("boolean", "bool")))
        codes = np.where(gaps, NA, PRESENT).astype(np.uint8)
        parts.add(label, {**part, "kind": "nullable"}, values.reshape(-1, 1), codes.reshape(-1, 1))
    elif spelled in {"object", "str"} or spelled.startswith("string"):
        items = series.to_numpy(dtype=object)
        codes = _codes(items, label)
        text = {**part, "kind": "text", "dtype": "string" if spelled.startswith("string") else spelled}
        values = _text(items).reshape(-1, 1)
        parts.add(label, text, values, codes.reshape(-1, 1) if codes.any() else None)
    else:
        raise NotArchivable(f"the column {label!r} is of the type {spelled}", advice=_ADVICE)


def _category(value: Any, label: str) -> Json:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, (str, bool, int, float)):
        raise NotArchivable(
            f"the column {label!r} has a category that is a {type(value).__name__}",
            advice="give categories that are text or numbers",
        )
    return value


def _codes(items: Array, label: str) -> Array:
    """Say of each object whether it is text, or what it stands for. Raises NotArchivable."""
    codes = np.zeros(items.shape, np.uint8)
    for k, item in enumerate(items.tolist()):
        if isinstance(item, str):
            if item.endswith("\0"):
                raise NotArchivable(
                    f"{label!r} holds text that ends in a NUL character, which NumPy's text drops",
                    advice="strip such characters before",
                )
        elif item is None:
            codes[k] = NONE
        elif isinstance(item, float) and item != item:
            codes[k] = NAN
        elif type(item).__name__ == "NAType":
            codes[k] = NA
        else:
            raise NotArchivable(
                f"{label!r} holds Python objects that are no text, such as a {type(item).__name__}",
                advice="give such a column as numbers, as text (.astype(str)) or as a category, to fit, too",
            )
    return codes


def _text(items: Array) -> Array:
    texts = [item if isinstance(item, str) else "" for item in items.tolist()]
    array = np.array(texts, dtype=str)
    return array if array.dtype.itemsize else array.astype("<U1")
