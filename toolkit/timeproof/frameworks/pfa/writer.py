"""An ensemble of trees as a PFA document. No IO here.

Each group of trees is a cell; the action walks its trees, adds up in the library's order, and links.
A node says itself where a missing value goes (`missingPasses`), so that no subtree stands twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.frameworks.pfa.features import category_names, zero_features
from timeproof.frameworks.trees.ensemble import Ensemble, Leaf, NoEnsemble, Split, Tree
from timeproof.version import VERSION

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NEARLY_ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold
DEPTH = 200  # of a tree: JSON that is nested deeper is not read everywhere
_WALK = "model.tree.simpleWalk"


@dataclass(frozen=True, slots=True)
class Written:
    """A document; the fields of its input, by column; what categories' numbers stand for; its outputs."""

    data: bytes
    columns: list[Json]
    categories: dict[str, Json]
    outputs: list[Json]


def document_of(ensemble: Ensemble) -> Written:
    """Write an ensemble. Raises NoEnsemble where a tree is too deep, or there is no answer but a name."""
    if ensemble.shape == "label":
        raise NoEnsemble("its answer is the name of a class, which the PFA writer does not give")
    return _Document(ensemble).write()


class _Document:
    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.leaf = "float" if ensemble.single else "double"
        names = [feature.name for feature in ensemble.features]
        usable = all(_NAME.fullmatch(name) for name in names)
        self.names = names if usable else [f"x{k}" for k in range(len(names))]
        self.categories = {
            self.names[k]: category_names(feature, ensemble, k)
            for k, feature in enumerate(ensemble.features)
            if feature.categorical
        }
        self.text = bool(self.categories)
        # Rows are changed before the trees see them: LightGBM's zeros, XGBoost's number for a missing value.
        self.zeros = zero_features(ensemble)

    def write(self) -> Written:
        ensemble = self.ensemble
        document = {
            "name": "Ensemble",
            "doc": f"{ensemble.library} model, copied by timeproof {VERSION}",
            "metadata": {
                "library": ensemble.library,
                "features": json.dumps([feature.name for feature in ensemble.features]),
                "classes": json.dumps(list(ensemble.classes)),
            },
            "input": self._row(),
            "output": self._answer_type(),
            "cells": {f"trees_{k}": self._cell(k) for k in range(len(ensemble.groups))},
            "fcns": self._functions(),
            "action": self._action(),
        }
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        columns: list[Json] = [*self.names]
        categories: dict[str, Json] = {name: [*values] for name, values in self.categories.items()}
        return Written(data.encode() + b"\n", columns, categories, self._outputs())

    def _row(self) -> dict[str, Any]:
        fields = []
        for name, feature in zip(self.names, self.ensemble.features, strict=True):
            kind = "string" if feature.categorical else "float" if feature.single else "double"
            fields.append({"name": name, "type": ["null", kind]})
        return {"type": "record", "name": "Row", "fields": fields}

    def _value(self) -> Any:
        """The type of what a node compares with."""
        return ["double", {"type": "array", "items": "string"}] if self.text else "double"

    def _leaf(self) -> Any:
        return {"type": "array", "items": "double"} if self.ensemble.link == "shares" else self.leaf

    def _cell(self, group: int) -> dict[str, Any]:
        branch = ["TreeNode", self._leaf()]
        node: Any = "TreeNode"
        if group == 0:  # a type is written out where it stands first
            fields = [
                {"name": "field", "type": {"type": "enum", "name": "Field", "symbols": self.names}},
                {"name": "operator", "type": "string"},
                {"name": "value", "type": self._value()},
                {"name": "missingPasses", "type": "boolean"},
                {"name": "pass", "type": branch},
                {"name": "fail", "type": branch},
            ]
            node = {"type": "record", "name": "TreeNode", "fields": fields}
        trees = [self._tree(tree) for tree in self.ensemble.groups[group]]
        return {"type": {"type": "array", "items": node}, "init": trees}

    def _tree(self, tree: Tree) -> dict[str, Any]:
        """Write a tree from its leaves up: children come after their parents."""
        written: dict[int, tuple[dict[str, Any], int]] = {}
        for k in range(len(tree.nodes) - 1, -1, -1):
            node = tree.nodes[k]
            if isinstance(node, Leaf):
                written[k] = self._leaf_value(node), 0
                continue
            (passed, passed_depth), (failed, failed_depth) = written.pop(node.left), written.pop(node.right)
            depth = 1 + max(passed_depth, failed_depth)
            if depth > DEPTH:
                raise NoEnsemble(f"a tree of it is more than {DEPTH} nodes deep")
            written[k] = {"TreeNode": self._node(node, passed, failed)}, depth
        (root, _) = written[0]
        if isinstance(tree.nodes[0], Leaf):  # a walk begins at a node
            only = Split(0, "<=", 0, 0, missing_left=True)
            return self._node(only, root, root, constant=True)
        inner: dict[str, Any] = root["TreeNode"]
        return inner

    def _leaf_value(self, leaf: Leaf) -> dict[str, Any]:
        if self.ensemble.link == "shares":
            return {"array": [*leaf.values]}
        return {self.leaf: leaf.values[0]}

    def _node(self, split: Split, passed: Any, failed: Any, *, constant: bool = False) -> dict[str, Any]:
        operator: str = split.operator
        value: Any = split.threshold
        if constant:
            operator = "alwaysTrue"
        elif operator in {"in", "not in"}:
            operator = "in" if operator == "in" else "notIn"
            names = self.categories[self.names[split.feature]]
            value = [names[code] for code in split.categories if code < len(names)]
        tagged = {"array": value} if isinstance(value, list) else {"double": value}
        return {
            "field": self.names[split.feature],
            "operator": operator,
            "value": tagged if self.text else value,
            "missingPasses": split.missing_left,
            "pass": passed,
            "fail": failed,
        }

    # --- what is done with a row ------------------------------------------------------------------

    def _functions(self) -> dict[str, Any]:
        goes = {
            "params": [{"row": "Row"}, {"node": "TreeNode"}],
            "ret": "boolean",
            "do": {
                "ifnotnull": {"passed": {"model.tree.missingTest": ["row", "node"]}},
                "then": "passed",
                "else": "node.missingPasses",
            },
        }
        functions: dict[str, Any] = {"goes": goes}
        for kind, condition in self._nulls():
            functions[f"present_{kind}"] = {
                "params": [{"value": ["null", kind]}],
                "ret": ["null", kind],
                "do": {
                    "ifnotnull": {"given": "value"},
                    # Both branches are unions: a null alone, or a number alone, would be another type.
                    "then": {
                        "if": condition,
                        "then": {"type": ["null", kind], "value": None},
                        "else": "given",
                    },
                    "else": {"type": ["null", kind], "value": None},
                },
            }
        return functions

    def _nulls(self) -> list[tuple[str, Any]]:
        """Which numbers mean a missing value, by the type of their fields."""
        missing = self.ensemble.missing_value
        if missing is not None:
            return [(self.leaf, {"==": ["given", missing]})]
        if self.zeros:
            near = {"&&": [{">=": ["given", -_NEARLY_ZERO]}, {"<=": ["given", _NEARLY_ZERO]}]}
            return [(self.leaf, near)]
        return []

    def _changed(self) -> list[int]:
        if self.ensemble.missing_value is not None:
            return [k for k, feature in enumerate(self.ensemble.features) if not feature.categorical]
        return sorted(self.zeros)

    def _action(self) -> list[Any]:
        ensemble = self.ensemble
        action: list[Any] = [{"let": {"row": "input"}}]
        action += [
            {
                "set": {
                    "row": {
                        "attr": "row",
                        "path": [{"string": self.names[k]}],
                        "to": {"fcn": f"u.present_{self.leaf}"},
                    }
                }
            }
            for k in self._changed()
        ]
        action += [{"let": {f"sum_{k}": self._sum(k)}} for k in range(len(ensemble.groups))]
        fields: dict[str, Any] = {}
        if ensemble.answer:
            fields[ensemble.answer] = self._answer()
        if ensemble.raw:
            sums: list[Any] = [f"sum_{k}" for k in range(len(ensemble.groups))]
            array = {"new": sums, "type": {"type": "array", "items": self.leaf}}
            fields[ensemble.raw] = array if len(sums) > 1 else sums[0]
        return [*action, {"new": fields, "type": "Answer"}]

    def _sum(self, group: int) -> Any:
        """Add up the trees of one group, in their order."""
        walk = {_WALK: ["row", "tree", {"fcn": "u.goes"}]}
        cell, count = {"cell": f"trees_{group}"}, len(self.ensemble.groups[group])
        if self.ensemble.link == "shares":
            width = len(self.ensemble.classes)
            items: list[Any] = [self._share_sum(cell, walk, k, count) for k in range(width)]
            return {"new": items, "type": {"type": "array", "items": "double"}}
        total = self._fold(cell, {"+": ["total", walk]})
        return {"/": [total, float(count)]} if self.ensemble.average else total

    def _fold(self, cell: Any, step: Any) -> Any:
        function = {
            "params": [{"total": self.leaf}, {"tree": "TreeNode"}],
            "ret": self.leaf,
            "do": step,
        }
        return {"a.fold": [cell, {self.leaf: 0.0}, function]}

    def _share_sum(self, cell: Any, walk: Any, k: int, count: int) -> Any:
        share = {"attr": walk, "path": [k]}
        return {"/": [self._fold(cell, {"+": ["total", share]}), float(count)]}

    def _answer(self) -> Any:
        ensemble = self.ensemble
        sums: list[Any] = [f"sum_{k}" for k in range(len(ensemble.groups))]
        scaled = [s if ensemble.scale == 1.0 else {"*": [s, ensemble.scale]} for s in sums]
        doubles = {"type": "array", "items": "double"}
        if ensemble.link == "shares":
            return sums[0]
        if ensemble.link == "exp":
            return {"m.exp": scaled[0]}
        if ensemble.link == "softmax":
            return {"m.link.softmax": {"new": scaled, "type": doubles}}
        if ensemble.link == "each":
            return {"new": [{"m.link.logit": value} for value in scaled], "type": doubles}
        if ensemble.link == "identity":
            return scaled[0]
        share = {"m.link.logit": scaled[0]}
        if not ensemble.classes:
            return share
        return {"new": [{"-": [1.0, share]}, share], "type": doubles}

    def _answer_type(self) -> dict[str, Any]:
        ensemble = self.ensemble
        doubles, floats = {"type": "array", "items": "double"}, {"type": "array", "items": self.leaf}
        fields = []
        if ensemble.answer:
            plain = self.leaf if ensemble.link == "identity" and ensemble.scale == 1.0 else "double"
            fields.append({"name": ensemble.answer, "type": doubles if ensemble.classes else plain})
        if ensemble.raw:
            fields.append({"name": ensemble.raw, "type": floats if len(ensemble.groups) > 1 else self.leaf})
        return {"type": "record", "name": "Answer", "fields": fields}

    def _outputs(self) -> list[Json]:
        dtype = "<f4" if self.ensemble.single else "<f8"
        names = [name for name in (self.ensemble.answer, self.ensemble.raw) if name]
        return [{"name": name, "fields": [name], "dtype": dtype} for name in names]
