"""PMML and PFA files, as their writers and people write them: their answers are computed here, by hand."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from zoo_case import Made, model, wrong

NYOKA = Path(__file__).parents[1] / "sealing" / "nyoka"
X = np.array([-2.0, -0.5, 0.0, 0.5, 2.0, np.nan])
COLOURS = np.array(["red", "blue", "red", "green", "", "blue"])
_SCHEMA = '<MiningSchema><MiningField name="y" usageType="target"/>{fields}</MiningSchema>'


def written(text: str, suffix: str) -> Path:
    path = Path(tempfile.mkdtemp()) / f"model{suffix}"
    path.write_text(text)
    return path


def pmml(model_text: str, target: str = "double") -> Path:
    return written(
        '<PMML version="4.3" xmlns="http://www.dmg.org/PMML-4_3"><Header/><DataDictionary>'
        '<DataField name="x" optype="continuous" dataType="double"/>'
        '<DataField name="colour" optype="categorical" dataType="string"/>'
        f'<DataField name="y" optype="continuous" dataType="{target}"/></DataDictionary>{model_text}</PMML>',
        ".pmml",
    )


def given(path: Path, inputs: Any, **answers: Any) -> Made:
    return Made(path, inputs, lambda: answers, {"expected": answers} if answers else {})


@model("a boosted regressor of LightGBM, as nyoka 5.5 writes it", quick=True)
def pmml_nyoka_lightgbm() -> Made:
    rows = np.linspace(-1, 1, 48).reshape(12, 4)
    answer = lightgbm.Booster(model_file=NYOKA / "lightgbm.txt").predict(rows)
    return given(NYOKA / "lightgbm.pmml", rows, y=answer, predicted_y=answer)


@model("a tree that splits text, with a default child and a replaced missing value")
def pmml_tree() -> Made:
    schema = _SCHEMA.format(
        fields='<MiningField name="x" missingValueReplacement="1"/><MiningField name="colour"/>'
    )
    body = (
        f'<TreeModel functionName="regression" missingValueStrategy="defaultChild">{schema}'
        '<Node id="0" defaultChild="2"><True/><Node id="1" score="-1.5"><SimpleSetPredicate field="colour"'
        ' booleanOperator="isIn"><Array n="2" type="string">red "green"</Array></SimpleSetPredicate></Node>'
        '<Node id="2" defaultChild="3"><True/><Node id="3" score="7"><SimplePredicate field="x"'
        ' operator="lessOrEqual" value="0"/></Node><Node id="4" score="8"><SimplePredicate field="x"'
        ' operator="greaterThan" value="0"/></Node></Node></Node></TreeModel>'
    )
    return given(pmml(body), {"x": X, "colour": COLOURS}, y=np.array([-1.5, 7, -1.5, -1.5, 8, 8]))


@model("a logistic regression over a scaled field and a category")
def pmml_logistic() -> Made:
    schema = _SCHEMA.format(fields='<MiningField name="x"/><MiningField name="colour"/>')
    body = (
        f'<RegressionModel functionName="regression" normalizationMethod="logit">{schema}'
        '<LocalTransformations><DerivedField name="z" optype="continuous" dataType="double">'
        '<Apply function="/"><Apply function="-"><FieldRef field="x"/><Constant>0.5</Constant></Apply>'
        "<Constant>2</Constant></Apply></DerivedField></LocalTransformations>"
        '<RegressionTable intercept="0.25"><NumericPredictor name="z" coefficient="3"/>'
        '<CategoricalPredictor name="colour" value="blue" coefficient="-1"/></RegressionTable>'
        "</RegressionModel>"
    )
    raw = 0.25 + 3 * (X[:5] - 0.5) / 2 - (COLOURS[:5] == "blue")
    return given(pmml(body), {"x": X[:5], "colour": COLOURS[:5]}, y=1 / (1 + np.exp(-raw)))


@model("a PFA engine: a tree with a walk for missing values, and a link")
def pfa_tree() -> Made:
    leaf: dict[str, Any] = {"double": 2.0}
    node = {
        "field": "x",
        "operator": "<",
        "value": 0.0,
        "pass": leaf,
        "fail": {"double": -1.0},
        "missing": leaf,
    }
    branch = ["TreeNode", "double"]
    fields = [
        {"name": "field", "type": {"type": "enum", "name": "Fields", "symbols": ["x"]}},
        {"name": "operator", "type": "string"},
        {"name": "value", "type": "double"},
        *({"name": name, "type": branch} for name in ("pass", "fail", "missing")),
    ]
    test = {
        "params": [{"d": "Row"}, {"t": "TreeNode"}],
        "ret": ["null", "boolean"],
        "do": {"model.tree.missingTest": ["d", "t"]},
    }
    document = {
        "input": {"type": "record", "name": "Row", "fields": [{"name": "x", "type": ["null", "double"]}]},
        "output": "double",
        "cells": {"tree": {"type": {"type": "record", "name": "TreeNode", "fields": fields}, "init": node}},
        "action": {"m.link.logit": {"model.tree.missingWalk": ["input", {"cell": "tree"}, test]}},
    }
    raw = np.where(np.isnan(X) | (X < 0), 2.0, -1.0)
    return given(written(json.dumps(document), ".pfa"), {"x": X}, output=1 / (1 + np.exp(-raw)))


@wrong("a neural network in PMML", "NeuralNetwork", quick=True)
def pmml_network() -> Made:
    return given(pmml('<NeuralNetwork functionName="regression"/>'), {"x": X, "colour": COLOURS})


@wrong("PMML with a document type", "<!DOCTYPE")
def pmml_doctype() -> Made:
    path = written('<!DOCTYPE PMML [<!ENTITY a "b">]><PMML version="4.3">&a;</PMML>', ".pmml")
    return given(path, {"x": X})
