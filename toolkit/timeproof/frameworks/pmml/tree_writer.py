"""Decision trees as PMML's TreeModel elements. No IO here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from timeproof.frameworks.pmml.xml_lines import XmlLines, spell
from timeproof.frameworks.trees.ensemble import Ensemble, Feature, Leaf, Split, Tree

_NEARLY_ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold


class TreeWriter:
    """Writes the trees of one ensemble into a document."""

    def __init__(self, xml: XmlLines, ensemble: Ensemble) -> None:
        self.xml, self.ensemble = xml, ensemble
        self._function = "classification" if ensemble.link == "shares" else "regression"

    def tree(self, tree: Tree) -> None:
        features = self.ensemble.features
        used = sorted({node.feature for node in tree.nodes if isinstance(node, Split)}) or [0]
        with self.xml.element(
            "TreeModel",
            functionName=self._function,
            missingValueStrategy="defaultChild",
            splitCharacteristic="binarySplit",
            x_mathContext="float" if self.ensemble.single else None,
        ):
            with self.xml.element("MiningSchema"):
                for k in used:
                    self.xml.leaf("MiningField", name=features[k].name, **treatment(features[k]))
            self._nodes(tree)

    def _nodes(self, tree: Tree) -> None:
        """Write the nodes, each within its parent. A tree may be deep: its way down is a list."""
        waiting: list[tuple[int, Split | None, bool]] = [(0, None, True)]
        while waiting:
            k, parent, goes_left = waiting.pop()
            if k < 0:
                self.xml.close("Node")
                continue
            node = tree.nodes[k]
            if isinstance(node, Leaf):
                self.xml.open("Node", id=str(k + 1), **self._score(node))
            else:
                default = node.left if node.missing_left else node.right
                self.xml.open("Node", id=str(k + 1), defaultChild=str(default + 1))
            if parent is None:
                self.xml.leaf("True")
            else:
                self._predicate(parent, goes_left=goes_left)
            waiting.append((-1, None, True))
            if isinstance(node, Split):
                waiting += [(node.right, node, False), (node.left, node, True)]
            else:
                self._shares(node)

    def _score(self, leaf: Leaf) -> dict[str, str]:
        if self.ensemble.link != "shares":
            return {"score": spell(leaf.values[0])}
        return {"score": self.ensemble.classes[int(np.argmax(leaf.values))]}

    def _shares(self, leaf: Leaf) -> None:
        if self.ensemble.link == "shares":
            for name, share in zip(self.ensemble.classes, leaf.values, strict=True):
                spelled = spell(share)
                self.xml.leaf("ScoreDistribution", value=name, recordCount=spelled, probability=spelled)

    def _predicate(self, split: Split, *, goes_left: bool) -> None:
        feature = self.ensemble.features[split.feature]
        if split.operator in {"in", "not in"}:
            inside = goes_left == (split.operator == "in")
            with self.xml.element(
                "SimpleSetPredicate", field=feature.name, booleanOperator="isIn" if inside else "isNotIn"
            ):
                members = _members(feature, split.categories)
                kind = "int" if feature.categories is None else "string"
                self.xml.leaf("Array", " ".join(members), type=kind, n=str(len(members)))
            return
        operators = (
            ("lessThan", "greaterOrEqual") if split.operator == "<" else ("lessOrEqual", "greaterThan")
        )
        operator, value = operators[0 if goes_left else 1], spell(split.threshold)
        if not split.zero_missing or (
            split.threshold >= _NEARLY_ZERO if split.missing_left else split.threshold < -_NEARLY_ZERO
        ):
            self.xml.leaf("SimplePredicate", field=feature.name, operator=operator, value=value)
        else:
            self._around_zero(feature, operator, value, with_zero=goes_left == split.missing_left)

    def _around_zero(self, feature: Feature, operator: str, value: str, *, with_zero: bool) -> None:
        """Write a predicate that takes values nearly 0 in, or leaves them out, whatever the threshold."""
        low, high = spell(-_NEARLY_ZERO), spell(_NEARLY_ZERO)
        inner = ("greaterOrEqual", "lessOrEqual", "and") if with_zero else ("lessThan", "greaterThan", "or")
        with self.xml.element("CompoundPredicate", booleanOperator="or" if with_zero else "and"):
            self.xml.leaf("SimplePredicate", field=feature.name, operator=operator, value=value)
            with self.xml.element("CompoundPredicate", booleanOperator=inner[2]):
                self.xml.leaf("SimplePredicate", field=feature.name, operator=inner[0], value=low)
                self.xml.leaf("SimplePredicate", field=feature.name, operator=inner[1], value=high)


def treatment(feature: Feature) -> dict[str, str]:
    """What a MiningField says: a category that training has not seen is a value like others."""
    return {"invalidValueTreatment": "asIs"} if feature.categories is not None else {}


def _members(feature: Feature, codes: Sequence[int]) -> list[str]:
    if feature.categories is None:
        return [str(code) for code in codes]
    names = [feature.categories[code] for code in codes if code < len(feature.categories)]
    return ['"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names]
