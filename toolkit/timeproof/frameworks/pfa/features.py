"""What a PFA document must know of an ensemble's features: categories, and missing zeros. No IO here."""

from __future__ import annotations

from timeproof.frameworks.trees.ensemble import Ensemble, Feature, NoEnsemble, Split


def category_names(feature: Feature, ensemble: Ensemble, place: int) -> list[str]:
    """What a column's numbers stand for: names, or the numbers themselves as text."""
    if feature.categories is not None:
        return list(feature.categories)
    codes = [
        code
        for tree in ensemble.trees()
        for node in tree.nodes
        if isinstance(node, Split) and node.feature == place
        for code in node.categories
    ]
    return [str(code) for code in range(max(codes, default=0) + 1)]


def zero_features(ensemble: Ensemble) -> set[int]:
    """The features whose zeros are missing values. Raises NoEnsemble where some splits say otherwise."""
    marks: dict[int, set[bool]] = {}
    for tree in ensemble.trees():
        for node in tree.nodes:
            if isinstance(node, Split):
                marks.setdefault(node.feature, set()).add(node.zero_missing)
    if any(len(mark) > 1 for mark in marks.values()):
        raise NoEnsemble("a feature's zeros are missing values for some of its splits alone")
    return {feature for feature, mark in marks.items() if True in mark}
