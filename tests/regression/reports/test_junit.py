"""junit.xml: what GitHub's, GitLab's and Jenkins's readers make of it, whatever words a report holds."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as XML

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from support.example_report import example, hostile
from support.laws import examples

from timeproof.compare.verdict import Verdict
from timeproof.regression.report import Report
from timeproof.regression.reports.junit import fit, render_junit

# Written after what Jenkins's junit-10 schema allows; GitLab and GitHub's actions read a part of it.
SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))


def read(report: Report) -> XML.Element:
    data = render_junit(report)
    SCHEMA.validate(data.decode())
    return XML.fromstring(data)


def test_every_cell_is_a_test_case_of_its_environment() -> None:
    report = example()
    root = read(report)
    cases = {(c.get("name"), c.get("classname")) for c in root.iter("testcase")}
    titles = {s.name: s.title for s in report.environments}
    assert cases == {(c.artifact, titles[c.environment]) for c in report.cells}
    assert [s.get("name") for s in root] == [s.title for s in report.environments]
    for suite in root:
        assert {c.get("classname") for c in suite.iter("testcase")} == {suite.get("name")}


def test_failing_cells_are_failures_and_declared_breakages_are_skipped() -> None:
    report = example()
    root = read(report)
    names = {s.title: s.name for s in report.environments}
    for case in root.iter("testcase"):
        cell = report.grid[case.get("name") or "", names[case.get("classname") or ""]]
        failure, skipped = case.find("failure"), case.find("skipped")
        assert (failure is not None) == cell.fails
        assert (skipped is not None) == (cell.expected is not None)
        if failure is not None:
            assert failure.get("type") == str(cell.verdict)
            assert failure.get("message") == f"{cell.verdict}: {cell.reason.splitlines()[0]}"
            # GitLab shows the element's text alone.
            assert cell.reason in (failure.text or "")
            assert f"--artifact {cell.artifact} --env {cell.environment}" in (failure.text or "")
        if skipped is not None:
            assert cell.expected is not None
            assert cell.expected in (skipped.text or "")


def test_the_totals_are_those_of_the_cases() -> None:
    root = read(example())
    for scope in (root, *root):
        assert int(scope.get("tests") or 0) == len(list(scope.iter("testcase")))
        assert int(scope.get("failures") or 0) == len(list(scope.iter("failure")))
    assert sum(int(s.get("skipped") or 0) for s in root) == len(list(root.iter("skipped"))) == 3


def test_what_is_known_of_an_environment_are_its_properties() -> None:
    suite = next(s for s in read(example()) if s.get("name") == "lightgbm-4.0.0")
    known = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert known["framework.lightgbm"] == "4.0.0"
    assert known["dated"] == "2023-07-14"


def test_two_environments_of_one_title_are_told_apart_by_their_names() -> None:
    report = example()
    first, second, *rest = report.environments
    both = [first, second.model_copy(update={"title": first.title}), *rest]
    root = read(report.model_copy(update={"environments": both}))
    assert [s.get("name") for s in root][:2] == [first.name, second.name]


def test_a_cell_without_a_reason_is_told_all_the_same() -> None:
    report = example()
    bare = report.cells[0].model_copy(update={"reason": "", "verdict": Verdict.lost, "fails": True})
    root = read(report.model_copy(update={"cells": [bare]}))
    (failure,) = root.iter("failure")
    assert failure.get("message") == "lost: "


def test_a_report_without_cells_is_valid() -> None:
    assert len(read(example().model_copy(update={"cells": []}))) == 0


def test_hostile_words_stay_words() -> None:
    report = hostile()
    root = read(report)
    assert len(list(root.iter("testcase"))) == len(report.cells)
    assert {e.tag for e in root.iter()} == {e.tag for e in read(example()).iter()}
    text = "".join(root.itertext())
    assert "[[ATTACHMENT" not in text  # readers fetch the file that this names
    assert "</script><script>" in text
    assert "\\x00\\x1b[31mcontrol\\x85" in text


@given(st.text(st.characters(), max_size=60))
@examples(300)
def test_any_text_survives_a_reader(text: str) -> None:
    element = XML.Element("e", {"a": fit(text)})
    element.text = fit(text)
    found = XML.fromstring(XML.tostring(element, encoding="utf-8"))
    assert found.text in {fit(text), None if text == "" else fit(text).replace("\r", "\n")}
    assert fit(fit(text)) == fit(text)


@pytest.mark.parametrize("length", [10, 20_000, 5_000_000])
def test_long_words_are_cut(length: int) -> None:
    assert len(fit("x" * length)) <= 20_002
