"""The evaluator of PFA: the expressions that it computes, and what it names and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.field_documents import ask, engine, pfa

from timeproof.frameworks.pfa.probe import load
from timeproof_probe.file_checks import Refused

ROWS = {"x": np.array([1.0, -2.0, np.nan])}
_ABS = {"ifnotnull": {"v": "input.x"}, "then": {"m.abs": "v"}, "else": -1.0}
_SET = [{"let": {"a": 1.0}}, {"set": {"a": {"+": ["a", 2.0]}}}, "a"]
_LET = [{"let": {"a": {"+": ["input.x", 1.5]}}}, {"*": ["a", "a"]}]
_TREE = {
    "TreeNode": {
        "field": "x",
        "operator": "<",
        "value": 0.0,
        "pass": {"double": 3.0},
        "fail": {"double": 4.0},
        "missing": {"double": 5.0},
    }
}


def _one(expression: Any, folder: Path, rows: Any = ROWS, **parts: Any) -> list[Any]:
    """What a document gives whose action is this expression."""
    outputs = ask(load, pfa(action=expression, output="double", **parts), rows, folder)
    values: list[Any] = outputs["output"].tolist()
    return values


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (_ABS, [1, 2, -1]),
        (_SET, [3, 3, 3]),
        (_LET, [6.25, 0.25, np.nan]),
        ({"if": {"<": ["input.x", 0]}, "then": 10.0, "else": 20.0}, [20, 10, 20]),
        (
            {"cond": [{"if": {"<": ["input.x", 0]}, "then": 1.0}], "else": 2.0},
            [2, 1, 2],
        ),
        ({"a.fold": [{"new": [1.0, 2.0, 3.0], "type": {"type": "array", "items": "double"}}, 0.0,
                     {"params": [{"t": "double"}, {"i": "double"}], "ret": "double",
                      "do": {"+": ["t", "i"]}}]},
         [6, 6, 6]),
        ({"a.sum": {"a.map": [{"new": ["input.x", 1.0]}, {"fcn": "u.double"}]}}, [4, -2, np.nan]),
        ({"attr": {"new": {"a": "input.x"}, "type": "R"}, "path": [{"string": "a"}]}, [1, -2, np.nan]),
        ({"m.link.logit": {"double": 0.0}}, [0.5, 0.5, 0.5]),
        ({"model.tree.missingWalk": ["input", {"cell": "tree"}, {"params": [{"d": "Row"}, {"t": "TreeNode"}],
          "ret": ["null", "boolean"], "do": {"model.tree.missingTest": ["d", "t"]}}]}, [4, 3, 5]),
    ],
)  # fmt: skip
def test_expressions_over_all_rows_at_once(expression: Any, expected: list[float], tmp_path: Path) -> None:
    double = {"params": [{"i": "double"}], "ret": "double", "do": {"*": ["i", 2.0]}}
    cells = {"tree": {"type": "TreeNode", "init": _TREE["TreeNode"]}}
    outcome = _one(expression, tmp_path, fcns={"double": double}, cells=cells)
    np.testing.assert_array_equal(np.array(outcome, float), np.array(expected, float))


def test_a_simple_tree_is_walked(tmp_path: Path) -> None:
    cells = {"tree": {"type": "TreeNode", "init": _TREE["TreeNode"]}}
    expression = {"model.tree.simpleTree": ["input", {"cell": "tree"}]}
    rows = {"x": np.array([1.0, -2.0])}
    assert _one(expression, tmp_path, rows, cells=cells) == [4.0, 3.0]
    with pytest.raises(Refused, match="is null, and the tree has no way"):
        _one(expression, tmp_path, cells=cells)


def test_sums_of_floats_are_rounded_to_float32(tmp_path: Path) -> None:
    total = {"+": [{"float": 1.0}, {"float": 1e-8}]}
    assert _one(total, tmp_path)[0] == 1.0
    assert _one({"+": [{"double": 1.0}, {"double": 1e-8}]}, tmp_path)[0] == 1.00000001


_REFUSED = {
    "a function": ({"model.neural.simpleLayers": []}, {}, "model.neural.simpleLayers"),
    "a user's function": ({"u.absent": ["input.x"]}, {}, "no function 'u.absent'"),
    "a cell": ({"cell": "absent"}, {}, "'absent'"),
    "a name": ("missing", {}, "no 'missing'"),
    "a field": ("input.z", {}, "no field 'z'"),
    "an if without else": ({"if": True, "then": 1.0}, {}, "without else"),
    "a loop": ({"while": True, "do": 1}, {}, "do, while is not evaluated"),
    "a set from a branch": (
        [{"let": {"a": 1.0}}, {"if": True, "then": {"set": {"a": 2.0}}, "else": 0.0}, "a"],
        {},
        "its own block",
    ),
    "several keys": ({"for": {"i": 0}, "step": 1}, {}, "for, step"),
    "an endless function": (
        {"u.again": ["input.x"]},
        {"again": {"params": [{"x": "double"}], "ret": "double", "do": {"u.again": ["x"]}}},
        "nested more than",
    ),
    "text and number": ({"+": [["text"], 1.0]}, {}, "arithmetic over string"),
}


@pytest.mark.parametrize(("expression", "functions", "words"), _REFUSED.values(), ids=_REFUSED)
def test_what_is_not_evaluated_is_named(
    expression: Any, functions: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=words):
        _one(expression, tmp_path, fcns=functions)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"input": 1, "input": 2}', "stands twice"),
        (b"[1]", "no PFA document"),
        (pfa(method="emit"), "'emit'"),
        (pfa(input="double"), "no record"),
        (pfa(begin=[{"let": {"a": 1}}]), "'begin'"),
    ],
)
def test_a_file_that_is_no_document_is_named(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=words):
        ask(load, data, ROWS, tmp_path)


def test_work_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from timeproof.frameworks.pfa.probe import engine as evaluator

    monkeypatch.setattr(evaluator, "CALLS", 50)
    many = {"new": [1.0] * 100, "type": {"type": "array", "items": "double"}}
    with pytest.raises(Refused, match="more than 50 evaluations"):
        _one({"a.sum": many}, tmp_path)


def test_the_input_is_a_record_of_plain_fields(tmp_path: Path) -> None:
    nested = {
        "type": "record",
        "name": "Row",
        "fields": [{"name": "x", "type": {"type": "map", "values": "int"}}],
    }
    assert engine()["input"] != nested
    with pytest.raises(Refused, match="is not evaluated"):
        ask(load, pfa(input=nested), ROWS, tmp_path)
