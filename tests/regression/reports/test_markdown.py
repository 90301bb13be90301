"""The Markdown summary, read by GitHub's own parser: what it says, and what it can't be made to do."""

from __future__ import annotations

import re
from html import unescape

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given
from hypothesis import strategies as st
from support.example_report import HOSTILE, example, hostile, large
from support.laws import examples

from timeproof.regression.report import Report
from timeproof.regression.reports.markdown import LIMIT, block, cellcode, code, render_markdown


def page(report: Report, limit: int = LIMIT) -> str:
    """As GitHub renders it, before it takes away what it allows nobody."""
    return html(render_markdown(report, limit).decode())


def html(text: str) -> str:
    return str(cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE))


def test_it_says_what_fails_and_how_to_reproduce_it() -> None:
    report = example()
    text = page(report)
    fails = [c for c in report.cells if c.fails]
    assert f"{len(fails)} cells fail" in text
    section = text.partition("What fails</h3>")[2].partition("<h3>")[0]
    assert section.count("<li>") == len(fails)
    first = re.search(r"<li><code>(.*?)</code>", section)
    assert first is not None
    assert f"timeproof regress logs/extensions/models --artifact {first[1]}" in section


def test_it_says_what_changed_and_what_did_not_break_any_more() -> None:
    text = page(example())
    section = text.partition("What changed</h3>")[2].partition("<h3>")[0]
    for words in (
        "worse: <code>grid-size-8/lightgbm/v2</code> in <code>lightgbm-2.2.3</code>: <strong>crashed</strong>"
        " (was identical)",
        "better: <code>grid-size-8/xgboost/v1</code>",
        "3 cells are not in the baseline",
    ):
        assert words in section
    assert "base_score was a list there" in text.partition("Declared to break, and did not</h3>")[2]


def test_without_a_baseline_nothing_changed() -> None:
    assert "What changed" not in page(example().model_copy(update={"baseline": None}))


def test_the_grid_has_a_table_a_framework_with_a_glyph_a_cell() -> None:
    report = example()
    tables = re.findall("<table>.*?</table>", page(report), re.DOTALL)
    assert len(tables) == 5
    glyphs = "".join(re.findall(r'<td align="center">(?:<strong>)?(.?)(?:</strong>)?</td>', "".join(tables)))
    assert len(glyphs) == len(report.cells)
    lightgbm = next(t for t in tables if "2.2.3" in t)
    assert re.findall("<th.*?<code>(.*?)</code>", lightgbm) == ["2.2.3", "3.3.5", "4.0.0", "4.7.0"]
    assert lightgbm.count("<strong>") == 7  # those that fail


def test_a_run_that_passed_says_so() -> None:
    report = example()
    fine = [c for c in report.cells if c.verdict == "identical"]
    text = page(report.model_copy(update={"cells": fine, "passed": True}))
    assert "passed" in text
    assert "0 cells fail" in text
    assert "What fails" not in text


def test_a_large_report_is_bounded_and_says_what_is_left_out() -> None:
    report = large(2500, 8)
    text = render_markdown(report).decode()
    assert len(text.encode()) < 100_000
    fails = sum(c.fails for c in report.cells)
    assert f"… and {fails - 50} more" in text
    assert re.search(r"2400 more artifacts, \d+ of them identical in every environment", text)


@pytest.mark.parametrize("limit", [200, 1000, 5000, 20_000])
def test_the_limit_holds_in_bytes(limit: int) -> None:
    text = render_markdown(hostile(), limit).decode()
    assert len(text.encode()) <= limit
    assert "Cut here" in text


def test_hostile_words_stay_words() -> None:
    text = page(hostile())
    ours = "code h2 h3 li p pre strong table tbody td th thead tr ul"
    assert {*re.findall("<([a-z0-9]+)", text)} <= {*ours.split()}
    assert "<a " not in text
    assert "<img" not in text
    outside = re.sub("<code>.*?</code>", "", text, flags=re.DOTALL)
    assert "@everyone" not in outside
    assert "192.0.2.1" not in outside
    assert page(example()).count("<table>") == text.count("<table>")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(HOSTILE))
@examples(300)
def test_any_text_in_a_span_is_code_and_nothing_else(text: str) -> None:
    found = html(f"- a {code(text)} b")
    assert re.fullmatch(r"<ul>\n<li>a (<code>[^<]*</code>|–) b</li>\n</ul>\n", found), found


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(HOSTILE))
@examples(300)
def test_any_text_in_a_table_fills_one_cell(text: str) -> None:
    found = html(f"| a | b |\n|---|---|\n| {cellcode(text)} | c |\n")
    assert re.search(
        r"<tr>\n<td>(<code>[^<]*</code>|–)</td>\n<td>c</td></tr>", found.replace("\n</tr>", "</tr>")
    ), found


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(HOSTILE))
@examples(200)
def test_any_text_in_a_block_stays_in_it(text: str) -> None:
    found = html("\n".join([*block(text), "", "after"]))
    assert re.fullmatch(r"<pre><code>[^<]*</code></pre>\n<p>after</p>\n", found), found
    assert "<" not in unescape(re.sub("</?(pre|code|p)>", "", found)) or "<" in text


def test_another_answer_is_told_before_a_refusal() -> None:
    text = page(example())
    section = text.partition("What fails</h3>")[2].partition("<h3>")[0]
    order = re.findall(r"<strong>([a-z ]+)</strong>", section)
    silent = [name for name in order if name in {"broken", "outliers", "drift"}]
    assert silent
    assert len(order) > len(silent)
    assert order[: len(silent)] == silent
    assert silent == sorted(silent, key=["broken", "outliers", "drift"].index)


def test_a_long_grid_is_counted_by_environment_and_the_counts_are_all_cells() -> None:
    assert "Each environment" not in page(example())
    report = large(150, 4)
    section = page(report).partition("Each environment</h3>")[2].partition("<h3>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)[1:]
    assert len(rows) == 4
    for row in rows:
        assert sum(int(n) for n in re.findall(r"<td[^>]*>(\d+)</td>", row)) == 150
