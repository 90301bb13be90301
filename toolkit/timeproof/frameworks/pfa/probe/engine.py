"""Evaluate a PFA document's action over many rows at once: expressions, cells, its own functions."""

from typing import Any, Callable, Dict, List, Optional

import numpy

from timeproof_probe.file_checks import Refused

from . import functions, trees
from .values import Constant, Record, Vector, as_vector, choose, from_json, null, number

CALLS = 5 * 10**6  # evaluations of an expression
_DEPTH = 100  # expressions and functions within one another
_LITERALS = {"int", "long", "float", "double", "string", "boolean"}
Scope = Dict[str, Any]
_OWN = ""  # in a scope: the names that its own block has made
# Special form → the keys that it may have. The first that is there names the form.
_FORMS = {
    "let": {"let"},
    "set": {"set"},
    "params": {"params", "ret", "do"},
    "if": {"if", "then", "else"},
    "cond": {"cond", "else"},
    "ifnotnull": {"ifnotnull", "then", "else"},
    "attr": {"attr", "path", "to"},
    "cell": {"cell", "path", "to"},
    "new": {"new", "type"},
    "do": {"do"},
    "type": {"type", "value"},
}


class Engine:
    """One document, asked for some rows."""

    def __init__(self, document: Dict[str, Any], rows: int) -> None:
        self._rows = rows
        self._document = document
        self._depth = 0
        self._calls = 0
        self._cells: Dict[str, Any] = {}
        self._forms: Dict[str, Callable[[Dict[str, Any], Scope], Any]] = {
            "let": self._let,
            "set": self._set,
            "do": self._do,
            "if": self._if,
            "cond": self._cond,
            "ifnotnull": self._if_not_null,
            "attr": self._attr,
            "cell": self._cell,
            "new": self._new,
            "params": self._function,
            "type": self._literal,
        }

    def run(self, row: Record) -> Any:
        """Give what the action gives for these rows. Raises Refused."""
        action = self._document["action"]
        return self._sequence(action if isinstance(action, list) else [action], {"input": row, _OWN: set()})

    def _sequence(self, expressions: List[Any], scope: Scope) -> Any:
        result: Any = None
        for expression in expressions:
            result = self._evaluate(expression, scope)
        if result is None:
            raise Refused("an empty list of expressions")
        return result

    def _evaluate(self, expression: Any, scope: Scope) -> Any:
        self._calls += 1
        if self._calls > CALLS:
            raise Refused("it takes more than {} evaluations".format(CALLS))
        self._depth += 1
        if self._depth > _DEPTH:
            raise Refused("expressions are nested more than {} deep".format(_DEPTH))
        try:
            return self._any(expression, scope)
        finally:
            self._depth -= 1

    def _any(self, expression: Any, scope: Scope) -> Any:
        if isinstance(expression, bool):
            return Vector(expression, "boolean")
        if isinstance(expression, int):
            return number(expression, "int")
        if isinstance(expression, float):
            return number(expression)
        if expression is None:
            return null()
        if isinstance(expression, str):
            return self._symbol(expression, scope)
        if isinstance(expression, list) and len(expression) == 1 and isinstance(expression[0], str):
            return Vector(expression[0], "string")  # ["text"] is the string itself
        if not isinstance(expression, dict):
            raise Refused("an expression of the type {} is not evaluated".format(type(expression).__name__))
        keys = [key for key in expression if not key.startswith("@")]
        form = next((name for name in _FORMS if name in expression), None)
        if form is not None and _FORMS[form].issuperset(keys):
            return self._forms[form](expression, scope)
        if len(keys) != 1 or form is not None:
            raise Refused("an expression with {} is not evaluated".format(", ".join(sorted(keys))[:120]))
        return self._call(keys[0], expression[keys[0]], scope)

    def _symbol(self, name: str, scope: Scope) -> Any:
        head, *path = name.split(".")
        if head not in scope:
            raise Refused("there is no {!r}".format(name[:80]))
        return self._at(scope[head], list(path))

    def _at(self, value: Any, path: List[Any]) -> Any:
        for part in path:
            if isinstance(value, Record) and isinstance(part, str):
                value = value.field(part)
            elif isinstance(value, Constant) and isinstance(value.data, dict) and part in value.data:
                value = from_json(value.data[part])
            elif isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
                value = value[part]
            else:
                raise Refused("there is nothing at {!r}".format(str(part)[:80]))
        return value

    # --- special forms --------------------------------------------------------------------------

    def _let(self, expression: Dict[str, Any], scope: Scope) -> Any:
        assignments = expression["let"]
        if not isinstance(assignments, dict) or _OWN in assignments:
            raise Refused("a let without names")
        values = {name: self._evaluate(part, scope) for name, part in assignments.items()}
        scope.update(values)
        scope[_OWN] = scope[_OWN] | set(values)
        return null()

    def _set(self, expression: Dict[str, Any], scope: Scope) -> Any:
        """Change names of this very block: a change that reaches out of a branch is not evaluated."""
        if not isinstance(expression["set"], dict) or not scope[_OWN].issuperset(expression["set"]):
            raise Refused("a set of a name that its own block has not made is not evaluated")
        return self._let({"let": expression["set"]}, scope)

    def _do(self, expression: Dict[str, Any], scope: Scope) -> Any:
        return self._block(expression["do"], scope)

    def _block(self, block: Any, scope: Scope) -> Any:
        return self._sequence(block if isinstance(block, list) else [block], {**scope, _OWN: set()})

    def _if(self, expression: Dict[str, Any], scope: Scope) -> Any:
        condition = as_vector(self._evaluate(expression["if"], scope))
        if "else" not in expression:
            raise Refused("an if without else is not evaluated")
        return choose(
            condition, self._block(expression.get("then"), scope), self._block(expression["else"], scope)
        )

    def _cond(self, expression: Dict[str, Any], scope: Scope) -> Any:
        if "else" not in expression or not isinstance(expression["cond"], list):
            raise Refused("a cond without else is not evaluated")
        result = self._block(expression["else"], scope)
        for part in reversed(expression["cond"]):
            condition = as_vector(self._evaluate(part["if"], scope))
            result = choose(condition, self._block(part.get("then"), scope), result)
        return result

    def _if_not_null(self, expression: Dict[str, Any], scope: Scope) -> Any:
        missing: Any = numpy.asarray(False)
        inner = dict(scope)
        for name, part in expression["ifnotnull"].items():
            vector = as_vector(self._evaluate(part, scope))
            missing = missing | vector.missing
            inner[name] = Vector(vector.values, vector.type)
        then = self._block(expression.get("then"), inner)
        if "else" not in expression:
            raise Refused("an ifnotnull without else is not evaluated")
        return choose(Vector(~missing, "boolean"), then, self._block(expression["else"], scope))

    def _attr(self, expression: Dict[str, Any], scope: Scope) -> Any:
        value = self._evaluate(expression["attr"], scope)
        path = [self._step(part, scope) for part in expression.get("path", [])]
        if "to" not in expression:
            return self._at(value, path)
        if len(path) != 1 or not isinstance(value, Record):
            raise Refused("a change deep in a value is not evaluated")
        field = value.field(path[0])
        change = self._callable(expression["to"], scope)
        changed = self._evaluate(expression["to"], scope) if change is None else change(field)
        return Record({**{name: value.field(name) for name in value.fields}, path[0]: changed})

    def _step(self, part: Any, scope: Scope) -> Any:
        """One step of a path, which is the same for every row."""
        if isinstance(part, dict) and list(part) == ["string"]:
            return part["string"]
        vector = as_vector(self._evaluate(part, scope))
        if numpy.ndim(vector.values):
            raise Refused("a path that differs from row to row is not evaluated")
        return str(vector.values) if vector.type == "string" else int(vector.values)

    def _cell(self, expression: Dict[str, Any], scope: Scope) -> Any:
        name = expression["cell"]
        cells = self._document.get("cells") or {}
        if not isinstance(name, str) or name not in cells or "to" in expression:
            raise Refused("the cell {!r} is not there, or is to be changed".format(str(name)[:80]))
        if name not in self._cells:
            data = cells[name].get("init") if isinstance(cells[name], dict) else None
            self._cells[name] = (
                [Constant(item) for item in data] if isinstance(data, list) else from_json(data)
            )
        return self._at(self._cells[name], [self._step(part, scope) for part in expression.get("path", [])])

    def _new(self, expression: Dict[str, Any], scope: Scope) -> Any:
        parts = expression["new"]
        if isinstance(parts, list):
            return [self._evaluate(part, scope) for part in parts]
        if isinstance(parts, dict):
            return Record({name: self._evaluate(part, scope) for name, part in parts.items()})
        raise Refused("a new value that is neither an array nor a record")

    def _literal(self, expression: Dict[str, Any], _scope: Scope) -> Any:
        if "value" not in expression:
            raise Refused("an expression with a type and no value")
        kind = expression["type"]
        if isinstance(kind, str) and kind in _LITERALS and kind != "string":
            return Vector(float(expression["value"]), kind)
        return from_json(expression["value"])

    # --- functions ------------------------------------------------------------------------------

    def _function(self, expression: Dict[str, Any], scope: Scope) -> Any:
        """Make a function that the document defines: its parameters, and what it does."""
        names = [next(iter(parameter)) for parameter in expression["params"]]
        body = expression.get("do")

        def function(*arguments: Any) -> Any:
            if len(arguments) != len(names):
                raise Refused("a function takes {} arguments, not {}".format(len(names), len(arguments)))
            inner = {**scope, **dict(zip(names, arguments))}  # noqa: B905 - Python 3.6
            return self._block(body, inner)

        return function

    def _callable(self, expression: Any, scope: Scope) -> Optional[Callable[..., Any]]:
        """Give a function where the expression is one: defined in place, or named."""
        if isinstance(expression, dict) and "params" in expression:
            function: Callable[..., Any] = self._function(expression, scope)
            return function
        if (
            isinstance(expression, dict)
            and list(expression) == ["fcn"]
            or (isinstance(expression, dict) and "fcn" in expression and "fill" not in expression)
        ):
            return self._named(str(expression["fcn"]))
        return None

    def _named(self, name: str) -> Callable[..., Any]:
        if not name.startswith("u."):
            return lambda *arguments: self._library(name, list(arguments))
        defined = (self._document.get("fcns") or {}).get(name[2:])
        if not isinstance(defined, dict) or "params" not in defined:
            raise Refused("there is no function {!r}".format(name[:80]))
        function: Callable[..., Any] = self._function(defined, {})
        return function

    def _call(self, name: str, arguments: Any, scope: Scope) -> Any:
        if name in _LITERALS and not isinstance(arguments, (list, dict)):
            return Vector(arguments, name) if name == "string" else Vector(float(arguments), name)
        values = []
        for argument in arguments if isinstance(arguments, list) else [arguments]:
            function = self._callable(argument, scope)
            values.append(self._evaluate(argument, scope) if function is None else function)
        if name.startswith("u."):
            return self._named(name)(*values)
        return self._library(name, values)

    def _library(self, name: str, values: List[Any]) -> Any:
        if name in ("model.tree.simpleTest", "model.tree.missingTest"):
            row, node = self._exactly(name, values, 2)
            return trees.compare(row, node, with_missing=name.endswith("missingTest"))
        if name == "model.tree.simpleTree":
            row, tree = self._exactly(name, values, 2)
            return trees.walk(row, tree, lambda r, node: trees.compare(r, node, False), self._rows)
        if name in ("model.tree.simpleWalk", "model.tree.missingWalk"):
            row, tree, test = self._exactly(name, values, 3)
            if not callable(test):
                raise Refused("{} needs a function".format(name))
            return trees.walk(row, tree, test, self._rows)
        return functions.call(name, values)

    @staticmethod
    def _exactly(name: str, values: List[Any], count: int) -> List[Any]:
        if len(values) != count:
            raise Refused("{} takes {} arguments, not {}".format(name, count, len(values)))
        return values
