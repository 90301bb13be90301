"""The input example of an MLflow folder, as the arrays that its model is asked with.

JSON has neither dtypes nor NaN: the dtypes are the signature's, and null is NaN, as MLflow itself reads them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from timeproof.base.digests import Digest
from timeproof.errors import NotImportable
from timeproof.frameworks.base import Array
from timeproof.importing.mlflow.folder import MLMODEL, ModelFolder, parse_json, quoted, read_bytes
from timeproof.importing.mlflow.signature import Column, input_columns

EXAMPLE_BYTES = 64 * 2**20  # bytes of an example's JSON
_GIVE = "give the inputs with --inputs X.npy, X.npz or X.csv (inputs= in Python)"


@dataclass(frozen=True, slots=True)
class Example:
    """The recorded inputs.

    Args:
        inputs: an array, arrays by name, a sparse matrix, or a pandas DataFrame.
        columns: the names of the table's columns, where it is an array and had some.
        digest: of the file that it was read from.
        file: its name in the folder.
    """

    inputs: Any
    digest: Digest
    file: str
    columns: tuple[str, ...] = ()


def read_example(folder: ModelFolder, *, frame: bool) -> Example:
    """Read the example that was logged with the model.

    Args:
        frame: keep a table's names and types, in a pandas DataFrame.

    Raises NotImportable: there is none, or it is no arrays.
    """
    info = folder.mapping("saved_input_example_info")
    if not info:
        raise NotImportable(
            folder.root,
            ["it holds no input example, so there is nothing to ask the model"],
            advice=f"{_GIVE}; or log the model again with input_example=",
        )
    file = folder.check_file(info.get("artifact_path"), "saved_input_example_info.artifact_path")
    data = read_bytes(folder.root, file, EXAMPLE_BYTES)
    value = parse_json(data, folder.root, file)
    if info.get("params"):
        raise NotImportable(
            folder.root,
            ["its example comes with parameters of predict, which a replay does not pass on"],
            advice=f"load the model in your process and archive it; or, if they don't matter, {_GIVE}",
        )
    reader = _Reader(folder, input_columns(folder), file, frame=frame)
    try:
        inputs, columns = reader.read(str(info.get("type") or "ndarray"), value)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise reader.refuse(f"it is not what its type says ({quoted(error)})") from None
    return Example(inputs, Digest.of(data), file, columns)


class _Reader:
    """Turns one parsed example into inputs."""

    def __init__(self, folder: ModelFolder, columns: Sequence[Column], file: str, *, frame: bool) -> None:
        self.folder, self.columns, self.file, self.frame = folder, columns, file, frame

    def refuse(self, problem: str) -> NotImportable:
        return NotImportable(self.folder.root, [f"{self.file}: {problem}"], advice=_GIVE)

    def read(self, kind: str, value: Any) -> tuple[Any, tuple[str, ...]]:
        """Give the inputs, and the names of a table's columns. Raises NotImportable, and ValueError."""
        if kind == "dataframe":
            return self._table(value)
        if kind in {"sparse_matrix_csr", "sparse_matrix_csc"}:
            return self._sparse(kind.removeprefix("sparse_matrix_"), value), ()
        if kind in {"ndarray", "json_object"}:
            return self._tensors(value), ()
        raise self.refuse(f"{MLMODEL} says that it is {quoted(kind)!r}, which is not read")

    def _tensors(self, value: Any) -> Any:
        """One array, or arrays by name."""
        if isinstance(value, dict) and set(value) == {"inputs"} and not self._named("inputs"):
            value = value["inputs"]  # as older releases wrote it
        if isinstance(value, dict):
            if not value:
                raise self.refuse("it is empty")
            return {name: self._array(item, self._named(name)) for name, item in value.items()}
        unnamed = self.columns[0] if len(self.columns) == 1 and self.columns[0].tensor else None
        return self._array(value, unnamed)

    def _named(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def _array(self, value: Any, column: Column | None) -> Array:
        if column is not None and column.dtype:
            return np.array(value, dtype=column.dtype)
        array = np.array(value)
        if array.dtype.hasobject:  # null among numbers is NaN; anything else is none
            array = np.array(value, dtype=np.float64)
        if array.dtype.kind not in "biufU":
            raise self.refuse(f"it holds {array.dtype}, neither numbers nor text")
        return array

    def _table(self, value: Any) -> tuple[Any, tuple[str, ...]]:
        """A table of numbers as one array; any other, or for a model that wants names, as a DataFrame."""
        rows = value["data"] if isinstance(value, dict) else value
        names = value.get("columns") if isinstance(value, dict) else None
        width = len(rows[0]) if rows else 0
        if not width or any(len(row) != width for row in rows):
            raise self.refuse("its rows have no columns, or not all the same number")
        if names is not None and (len(names) != width or not all(isinstance(n, str | int) for n in names)):
            raise self.refuse("its columns' names don't fit its rows")
        titles = [str(name) for name in names] if names is not None else [""] * width
        series = [self._series(k, title, rows) for k, title in enumerate(titles)]
        text = any(array.dtype.kind not in "biuf" for array in series)
        if text or (self.frame and names is not None):
            return self._frame(titles, series), ()
        dtype = np.result_type(*series)
        return np.stack([array.astype(dtype) for array in series], axis=1), tuple(titles if names else ())

    def _series(self, index: int, title: str, rows: Sequence[Any]) -> Array:
        column = self._named(title) if title else None
        if column is None and len(self.columns) > index and not self.columns[index].name:
            column = self.columns[index]
        values = [row[index] for row in rows]
        dtype = column.dtype if column is not None else ""
        absent = any(item is None for item in values)
        if dtype:
            return np.array(values, dtype="<f8" if absent and dtype[1] in "i?" else dtype)
        array = np.array(values, dtype=object)
        numbers = all(item is None or isinstance(item, int | float) for item in values)
        return np.array(values, dtype="<f8") if numbers and absent else np.array(values) if numbers else array

    def _frame(self, titles: Sequence[str], series: Sequence[Array]) -> Any:
        try:
            pandas: Any = importlib.import_module("pandas")
        except ImportError:
            raise NotImportable(
                self.folder.root,
                [f"{self.file} is a table with names or text: only pandas holds such, and it is not here"],
                advice="install pandas beside timeproof (pip install pandas)",
            ) from None
        return pandas.DataFrame(dict(zip(titles, series, strict=True)))

    def _sparse(self, form: str, value: Mapping[str, Any]) -> Any:
        try:
            sparse: Any = importlib.import_module("scipy.sparse")
        except ImportError:
            raise NotImportable(
                self.folder.root,
                [f"{self.file} is a sparse matrix: only scipy holds such, and it is not here"],
                advice="install scipy beside timeproof (pip install scipy)",
            ) from None
        column = self.columns[0] if len(self.columns) == 1 else None
        make = sparse.csr_matrix if form == "csr" else sparse.csc_matrix
        parts = (
            self._array(value["data"], column),
            np.array(value["indices"], dtype=np.int32),
            np.array(value["indptr"], dtype=np.int32),
        )
        matrix = make(parts, shape=tuple(int(n) for n in value["shape"]))
        matrix.check_format(full_check=True)  # indices beyond the shape are read as they are
        return matrix
