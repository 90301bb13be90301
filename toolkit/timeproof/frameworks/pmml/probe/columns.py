"""A column of values, one for each row: numbers or text, and which of them are missing."""

from typing import Any

import numpy

from timeproof_probe.file_checks import Refused

NUMBERS = frozenset({"integer", "float", "double", "boolean"})
_BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


class Column:
    """Values `[rows]`, float64 or text; `missing` `[rows]`. A float's values are those of float32."""

    __slots__ = ("missing", "type", "values")

    def __init__(self, values: Any, missing: Any, data_type: str) -> None:
        self.values = values
        self.missing = missing
        self.type = data_type

    @property
    def is_text(self) -> bool:
        return bool(self.values.dtype.kind == "U")

    def cast(self, data_type: str) -> "Column":
        """Give the column in another type. Raises Refused where a value has none there."""
        if not data_type or data_type == self.type:
            return self
        return column_of(self.values, data_type, "a value", self.missing)


def require_type(data_type: str, where: str) -> str:
    """Raise Refused for a type that is not evaluated, such as a date."""
    if data_type not in NUMBERS and data_type != "string":
        raise Refused("{} is of the type {!r}, which is not evaluated".format(where, data_type))
    return data_type


def constant(text: str, data_type: str) -> Any:
    """Give a value that the document spells, as a float or as text. Raises Refused."""
    if data_type == "string":
        return text
    return number(text, data_type)


def number(text: str, data_type: str = "double") -> float:
    """Give a number that the document spells. Raises Refused."""
    if data_type == "boolean":
        if text.lower() not in _BOOLEANS:
            raise Refused("{!r} is neither true nor false".format(text[:80]))
        return _BOOLEANS[text.lower()]
    try:
        value = float(text)
    except ValueError:
        raise Refused("{!r} is not a number".format(text[:80]))
    return float(numpy.float32(value)) if data_type == "float" else value


def column_of(array: Any, data_type: str, where: str, missing: Any = None) -> Column:
    """Give an array as a column of a PMML type; NaN and empty text of a number are missing.

    Raises Refused where the array's values are not of that type.
    """
    require_type(data_type, where)
    kind = array.dtype.kind
    if data_type == "string":
        return _text(array, where, missing)
    if kind in "US":
        texts = array.astype("U")
        absent = (texts == "") if missing is None else missing
        pairs = zip(texts.tolist(), absent)  # noqa: B905 - Python 3.6
        numbers = [numpy.nan if gap else number(text, data_type) for text, gap in pairs]
        values = numpy.array(numbers, numpy.float64)
        return Column(values, absent | numpy.isnan(values), data_type)
    if kind not in "fiub":
        raise Refused("{} holds values of the type {}".format(where, array.dtype))
    values = array.astype(numpy.float64)
    if data_type == "float":
        with numpy.errstate(all="ignore"):
            values = array.astype(numpy.float32).astype(numpy.float64)
    absent = numpy.isnan(values)
    return Column(values, absent if missing is None else missing | absent, data_type)


def _text(array: Any, where: str, missing: Any) -> Column:
    if array.dtype.kind not in "USiub":
        raise Refused("{} takes text, and the values are {}".format(where, array.dtype))
    texts = array.astype("U")
    return Column(texts, (texts == "") if missing is None else missing, "string")


def full(value: Any, rows: int, data_type: str) -> Column:
    """Give a column of one value."""
    values = numpy.full(rows, value) if data_type != "string" else numpy.full(rows, value, dtype="U")
    if data_type == "string" and values.dtype.itemsize == 0:
        values = values.astype("U1")
    return Column(values, numpy.zeros(rows, bool), data_type)


def absent(rows: int, data_type: str) -> Column:
    """Give a column without values."""
    values = numpy.full(rows, "", dtype="U1") if data_type == "string" else numpy.full(rows, numpy.nan)
    return Column(values, numpy.ones(rows, bool), data_type)
