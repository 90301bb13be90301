"""The report in a terminal: the grid where it fits, what fails, and one line that sums up."""

from __future__ import annotations

import io

from rich.console import Console
from support.example_report import example, hostile, large

from timeproof.regression.reports.terminal import print_report, render_terminal


def test_it_says_what_fails_and_sums_up():
    report = example()
    text = render_terminal(report).decode()
    assert "\x1b" not in text
    for cell in [c for c in report.cells if c.fails][:5]:
        assert cell.artifact in text
    last = text.strip().splitlines()[-1]
    assert last.startswith(f"failed: {len(report.cells)} cells: ")
    assert f"{sum(c.fails for c in report.cells)} fail" in last


def test_a_grid_that_is_too_large_is_counted_by_environment():
    report = large(100, 4)
    text = render_terminal(report).decode()
    head, *lines = text.splitlines()
    assert head.split()[0] == "environment"
    assert [line.split()[0] for line in lines[: len(report.environments)]] == [
        e.title for e in report.environments
    ]


def test_words_of_a_report_are_no_markup():
    report = hostile()
    text = render_terminal(report).decode()
    assert "[ATTACHMENT|/etc/passwd]" in text


def test_a_terminal_has_colours():
    text = io.StringIO()
    print_report(Console(file=text, force_terminal=True, width=200, color_system="standard"), example())
    assert "\x1b[1;31m" in text.getvalue()
