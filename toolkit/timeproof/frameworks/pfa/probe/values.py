"""What a PFA expression gives for many rows: vectors with gaps, and arrays and records of them."""

from typing import Any, Callable, Dict, List, Union

import numpy

from timeproof_probe.file_checks import Refused

_RANKS = {"boolean": 0, "int": 1, "long": 2, "float": 3, "double": 4}


class Vector:
    """One value a row, or one for all rows (no dimension). `missing`: where it is null.

    Numbers are float64; those of the type float are rounded to float32.
    """

    __slots__ = ("missing", "type", "values")

    def __init__(self, values: Any, kind: str, missing: Any = False) -> None:
        self.values = rounded(values, kind)
        self.missing = numpy.asarray(missing)
        self.type = kind

    def take(self, places: Any) -> "Vector":
        """Give the rows at these places."""
        values = self.values[places] if numpy.ndim(self.values) else self.values
        missing = self.missing[places] if self.missing.ndim else self.missing
        return Vector(values, self.type, missing)


class Record:
    """Fields by name."""

    __slots__ = ("fields", "places")

    def __init__(self, fields: Dict[str, Any], places: Any = None) -> None:
        self.fields = fields
        self.places = places

    def field(self, name: str) -> Any:
        if name not in self.fields:
            raise Refused("a record has no field {!r}".format(str(name)[:80]))
        value = self.fields[name]
        return value if self.places is None else value.take(self.places)

    def at(self, places: Any) -> "Record":
        """Give the rows at these places; a field is cut where it is asked for."""
        return Record(self.fields, places if self.places is None else self.places[places])


class Constant:
    """A part of the document itself, such as a tree of a cell: JSON."""

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data


Function = Callable[..., Any]
Value = Union[Vector, Record, Constant, List[Any], Function]


def rounded(values: Any, kind: str) -> Any:
    if kind == "string":
        return numpy.asarray(values)
    numbers = numpy.asarray(values, numpy.float64)
    if kind == "float":
        with numpy.errstate(all="ignore"):
            return numbers.astype(numpy.float32).astype(numpy.float64)
    return numbers


def number(value: float, kind: str = "double") -> Vector:
    return Vector(float(value), kind)


def null() -> Vector:
    return Vector(numpy.nan, "double", True)


def wider(kinds: List[str]) -> str:
    """Give the type of arithmetic over these types. Raises Refused where one is no number."""
    if not all(kind in _RANKS for kind in kinds):
        raise Refused("arithmetic over {} is not evaluated".format(", ".join(kinds)))
    return max(kinds, key=lambda kind: _RANKS[kind])


def as_vector(value: Any) -> Vector:
    """Give a value of one per row. Raises Refused where it is an array, a record or a function."""
    if isinstance(value, Constant):
        value = from_json(value.data)
    if not isinstance(value, Vector):
        raise Refused("a number is needed where there is an array, a record or a function")
    return value


def from_json(data: Any) -> Any:
    """Give a constant as a value: with its type where it is tagged."""
    if isinstance(data, bool):
        return Vector(data, "boolean")
    if isinstance(data, (int, float)):
        return number(data)
    if isinstance(data, str):
        return Vector(data, "string")
    if data is None:
        return null()
    if isinstance(data, list):
        return [from_json(item) for item in data]
    if isinstance(data, dict) and len(data) == 1:
        ((kind, inner),) = data.items()
        if kind in _RANKS and isinstance(inner, (bool, int, float)):
            return Vector(float(inner), kind)
        if kind in ("string", "array"):
            return from_json(inner)
    return Constant(data)


def choose(condition: Vector, then: Any, other: Any) -> Any:
    """Give `then` where the condition is true, else `other`."""
    then, other = _settled(then), _settled(other)
    if isinstance(then, list) and isinstance(other, list) and len(then) == len(other):
        return [choose(condition, a, b) for a, b in zip(then, other)]  # noqa: B905 - Python 3.6
    if isinstance(then, Record) and isinstance(other, Record) and set(then.fields) == set(other.fields):
        names = list(then.fields)
        return Record({name: choose(condition, then.field(name), other.field(name)) for name in names})
    chosen, rest = as_vector(then), as_vector(other)
    true = condition.values != 0
    if chosen.missing.all():
        kind = rest.type
        chosen = Vector("" if kind == "string" else numpy.nan, kind, chosen.missing)
    else:
        kind = (
            chosen.type if rest.missing.all() or chosen.type == rest.type else wider([chosen.type, rest.type])
        )
        if rest.missing.all():
            rest = Vector("" if kind == "string" else numpy.nan, kind, rest.missing)
    values = numpy.where(true, chosen.values, rest.values)
    return Vector(values, kind, numpy.where(true, chosen.missing, rest.missing))


def _settled(value: Any) -> Any:
    return from_json(value.data) if isinstance(value, Constant) else value
