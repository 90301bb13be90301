"""The evaluator of PMML, element by element: what it computes, and what it names and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.field_documents import FIELDS, NODE, ROWS, SCHEMA, STUMP, ask, pmml, tree, verified

from timeproof.frameworks.pmml.probe import load
from timeproof_probe.file_checks import Refused

NAN = np.nan
_BELOW = '<SimplePredicate field="x" operator="lessThan" value="0"/>'


def _answer(model: str, folder: Path, rows: Any = ROWS, **parts: str) -> list[Any]:
    outputs = ask(load, pmml(model, **parts), rows, folder)
    values: list[Any] = outputs["y"].tolist()
    return values


def _same(given: list[Any], expected: list[Any]) -> None:
    np.testing.assert_array_equal(np.array(given, float), np.array(expected, float))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", [1.5, 2.5, NAN]),
        ('missingValueStrategy="nullPrediction"', [1.5, 2.5, NAN]),
        ('noTrueChildStrategy="returnLastPrediction"', [1.5, 2.5, 9.0]),
        ('missingValueStrategy="lastPrediction"', [1.5, 2.5, 9.0]),
        ('missingValueStrategy="defaultChild"', [1.5, 2.5, 2.5]),
    ],
)
def test_a_missing_value_goes_where_the_tree_says(
    attributes: str, expected: list[float], tmp_path: Path
) -> None:
    body = STUMP.replace("<Node><True/>", '<Node score="9" defaultChild="r"><True/>')
    body = body.replace('<Node score="2.5">', '<Node id="r" score="2.5">')
    _same(_answer(tree(body, attributes=attributes), tmp_path), expected)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ('<SimplePredicate field="x" operator="isMissing"/>', [NAN, NAN, 1]),
        ('<SimplePredicate field="x" operator="isNotMissing"/>', [1, 1, NAN]),
        ('<SimplePredicate field="c" operator="equal" value="red"/>', [1, NAN, NAN]),
        ('<SimplePredicate field="c" operator="notEqual" value="red"/>', [NAN, 1, NAN]),
        (
            '<SimpleSetPredicate field="c" booleanOperator="isIn"><Array type="string">"red" blue</Array>'
            "</SimpleSetPredicate>",
            [1, 1, NAN],
        ),
        (
            '<SimpleSetPredicate field="x" booleanOperator="isNotIn"><Array type="real">0 7</Array>'
            "</SimpleSetPredicate>",
            [1, NAN, NAN],
        ),
        (
            f'<CompoundPredicate booleanOperator="or">{_BELOW}'
            '<SimplePredicate field="c" operator="equal" value="blue"/></CompoundPredicate>',
            [1, 1, NAN],
        ),
        (
            f'<CompoundPredicate booleanOperator="and">{_BELOW}<False/></CompoundPredicate>',
            [NAN, NAN, NAN],
        ),
        (
            '<CompoundPredicate booleanOperator="surrogate"><SimplePredicate field="x" operator="lessThan"'
            ' value="0"/><True/></CompoundPredicate>',
            [1, NAN, 1],
        ),
        (
            '<CompoundPredicate booleanOperator="xor"><True/><SimplePredicate field="c" operator="equal"'
            ' value="red"/></CompoundPredicate>',
            [NAN, 1, NAN],
        ),
    ],
)
def test_predicates_know_three_answers(predicate: str, expected: list[float], tmp_path: Path) -> None:
    body = f"<Node><True/><Node score='1'>{predicate}</Node></Node>"
    _same(_answer(tree(body), tmp_path), expected)


def _ensemble(method: str, *, weights: tuple[str, str] = ("1", "1"), more: str = "") -> str:
    segments = "".join(
        f'<Segment weight="{weight}"><True/>{tree(STUMP.replace("1.5", score))}</Segment>'
        for weight, score in zip(weights, ("1.5", "4.5"), strict=True)
    )
    return (
        f'<MiningModel functionName="regression" {more}>{SCHEMA}'
        f'<Segmentation multipleModelMethod="{method}">{segments}</Segmentation></MiningModel>'
    )


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("sum", [6.0, 5.0, NAN]),
        ("average", [3.0, 2.5, NAN]),
        ("weightedAverage", [3.75, 2.5, NAN]),
        ("weightedSum", [15.0, 10.0, NAN]),
        ("max", [4.5, 2.5, NAN]),
        ("median", [3.0, 2.5, NAN]),
        ("selectFirst", [1.5, 2.5, NAN]),
    ],
)
def test_segments_are_put_together(method: str, expected: list[float], tmp_path: Path) -> None:
    _same(_answer(_ensemble(method, weights=("1", "3")), tmp_path), expected)


def test_a_sum_in_float32_is_rounded_after_each_tree(tmp_path: Path) -> None:
    model = _ensemble("sum", more='x-mathContext="float"').replace("4.5", "0.00000001").replace("1.5", "1")
    assert _answer(model, tmp_path)[0] == 1.0
    assert _answer(model.replace("x-mathContext", "x-other"), tmp_path)[0] == 1.00000001


def test_targets_scale_and_cast(tmp_path: Path) -> None:
    targets = (
        '<Targets><Target field="y" rescaleFactor="2" rescaleConstant="-0.75" castInteger="round"/></Targets>'
    )
    model = _ensemble("sum").replace("<Segmentation", targets + "<Segmentation", 1)
    _same(_answer(model, tmp_path), [11.0, 9.0, NAN])


def _logistic(method: str, tables: str, function: str = "classification") -> str:
    output = (
        '<Output><OutputField name="p" feature="probability" value="b"/>'
        '<OutputField name="top" feature="predictedValue" dataType="string"/>'
        '<OutputField name="log" feature="transformedValue" dataType="double"><Apply function="ln">'
        '<FieldRef field="p"/></Apply></OutputField></Output>'
    )
    return (
        f'<RegressionModel functionName="{function}" normalizationMethod="{method}">{SCHEMA}{output}{tables}'
        "</RegressionModel>"
    )


def test_a_logistic_regression_gives_shares_a_class_and_what_is_made_of_them(tmp_path: Path) -> None:
    tables = (
        '<RegressionTable intercept="0.5" targetCategory="b"><NumericPredictor name="x" coefficient="2"/>'
        '<CategoricalPredictor name="c" value="blue" coefficient="1"/></RegressionTable>'
        '<RegressionTable intercept="0" targetCategory="a"/>'
    )
    fields = FIELDS.replace('name="y" optype="continuous" dataType="double"', 'name="y" dataType="string"')
    outputs = ask(load, pmml(_logistic("logit", tables), fields=fields), ROWS, tmp_path)
    shares = 1 / (1 + np.exp(-np.array([-1.5, 1.5])))
    np.testing.assert_allclose(outputs["p"][:2], shares)
    np.testing.assert_allclose(outputs["log"][:2], np.log(shares))
    assert np.isnan(outputs["p"][2])
    assert outputs["top"].tolist()[:2] == outputs["y"].tolist()[:2] == ["a", "b"]


def test_a_softmax_of_three_adds_up_to_one(tmp_path: Path) -> None:
    tables = "".join(
        f'<RegressionTable intercept="{k}" targetCategory="{name}"/>' for k, name in enumerate("abc")
    )
    fields = FIELDS.replace('name="y" optype="continuous" dataType="double"', 'name="y" dataType="string"')
    outputs = ask(load, pmml(_logistic("softmax", tables), fields=fields), ROWS, tmp_path)
    np.testing.assert_allclose(outputs["p"], np.exp(1) / np.exp([0, 1, 2]).sum())
    assert set(outputs["top"].tolist()) == {"c"}


def test_votes_are_counted(tmp_path: Path) -> None:
    def one(label: str) -> str:
        body = f'<Node score="{label}"><True/></Node>'
        return f"<Segment><True/>{tree(body).replace('regression', 'classification')}</Segment>"

    model = (
        f'<MiningModel functionName="classification">{SCHEMA}'
        '<Segmentation multipleModelMethod="majorityVote">'
        f"{one('a')}{one('b')}{one('b')}</Segmentation></MiningModel>"
    )
    fields = FIELDS.replace('name="y" optype="continuous" dataType="double"', 'name="y" dataType="string"')
    outputs = ask(load, pmml(model, fields=fields), ROWS, tmp_path)
    assert outputs["y"].tolist() == ["b"] * 3
    np.testing.assert_allclose(outputs["probability(b)"], 2 / 3)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('<FieldRef field="x" mapMissingTo="5"/>', [-1, 0, 5]),
        (
            '<NormContinuous field="x"><LinearNorm orig="-1" norm="0"/><LinearNorm orig="1" norm="10"/>'
            "</NormContinuous>",
            [0, 5, NAN],
        ),
        ('<NormDiscrete field="c" value="blue"/>', [0, 1, NAN]),
        (
            '<Discretize field="x" dataType="double" mapMissingTo="7"><DiscretizeBin binValue="3">'
            '<Interval closure="closedOpen" rightMargin="0"/></DiscretizeBin><DiscretizeBin binValue="4">'
            '<Interval closure="closedClosed" leftMargin="0"/></DiscretizeBin></Discretize>',
            [3, 4, 7],
        ),
        (
            '<MapValues outputColumn="out" dataType="double" defaultValue="-1"><FieldColumnPair field="c"'
            ' column="in"/><InlineTable><row><in>red</in><out>8</out></row></InlineTable></MapValues>',
            [8, -1, NAN],
        ),
        ('<Apply function="+"><FieldRef field="x"/><Constant>2.5</Constant></Apply>', [1.5, 2.5, NAN]),
        (
            '<Apply function="if"><Apply function="isMissing"><FieldRef field="x"/></Apply>'
            '<Constant dataType="double">1</Constant><FieldRef field="x"/></Apply>',
            [-1, 0, 1],
        ),
        ('<Apply function="max"><FieldRef field="x"/><Constant>-0.5</Constant></Apply>', [-0.5, 0, -0.5]),
    ],
)
def test_expressions(expression: str, expected: list[float], tmp_path: Path) -> None:
    derived = (
        '<TransformationDictionary><DerivedField name="d" optype="continuous" dataType="double">'
        f"{expression}</DerivedField></TransformationDictionary>"
    )
    table = '<RegressionTable intercept="0"><NumericPredictor name="d" coefficient="1"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{SCHEMA}{table}</RegressionModel>'
    _same(_answer(model, tmp_path, transformations=derived), expected)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('<MiningField name="x" missingValueReplacement="-3"/>', [1.5, 2.5, 1.5]),
        ('<MiningField name="x" outliers="asExtremeValues" lowValue="0" highValue="1"/>', [2.5, 2.5, NAN]),
        ('<MiningField name="x" outliers="asMissingValues" lowValue="-0.5" highValue="1"/>', [NAN, 2.5, NAN]),
    ],
)
def test_a_mining_field_treats_its_values(field: str, expected: list[float], tmp_path: Path) -> None:
    schema = SCHEMA.replace('<MiningField name="x"/>', field)
    _same(_answer(tree(schema=schema), tmp_path), expected)


@pytest.mark.parametrize(
    ("treatment", "expected"), [("asIs", [1.5, 2.5, NAN]), ("asMissing", [NAN, 2.5, NAN])]
)
def test_an_invalid_value_is_treated_as_the_schema_says(
    treatment: str, expected: list[float], tmp_path: Path
) -> None:
    fields = FIELDS.replace(
        '<DataField name="x" optype="continuous" dataType="double"/>',
        '<DataField name="x" optype="continuous" dataType="double"><Interval closure="closedClosed"'
        ' leftMargin="0"/></DataField>',
    )
    schema = SCHEMA.replace('name="x"', f'name="x" invalidValueTreatment="{treatment}"')
    _same(_answer(tree(schema=schema), tmp_path, fields=fields), expected)
    with pytest.raises(Refused, match=r"row 0: '-1.0' is no valid value of the field 'x'"):
        _answer(tree(), tmp_path, fields=fields)


def test_a_float_is_compared_in_float32(tmp_path: Path) -> None:
    node = NODE.format(score="1", operator="lessThan", value="0.1")
    rows = {"x": np.array([0.1]), "c": np.array(["red"])}
    body = f"<Node score='0'><True/>{node}</Node>"
    last = 'noTrueChildStrategy="returnLastPrediction"'
    below = {**rows, "x": np.array([0.1 - 1e-12])}
    fields = FIELDS.replace('name="x" optype="continuous" dataType="double"', 'name="x" dataType="float"')
    assert _answer(tree(body, attributes=last), tmp_path, below) == [1.0]
    assert _answer(tree(body, attributes=last), tmp_path, below, fields=fields) == [0.0]


def test_the_answers_that_a_file_holds_change_nothing(tmp_path: Path) -> None:
    rows = {"x": np.array([-1.0, 2.0]), "c": np.array(["red", ""])}
    honest = ask(load, verified(), rows, tmp_path)
    assert honest["y"].tolist() == ask(load, verified("77"), rows, tmp_path)["y"].tolist() == [1.5, 2.5]


_REFUSED = {
    "a neural network": ('<NeuralNetwork functionName="regression"/>', "NeuralNetwork"),
    "no model": ("", "no model"),
    "aggregateNodes": (tree(attributes='missingValueStrategy="aggregateNodes"'), "aggregateNodes"),
    "another field": (tree(STUMP.replace('"x"', '"z"')), "no field 'z'"),
    "another operator": (tree(STUMP.replace("lessThan", "like")), "'like'"),
    "no number": (tree(STUMP.replace('value="0"', 'value="zero"')), "'zero' is not a number"),
    "another method": (_ensemble("x-stacking"), "x-stacking"),
    "no default child": (tree(attributes='missingValueStrategy="defaultChild"'), "names no defaultChild"),
    "a partial chain": (
        _ensemble("modelChain").replace("<True/><TreeModel", "<False/><TreeModel"),
        "not for every row",
    ),
    "a scorecard inside": (_ensemble("sum").replace("TreeModel", "Scorecard"), "Scorecard"),
}


@pytest.mark.parametrize(("model", "words"), _REFUSED.values(), ids=_REFUSED)
def test_what_is_not_evaluated_is_named(model: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=words):
        _answer(model, tmp_path)


def test_a_field_that_is_derived_from_itself_is_named(tmp_path: Path) -> None:
    derived = (
        "<TransformationDictionary>"
        '<DerivedField name="a" dataType="double"><FieldRef field="b"/></DerivedField>'
        '<DerivedField name="b" dataType="double"><FieldRef field="a"/></DerivedField>'
        "</TransformationDictionary>"
    )
    with pytest.raises(Refused, match="derived from itself"):
        _answer(tree(STUMP.replace('"x"', '"a"')), tmp_path, transformations=derived)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"x": np.array([1.0])}, "no field 'c'"),
        ({"x": np.array([1.0]), "c": np.array([1.5])}, "takes text"),
        ({"x": np.array(["one"]), "c": np.array(["red"])}, "'one' is not a number"),
        ({"x": np.ones((2, 2)), "c": np.array(["red"])}, "no vector"),
    ],
)
def test_inputs_that_a_field_cant_take_are_named(rows: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=words):
        _answer(tree(), tmp_path, rows)
