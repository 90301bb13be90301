"""What a writer writes of an ensemble, its evaluator answers as the ensemble itself: PMML and PFA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from support.ensembles import FEATURES, answers, ensembles, tables
from support.laws import examples

from timeproof.frameworks.pfa.probe import load as pfa_loader
from timeproof.frameworks.pfa.writer import document_of as pfa_document
from timeproof.frameworks.pmml.probe import load as pmml_loader
from timeproof.frameworks.pmml.verification import Verification
from timeproof.frameworks.pmml.writer import document_of as pmml_document
from timeproof.frameworks.trees.ensemble import Ensemble, Leaf, NoEnsemble, Split, Tree

_NAMES = {feature.name: [*feature.categories] for feature in FEATURES if feature.categories}


def _ask(load: Any, data: bytes, table: np.ndarray, options: dict[str, Any], folder: Path) -> Any:
    (folder / "model").write_bytes(data)
    plain = json.loads(json.dumps(options))
    return {name: array for name, array, _ in load.run(str(folder), "model", [("x", table)], plain, 1, {})}


def _agree(expected: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
    assert set(outputs) == set(expected)
    for name, array in expected.items():
        assert outputs[name].dtype == array.dtype, name
        assert outputs[name].shape == array.shape, name
        if name == "raw":
            assert outputs[name].tobytes() == (array + 0.0).tobytes() or np.array_equal(outputs[name], array)
        np.testing.assert_allclose(outputs[name], array, rtol=4 * np.finfo(array.dtype).eps, atol=1e-30)


@examples(60)
@given(ensemble=ensembles(), table=tables())
def test_a_pmml_copy_answers_as_the_ensemble(
    ensemble: Ensemble, table: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = answers(ensemble, table)
    written = pmml_document(ensemble, Verification(table, expected))
    options = {"columns": [f.name for f in FEATURES], "categories": _NAMES, "outputs": written.outputs}
    outputs = _ask(pmml_loader, written.data, table, options, tmp_path_factory.getbasetemp())
    _agree(expected, outputs)


@examples(60)
@given(ensemble=ensembles(), table=tables())
def test_a_pfa_copy_answers_as_the_ensemble(
    ensemble: Ensemble, table: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = pfa_document(ensemble)
    options = {
        "columns": written.columns,
        "categories": written.categories,
        "outputs": written.outputs,
    }
    outputs = _ask(pfa_loader, written.data, table, options, tmp_path_factory.getbasetemp())
    _agree(answers(ensemble, table), outputs)


def _chain(depth: int) -> Ensemble:
    """One tree, as deep as it has splits."""
    nodes: list[Split | Leaf] = []
    for k in range(depth):
        nodes.append(Split(0, "<", 2 * k + 1, 2 * k + 2, missing_left=True, threshold=float(k)))
        nodes.append(Leaf((float(k),)))
    # The leaf of each split stands right after it, the next split after that.
    nodes.append(Leaf((-1.0,)))
    return Ensemble("Chain", FEATURES[:1], ((Tree(tuple(nodes)),),), "identity", "raw", "answer")


def test_a_deep_tree_is_written_as_pmml_and_named_for_pfa(tmp_path: Path) -> None:
    ensemble = _chain(900)
    table = np.array([[0.5], [899.5], [np.nan], [450.0]])
    options = {"columns": ["width"], "outputs": None}
    written = pmml_document(ensemble)
    outputs = _ask(pmml_loader, written.data, table, {**options, "outputs": written.outputs}, tmp_path)
    assert outputs["raw"].tolist() == [1.0, -1.0, 0.0, 451.0]
    with pytest.raises(NoEnsemble, match="200 nodes deep"):
        pfa_document(ensemble)


def test_a_feature_that_is_called_as_an_output_is_told_apart(tmp_path: Path) -> None:
    from timeproof.frameworks.trees.ensemble import Feature

    features = tuple(Feature(name) for name in ("y", "raw", "answer", "predicted_y"))
    tree = Tree((Split(1, "<=", 1, 2, missing_left=True), Leaf((1.0,)), Leaf((2.0,))))
    ensemble = Ensemble("Names", features, ((tree,),), "logistic", "raw", "answer")
    written = pmml_document(ensemble)
    options = {"columns": [f.name for f in features], "outputs": written.outputs}
    outputs = _ask(pmml_loader, written.data, np.array([[0, -1.0, 0, 0], [0, 1.0, 0, 0]]), options, tmp_path)
    assert outputs["raw"].tolist() == [1.0, 2.0]


def test_a_document_is_the_same_bytes_each_time() -> None:
    ensemble = _chain(3)
    assert pmml_document(ensemble).data == pmml_document(ensemble).data
    assert pfa_document(ensemble).data == pfa_document(ensemble).data
