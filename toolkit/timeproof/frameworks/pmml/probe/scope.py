"""The fields that a model sees: the data's, completed as its MiningSchema says, and derived ones."""

from typing import Any, Dict, List, Optional, Tuple

import numpy

from timeproof_probe.file_checks import Refused

from .columns import Column, absent, column_of, constant, number, require_type
from .elements import Element
from .expressions import evaluate, expression_of, inside

ACTIVE = ("active", "supplementary", "")
_SHOWN = 60  # characters of a value that a message repeats


class Scope:
    """Columns by the names of their fields. A derived one is computed where it is asked for first."""

    def __init__(self, rows: int, parent: "Optional[Scope]" = None) -> None:
        self.rows = rows
        self._parent = parent
        self._columns: Dict[str, Column] = {}
        self._derived: Dict[str, Element] = {}
        self._pending: Any = set()

    def set(self, name: str, column: Column) -> None:
        self._columns[name] = column

    def derive(self, element: Element) -> None:
        """Define a DerivedField."""
        self._derived[element.need("name")] = element

    def __contains__(self, name: str) -> bool:
        defined = name in self._columns or name in self._derived
        return defined or (self._parent is not None and name in self._parent)

    def column(self, name: str) -> Column:
        """Give a field's values. Raises Refused where there is no such field, or it is defined by itself."""
        if name in self._columns:
            return self._columns[name]
        if name in self._derived:
            if name in self._pending or len(self._pending) > 200:
                raise Refused("the field {!r} is derived from itself".format(name))
            self._pending.add(name)
            element = self._derived[name]
            column = evaluate(expression_of(element), self.column, self.rows)
            self._pending.discard(name)
            self._columns[name] = column.cast(element.get("dataType"))
            return self._columns[name]
        if self._parent is None:
            raise Refused("there is no field {!r}".format(name))
        return self._parent.column(name)


def data_fields(root: Element) -> Dict[str, Element]:
    """Give the fields of the DataDictionary by name."""
    return {field.need("name"): field for field in root.below("DataDictionary", "DataField")}


def mining_fields(model: Element) -> List[Element]:
    return model.below("MiningSchema", "MiningField")


def active_fields(model: Element) -> List[str]:
    """Give the names of a model's inputs, in the order of its MiningSchema."""
    return [f.need("name") for f in mining_fields(model) if f.get("usageType") in ACTIVE]


def target_of(model: Element) -> Optional[str]:
    for field in mining_fields(model):
        if field.get("usageType") in ("target", "predicted"):
            return field.need("name")
    return None


def top_scope(root: Element, model: Element, arrays: Dict[str, Any], rows: int) -> Scope:
    """Make the fields of the outermost model from the user's arrays. Raises Refused."""
    scope, dictionary = Scope(rows), data_fields(root)
    for field in mining_fields(model):
        name = field.need("name")
        if field.get("usageType") not in ACTIVE:
            continue
        if name not in dictionary:
            raise Refused("the DataDictionary has no field {!r}".format(name))
        data = dictionary[name]
        kind = require_type(data.need("dataType"), "the field {!r}".format(name))
        if name in arrays:
            column = column_of(arrays[name], kind, "the field {!r}".format(name))
        elif field.get("usageType") == "supplementary" or "missingValueReplacement" in field.attributes:
            column = absent(rows, kind)
        else:
            raise Refused("the inputs hold no field {!r}".format(name))
        scope.set(name, _treated(_checked(column, data, field), field))
    for derived in root.below("TransformationDictionary", "DerivedField"):
        scope.derive(derived)
    return _localised(scope, model)


def inner_scope(model: Element, parent: Scope) -> Scope:
    """Make the fields of a model within another: its MiningSchema may complete them once more."""
    scope = Scope(parent.rows, parent)
    for field in mining_fields(model):
        if field.get("usageType") in ACTIVE and "missingValueReplacement" in field.attributes:
            scope.set(field.need("name"), _treated(parent.column(field.need("name")), field))
    return _localised(scope, model)


def _localised(scope: Scope, model: Element) -> Scope:
    for derived in model.below("LocalTransformations", "DerivedField"):
        scope.derive(derived)
    return scope


def _checked(column: Column, data: Element, field: Element) -> Column:
    """Do what the MiningField wants done with values that its DataField does not allow."""
    valid, invalid, gaps = _value_lists(data)
    missing = column.missing
    for text in gaps:
        missing = missing | (column.values == constant(text, column.type))
    column = Column(column.values, missing, column.type)
    wrong = numpy.zeros(len(missing), bool)
    for text in invalid:
        wrong |= column.values == constant(text, column.type)
    intervals = list(data.all("Interval"))
    if valid and data.get("optype") != "continuous":
        wrong |= ~_is_in(column, valid)
    if intervals:
        right = numpy.zeros(len(missing), bool)
        for interval in intervals:
            right |= inside(interval, column.values)
        wrong |= ~right
    wrong &= ~missing
    if not wrong.any():
        return column
    return _without_invalid(column, wrong, field)


def _value_lists(data: Element) -> Tuple[List[str], List[str], List[str]]:
    lists: Dict[str, List[str]] = {"valid": [], "invalid": [], "missing": []}
    for value in data.all("Value"):
        lists.get(value.get("property", "valid"), []).append(value.need("value"))
    return lists["valid"], lists["invalid"], lists["missing"]


def _is_in(column: Column, texts: List[str]) -> Any:
    members = {constant(text, column.type) for text in texts}
    return numpy.array([value in members for value in column.values.tolist()], bool)


def _without_invalid(column: Column, wrong: Any, field: Element) -> Column:
    treatment = field.get("invalidValueTreatment", "returnInvalid")
    if treatment == "asIs":
        return column
    if treatment == "asMissing":
        return Column(column.values, column.missing | wrong, column.type)
    if treatment == "asValue" and "invalidValueReplacement" in field.attributes:
        value = constant(field.need("invalidValueReplacement"), column.type)
        return Column(_put(column, wrong, value), column.missing, column.type)
    place = int(numpy.flatnonzero(wrong)[0])
    raise Refused(
        "row {}: {!r} is no valid value of the field {!r}, and the model gives no answer for one".format(
            place, str(column.values[place])[:_SHOWN], field.need("name")
        )
    )


def _put(column: Column, places: Any, value: Any) -> Any:
    return numpy.where(places, numpy.array(value, dtype=None if column.is_text else float), column.values)


def _treated(column: Column, field: Element) -> Column:
    """Do what the MiningField wants done with outliers and missing values."""
    outliers = field.get("outliers", "asIs")
    if outliers != "asIs" and not column.is_text:
        low, high = number(field.get("lowValue", "-inf")), number(field.get("highValue", "inf"))
        if outliers == "asExtremeValues":
            column = Column(numpy.clip(column.values, low, high), column.missing, column.type)
        else:
            out = (column.values < low) | (column.values > high)
            column = Column(column.values, column.missing | out, column.type)
    if field.get("missingValueTreatment") == "returnInvalid" and column.missing.any():
        raise Refused(
            "the field {!r} has missing values: the model gives no answer".format(field.need("name"))
        )
    if "missingValueReplacement" not in field.attributes or not column.missing.any():
        return column
    value = constant(field.need("missingValueReplacement"), column.type)
    return Column(_put(column, column.missing, value), numpy.zeros(len(column.missing), bool), column.type)
