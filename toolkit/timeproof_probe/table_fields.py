"""Between recorded arrays and the fields of a document (PMML, PFA): a table's columns on their way in, an
answer's tables on their way out.
"""

import importlib
from typing import Any, Dict, List, Tuple

from timeproof_probe.file_checks import Refused

CELLS = 10**8  # of a sparse matrix that is written out


def columns_of(
    inputs: List[Tuple[str, Any]], names: List[str], options: Dict[str, Any]
) -> Tuple[Dict[str, Any], int]:
    """Give each field's values, `[rows]`, and the number of rows. Raises Refused.

    Args:
        inputs: one table whose columns are the fields in their order, or a vector for each field by its name.
        names: the fields that the model asks for, in their order.
        options: `columns`: the field of each column of the table; `sparse`: the arrays are those of a sparse
            matrix, and what it leaves out is `absent`; `categories`: what a field's numbers stand for.
    """
    if options.get("sparse") is not None:
        table = _dense(inputs, options["sparse"], options.get("absent"))
    elif len(inputs) == 1 and getattr(inputs[0][1], "ndim", 0) == 2:
        table = inputs[0][1]
    else:
        return _vectors(inputs)
    fields = options.get("columns") or names
    if table.shape[1] != len(fields):
        raise Refused("the table has {} columns, the model {} fields".format(table.shape[1], len(fields)))
    arrays = {name: table[:, k] for k, name in enumerate(fields)}
    for name, values in (options.get("categories") or {}).items():
        arrays[name] = _decoded(arrays[name], values)
    return arrays, len(table)


def _vectors(inputs: List[Tuple[str, Any]]) -> Tuple[Dict[str, Any], int]:
    arrays: Dict[str, Any] = {}
    rows: Any = None
    for name, array in inputs:
        vector = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
        if vector.ndim != 1 or rows not in (None, len(vector)):
            raise Refused("the input {!r} is no vector of one value a row".format(name))
        rows, arrays[name] = len(vector), vector
    return arrays, rows or 0


def _dense(inputs: List[Tuple[str, Any]], sparse: Dict[str, Any], absent: Any) -> Any:
    """Write out a sparse matrix: what it leaves out is a number, or missing."""
    numpy: Any = importlib.import_module("numpy")
    rows, columns = sparse["shape"]
    if sparse["format"] not in ("csr", "csc") or len(inputs) != 3 or rows * columns > CELLS:
        raise Refused("the recorded arrays make up no sparse matrix that is known")
    (_, data), (_, indices), (_, starts) = inputs
    by_row = sparse["format"] == "csr"
    table = numpy.full((rows, columns), numpy.nan if absent is None else absent, data.dtype)
    outer = numpy.repeat(numpy.arange(len(starts) - 1), numpy.diff(starts))
    table[(outer, indices) if by_row else (indices, outer)] = data
    return table


def _decoded(codes: Any, values: List[str]) -> Any:
    """Give the texts that a column's numbers stand for; missing for NaN, and a text of its own for others."""
    numpy: Any = importlib.import_module("numpy")
    names = numpy.array([*values, "", "(no category)"], dtype="U")
    missing = numpy.isnan(codes) if codes.dtype.kind == "f" else numpy.zeros(len(codes), bool)
    places = numpy.where(missing, 0, codes).astype(numpy.int64)
    places[(places < 0) | (places >= len(values))] = len(values) + 1
    places[missing] = len(values)
    return names[places]


def arranged(results: Dict[str, Any], options: Dict[str, Any]) -> List[Tuple[str, Any, str]]:
    """Give the outputs that are asked for: those of these names, or tables that are made of several.

    Args:
        options: `outputs`: names, or records with a `name`, its `fields` and, where it has one, its `dtype`;
            a record of one field is a vector unless `table` is true.
    """
    numpy: Any = importlib.import_module("numpy")
    arranged_outputs: List[Tuple[str, Any, str]] = []
    wanted = options.get("outputs")
    for item in list(results) if wanted is None else wanted:
        record: Dict[str, Any] = {"name": item, "fields": [item]} if isinstance(item, str) else item
        missing = [name for name in record["fields"] if name not in results]
        if missing:
            raise Refused("the model has no output {!r}".format(missing[0]))
        arrays = [results[name] for name in record["fields"]]
        array = numpy.stack(arrays, axis=1) if len(arrays) > 1 or record.get("table") else arrays[0]
        if record.get("dtype"):
            array = array.astype(record["dtype"])
        arranged_outputs.append((record["name"], array, ""))
    return arranged_outputs
