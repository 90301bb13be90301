"""Small PMML and PFA documents, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FIELDS = (
    '<DataField name="x" optype="continuous" dataType="double"/>'
    '<DataField name="c" optype="categorical" dataType="string"/>'
    '<DataField name="y" optype="continuous" dataType="double"/>'
)
SCHEMA = (
    '<MiningSchema><MiningField name="y" usageType="target"/><MiningField name="x"/><MiningField name="c"/>'
    "</MiningSchema>"
)
NODE = '<Node score="{score}"><SimplePredicate field="x" operator="{operator}" value="{value}"/></Node>'
STUMP = (
    "<Node><True/>"
    + NODE.format(score="1.5", operator="lessThan", value="0")
    + NODE.format(score="2.5", operator="greaterOrEqual", value="0")
    + "</Node>"
)
ROWS = {"x": np.array([-1.0, 0.0, np.nan]), "c": np.array(["red", "blue", ""])}


def pmml(model: str, *, fields: str = FIELDS, transformations: str = "") -> bytes:
    """Put a model into a document."""
    return (
        '<?xml version="1.0"?><PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header/>'
        f"<DataDictionary>{fields}</DataDictionary>{transformations}{model}</PMML>"
    ).encode()


def tree(body: str = STUMP, *, attributes: str = "", schema: str = SCHEMA, output: str = "") -> str:
    return f'<TreeModel functionName="regression" {attributes}>{schema}{output}{body}</TreeModel>'


VERIFICATION = (
    '<ModelVerification recordCount="2" fieldCount="3"><VerificationFields>'
    '<VerificationField field="x" column="a"/><VerificationField field="c" column="b"/>'
    '<VerificationField field="y" column="d" precision="1e-6"/></VerificationFields>'
    "<InlineTable><row><a>-1</a><b>red</b><d>1.5</d></row><row><a>2</a><d>{answer}</d></row></InlineTable>"
    "</ModelVerification>"
)


def verified(answer: str = "2.5") -> bytes:
    """A document that holds two rows with their answers, the second's as given."""
    return pmml(tree(STUMP + VERIFICATION.format(answer=answer)))


def engine(**parts: Any) -> dict[str, Any]:
    """A PFA document that doubles x; its parts may be replaced."""
    row = {"type": "record", "name": "Row", "fields": [{"name": "x", "type": ["null", "double"]}]}
    answer = {"type": "record", "name": "Answer", "fields": [{"name": "twice", "type": "double"}]}
    action = {"new": {"twice": {"*": [2.0, "input.x"]}}, "type": "Answer"}
    return {"input": row, "output": answer, "action": action, **parts}


def pfa(**parts: Any) -> bytes:
    return json.dumps(engine(**parts)).encode()


def ask(load: Any, data: bytes, inputs: Mapping[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
    """Run a document by its loader."""
    (folder / "document").write_bytes(data)
    outputs = load.run(str(folder), "document", list(inputs.items()), options, 1, {})
    return {name: array for name, array, _ in outputs}
