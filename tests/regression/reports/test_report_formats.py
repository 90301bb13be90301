"""The formats of a report: one table, one protocol, and where each goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.example_report import example, hostile, large

from timeproof.errors import BadRequest
from timeproof.regression.report import Report
from timeproof.regression.reports.registry import BY_DEFAULT, FORMATS, Target, takes_stdout, targets_of

FOLDER = Path("out")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("make", [example, hostile, lambda: large(50, 4)])
def test_every_format_is_bytes_and_equal_reports_give_equal_ones(name, make):
    render = FORMATS[name].render
    page = render(make())
    assert type(page) is bytes
    assert page
    page.decode("utf-8")
    assert render(make()) == page


def test_the_json_form_is_the_report():
    report = example()
    assert Report.parse(FORMATS["json"].render(report), "r") == report


def test_a_format_has_its_file_unless_a_path_is_given():
    assert targets_of(["json", "html:a:b.html", "markdown:-", "terminal"], FOLDER) == [
        Target(FORMATS["json"], FOLDER / "report.json"),
        Target(FORMATS["html"], Path("a:b.html")),
        Target(FORMATS["markdown"], None),
        Target(FORMATS["terminal"], FOLDER / "report.txt"),
    ]
    assert [t.path for t in targets_of(BY_DEFAULT, FOLDER)] == [
        FOLDER / name for name in ("report.json", "report.html", "junit.xml", "summary.md")
    ]
    assert takes_stdout(targets_of(["json", "junit:-"], FOLDER))
    assert not takes_stdout(targets_of(BY_DEFAULT, FOLDER))


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["pdf"], "there is no report 'pdf'"),
        ([""], "there is no report ''"),
        (["html:"], "no path after the colon"),
        (["html", "html"], "another report goes there already"),
        (["html:x", "json:x"], "another report goes there already"),
        (["html:-", "json:-"], "another report goes there already"),
    ],
)
def test_what_can_not_be_written_is_refused_before_anything_runs(words, fault):
    with pytest.raises(BadRequest, match=fault):
        targets_of(words, FOLDER)
