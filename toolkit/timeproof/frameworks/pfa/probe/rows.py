"""Between arrays and PFA's values: the input record on the way in, the answer on the way out."""

from typing import Any, Dict

import numpy

from timeproof_probe.file_checks import Refused

from .values import Record, Vector, as_vector


def record_of(arrays: Dict[str, Any], fields: Dict[str, str], kind: Any, rows: int) -> Record:
    """Make the input record. NaN and empty text are null. Raises Refused."""
    optional = {field["name"] for field in kind["fields"] if isinstance(field["type"], list)}
    values = {}
    for name, field_type in fields.items():
        if name not in arrays:
            raise Refused("the inputs hold no field {!r}".format(name))
        vector = _vector(arrays[name], field_type, name)
        if vector.missing.any() and name not in optional:
            raise Refused("the field {!r} has missing values, and takes none".format(name))
        values[name] = vector
    if not rows:
        raise Refused("there are no rows")
    return Record(values)


def _vector(array: Any, kind: str, name: str) -> Vector:
    if kind == "string":
        if array.dtype.kind not in "USiub":
            raise Refused("the field {!r} takes text, and the values are {}".format(name, array.dtype))
        texts = array.astype("U")
        return Vector(texts, "string", texts == "")
    if array.dtype.kind not in "fiub":
        raise Refused("the field {!r} takes numbers, and the values are {}".format(name, array.dtype))
    numbers = array.astype(numpy.float64)
    return Vector(numbers, kind, numpy.isnan(numbers))


def arrays_of(answer: Any, rows: int) -> Dict[str, Any]:
    """Give an answer as arrays: a record's fields by their names, anything else as `output`."""
    if isinstance(answer, Record):
        return {name: _array(answer.field(name), rows) for name in answer.fields}
    return {"output": _array(answer, rows)}


def _array(value: Any, rows: int) -> Any:
    if isinstance(value, list):
        if not value:
            raise Refused("an output is an empty array")
        return numpy.stack([_array(item, rows) for item in value], axis=1)
    vector = as_vector(value)
    values = numpy.array(numpy.broadcast_to(vector.values, rows))
    missing = numpy.broadcast_to(vector.missing, rows)
    if vector.type == "string":
        return values
    if vector.type == "float":
        with numpy.errstate(all="ignore"):
            return numpy.where(missing, numpy.nan, values).astype(numpy.float32)
    if vector.type in ("int", "long", "boolean") and not missing.any():
        return values.astype(bool if vector.type == "boolean" else numpy.int64)
    return numpy.where(missing, numpy.nan, values)
