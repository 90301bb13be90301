"""PFA's library functions that are evaluated, over many rows at once. None of them knows the document."""

from typing import Any, Callable, Dict, List

import numpy

from timeproof_probe.file_checks import Refused

from .values import Constant, Record, Vector, as_vector, from_json, number, wider


def _arithmetic(function: Callable[..., Any], kind: str = "") -> Callable[..., Any]:
    def evaluate(*arguments: Any) -> Vector:
        vectors = [as_vector(argument) for argument in arguments]
        widest = wider([vector.type for vector in vectors])
        with numpy.errstate(all="ignore"):
            values = function(*(vector.values for vector in vectors))
        return Vector(values, kind or widest, _missing(vectors))

    return evaluate


def _missing(vectors: List[Vector]) -> Any:
    missing = vectors[0].missing
    for vector in vectors[1:]:
        missing = missing | vector.missing
    return missing


def _comparison(function: Callable[..., Any]) -> Callable[..., Any]:
    def evaluate(first_value: Any, second_value: Any) -> Vector:
        first, second = as_vector(first_value), as_vector(second_value)
        if (first.type == "string") != (second.type == "string"):
            raise Refused("text is compared with a number")
        return Vector(function(first.values, second.values), "boolean", _missing([first, second]))

    return evaluate


def items_of(value: Any) -> List[Any]:
    """Give the items of an array. Raises Refused."""
    if isinstance(value, Constant) and isinstance(value.data, list):
        return [from_json(item) for item in value.data]
    if not isinstance(value, list):
        raise Refused("an array is needed where there is none")
    return value


def _fold(array: Any, zero: Any, function: Callable[..., Any]) -> Any:
    total = zero
    for item in items_of(array):
        total = function(total, item)
    return total


def _sum(array: Any) -> Any:
    items = items_of(array)
    return _fold(items, number(0.0, as_vector(items[0]).type) if items else number(0.0), _LIBRARY["+"])


def _mean(array: Any) -> Any:
    return _LIBRARY["/"](_sum(array), number(len(items_of(array))))


def _logit(value: Any) -> Any:
    if isinstance(value, list):
        return [_logit(item) for item in value]
    return _arithmetic(lambda x: 1.0 / (1.0 + numpy.exp(-x)), "double")(value)


def _softmax(array: Any) -> Any:
    vectors = [as_vector(item) for item in items_of(array)]
    if not vectors:
        raise Refused("a softmax over no values")
    table = numpy.array(numpy.broadcast_arrays(*(vector.values for vector in vectors)))
    with numpy.errstate(all="ignore"):
        powers = numpy.exp(table - table.max(axis=0))
    total = powers[0]
    for power in powers[1:]:
        total = total + power
    return [Vector(power / total, "double") for power in powers]


def _argmax(array: Any) -> Vector:
    vectors = [as_vector(item) for item in items_of(array)]
    table = numpy.array(numpy.broadcast_arrays(*(vector.values for vector in vectors)))
    return Vector(numpy.argmax(table, axis=0), "int")


_LIBRARY: Dict[str, Callable[..., Any]] = {
    "+": _arithmetic(numpy.add),
    "-": _arithmetic(numpy.subtract),
    "*": _arithmetic(numpy.multiply),
    "/": _arithmetic(numpy.divide, "double"),
    "u-": _arithmetic(numpy.negative),
    "**": _arithmetic(numpy.power),
    "==": _comparison(numpy.equal),
    "!=": _comparison(numpy.not_equal),
    "<": _comparison(numpy.less),
    "<=": _comparison(numpy.less_equal),
    ">": _comparison(numpy.greater),
    ">=": _comparison(numpy.greater_equal),
    "&&": _arithmetic(lambda a, b: (a != 0) & (b != 0), "boolean"),
    "||": _arithmetic(lambda a, b: (a != 0) | (b != 0), "boolean"),
    "!": _arithmetic(lambda a: a == 0, "boolean"),
    "m.exp": _arithmetic(numpy.exp, "double"),
    "m.ln": _arithmetic(numpy.log, "double"),
    "m.log10": _arithmetic(numpy.log10, "double"),
    "m.sqrt": _arithmetic(numpy.sqrt, "double"),
    "m.abs": _arithmetic(numpy.abs),
    "m.floor": _arithmetic(numpy.floor, "double"),
    "m.ceil": _arithmetic(numpy.ceil, "double"),
    "m.link.logit": _logit,
    "m.link.softmax": _softmax,
    "a.map": lambda array, function: [function(item) for item in items_of(array)],
    "a.fold": _fold,
    "a.sum": _sum,
    "a.mean": _mean,
    "a.argmax": _argmax,
    "a.len": lambda array: number(len(items_of(array)), "int"),
}


def call(name: str, arguments: List[Any]) -> Any:
    """Call a library function. Raises Refused."""
    if name not in _LIBRARY:
        raise Refused("the function {!r} is not evaluated".format(name[:80]))
    if any(isinstance(argument, Record) for argument in arguments):
        raise Refused("the function {!r} over records is not evaluated".format(name[:80]))
    try:
        return _LIBRARY[name](*arguments)
    except (TypeError, IndexError, ValueError) as error:
        raise Refused("the function {!r} can't take its arguments: {}".format(name[:80], error))
