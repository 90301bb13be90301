"""The HTML report in a real browser: what a person sees, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from support.browsing import Opened
from support.example_report import example

from timeproof.regression.report import Report

Open = Callable[..., Opened]
DRIFTED = ("grid-size-8/onnx/v2", "onnxruntime-1.20.1")


def counts(report: Report) -> dict[str, int]:
    return dict(report.counts)


def test_every_cell_says_its_artifact_environment_and_verdict(open_page: Open, example_page: Path) -> None:
    report = example()
    one = open_page(example_page)
    titles = {s.name: s.title for s in report.environments}
    cells = one.page.locator(".cell:not(.na)")
    labels = cells.evaluate_all("all => all.map(c => c.getAttribute('aria-label'))")
    begins = [f"{c.artifact}, {titles[c.environment]}: " for c in report.cells]
    assert len(labels) == len(report.cells) == len(set(begins))
    assert all(any(label.startswith(begin) for label in labels) for begin in begins)
    assert "fails" in one.cell(*DRIFTED).get_attribute("aria-label")
    assert "worse than the baseline, rounding" in one.cell(*DRIFTED).get_attribute("aria-label")
    assert one.page.locator(".cell.na").first.get_attribute("aria-label").endswith(": not applicable")
    # By a glyph, too, and not by colour alone.
    assert set(cells.evaluate_all("all => all.map(c => c.innerText.trim()[0])")) == set("=≈~∴≠RXTMLNA?")


def test_columns_stand_by_framework_and_by_date(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    assert one.page.locator(".group").all_inner_texts() == [
        "PyTorch",
        "XGBoost",
        "LightGBM",
        "ONNX Runtime",
        "Several",
    ]
    shown = [text.split()[0] for text in one.page.locator(".column").all_inner_texts()]
    assert shown[1:9] == ["1.7.6", "2.1.4", "3.0.5", "3.2.0", "2.2.3", "3.3.5", "4.0.0", "4.7.0"]


def test_a_click_opens_a_cell_and_escape_gives_the_focus_back(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    one.cell(*DRIFTED).click()
    panel = one.page.locator("#panel")
    text = panel.inner_text()
    for words in (
        "drift",
        "This cell fails.",
        "Worse than the baseline, where it was rounding.",
        "--artifact grid-size-8/onnx/v2",
        "--env onnxruntime-1.20.1-0123456789ab",
        "1.16.3",  # what it was made with, and what is here
        "1.20.1",
        "rounding ends",
        "sULP",
    ):
        assert words in text
    assert one.focused() == "panel-title"
    one.page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert one.focused().startswith("grid-size-8/onnx/v2, onnxruntime-1.20.1: drift")


def test_the_keyboard_alone_reaches_and_opens_any_cell(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    keys = one.page.keyboard
    first = one.page.locator('.cell[tabindex="0"]')
    assert first.count() == 1  # one stop in the tab order, whatever the size
    first.focus()
    assert one.focused().startswith("grid-size-8/pytorch/v1, torch-2.13.0: identical")
    keys.press("End")
    assert one.focused().startswith("grid-size-8/pytorch/v1, digits")
    keys.press("Control+End")
    assert one.focused().startswith("grid-size-8/onnx/v3, digits: outliers")
    keys.press("ArrowRight")  # no further
    assert one.focused().startswith("grid-size-8/onnx/v3, digits")
    keys.press("ArrowUp")
    keys.press("ArrowLeft")
    assert one.focused().startswith("grid-size-8/onnx/v2, onnxruntime-1.32.0: rounding")
    keys.press("Enter")
    assert one.page.locator("#panel-title").inner_text().startswith("grid-size-8/onnx/v2")
    assert one.focused() == "panel-title"
    keys.press("Tab")
    keys.press("Escape")
    assert one.focused().startswith("grid-size-8/onnx/v2, onnxruntime-1.32.0")
    keys.press("Control+Home")
    assert one.focused().startswith("grid-size-8/pytorch/v1, torch-2.13.0")
    keys.press("ArrowRight")  # not applicable: nothing to open
    keys.press("Enter")
    assert not one.page.locator("#panel").is_visible()
    keys.press("/")
    assert one.focused() == "search"


def test_the_next_finding_is_one_that_is_not_identical(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    one.cell("grid-size-8/pytorch/v1", "torch-2.13.0").click()
    seen = []
    for _ in range(3):
        one.page.get_by_role("button", name="Next finding").click()
        seen.append(one.page.locator("#panel .verdict").inner_text().split()[-1])
    assert seen == ["rounding", "broken", "broken"]
    one.page.get_by_role("button", name="Previous finding").press("Enter")
    assert one.page.locator("#panel-title").inner_text().startswith("grid-size-8/xgboost/v1")


def test_verdicts_filter(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    one.page.get_by_role("button", name="refused").click()
    assert one.page.locator("#shown").inner_text() == "4 cells of 4 models"
    assert one.page.locator(".cell:not(.na):not(.dim)").count() == counts(example())["refused"] == 4
    one.page.get_by_role("button", name="crashed").click()
    assert one.page.locator("#shown").inner_text() == "5 cells of 5 models"
    one.page.get_by_role("button", name="Clear filters").first.click()
    assert one.page.locator(".body [role=row]").count() == 13
    assert one.page.locator(".dim").count() == 0


def test_a_framework_leaves_its_own_columns(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    one.page.get_by_role("button", name="LightGBM").click()
    assert one.page.locator(".body [role=row]").count() == 4
    assert one.page.locator(".column").count() == 5
    assert one.page.locator(".cell.na").count() == 0


def test_only_what_changed_or_fails_can_be_shown(open_page: Open, example_page: Path) -> None:
    report = example()
    one = open_page(example_page)
    one.page.locator("#changed").check()
    changed = sum(c.change != "same" for c in report.cells)
    assert one.page.locator(".cell:not(.na):not(.dim)").count() == changed == 6
    one.page.locator("#failing").check()
    both = sum(c.change != "same" and c.fails for c in report.cells)
    assert one.page.locator(".cell:not(.na):not(.dim)").count() == both == 3


@pytest.mark.parametrize(
    ("words", "rows", "cells"),
    [
        ("xgboost/v2", 1, 5),  # a reference
        ("atpe_model", 1, 5),  # a tag
        ("killed three", 1, 1),  # a reason
        ("crashed", 1, 1),  # a verdict
        ("lightgbm 3.3.5", 4, 12),  # an environment: its column; what a model was made with: its row
        ("LIGHTGBM signal 11", 1, 1),  # all of the words, wherever
        ("nowhere", 0, 0),
    ],
)
def test_search_looks_at_models_environments_and_reasons(
    open_page: Open, example_page: Path, words: str, rows: int, cells: int
) -> None:
    one = open_page(example_page)
    one.page.locator("#search").fill(words)
    expect(one.page.locator("#shown")).to_have_text(re.compile(rf"^{cells} cells? of {rows} models?$"))
    assert one.page.locator("#nothing").is_visible() == (rows == 0)
    if rows:
        assert one.page.locator(".body [role=row]").count() == rows
        assert one.page.locator(".cell:not(.na):not(.dim)").count() == cells


def test_rows_can_be_sorted(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)

    def first_rows() -> list[str]:
        in_order = "rows => rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map(r => r.innerText)"
        texts = one.page.locator(".body [role=row]").evaluate_all(in_order)
        return [text.replace("\n", "") for text in texts[:2]]

    one.page.locator("#sort").select_option("worst")
    assert first_rows()[0].startswith("grid-size-16/lightgbm/v1")  # lost
    one.page.locator("#sort").select_option("name")
    assert first_rows()[0].startswith("grid-size-8/lightgbm/v1")  # 8 before 16
    one.page.locator("#sort").select_option("changed")
    assert first_rows()[0].startswith("grid-size-8/lightgbm/v2")


def test_a_cell_has_an_address(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    one.cell(*DRIFTED).click()
    address = one.page.evaluate("location.hash")
    again = open_page(example_page, address)
    assert again.page.locator("#panel-title").inner_text().startswith(DRIFTED[0])
    odd = open_page(example_page, "#%E0%A4%A@<img src=x>")
    assert not odd.page.locator("#panel").is_visible()


def test_the_distribution_is_told_in_words_too(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    one.cell(*DRIFTED).click()
    plot = one.page.locator(".plot").first
    found = next(c.difference for c in example().cells if c.artifact == DRIFTED[0] and c.verdict == "drift")
    told = found["outputs"]["predict_proba"]["histogram"]  # type: ignore[index,call-overload]
    assert plot.get_attribute("role") == "img"
    assert f"Distribution of {sum(told)} differences." in plot.get_attribute("aria-label")
    assert plot.locator("rect").count() == sum(n > 0 for n in told)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 420)])
def test_nothing_hinders_those_who_see_little_or_nothing(
    open_page: Open, example_page: Path, scheme: str, width: int
) -> None:
    """axe-core's rules: contrast, names, roles, structure. With a cell open, and without."""
    from axe_playwright_python.sync_playwright import Axe

    one = open_page(example_page, width=width, color_scheme=scheme, bypass_csp=True)
    assert (
        one.page.evaluate("getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(247, 247, 245)",
            "dark": "rgb(19, 22, 25)",
        }[scheme]
    )
    for details in one.page.locator(".more details").all():
        details.evaluate("d => { d.open = true; }")
    for verdict in (None, "drift", "crashed"):
        if verdict:
            one.page.locator(f'.cell[aria-label*=": {verdict}"]').first.click()
        found = Axe().run(one.page)
        assert found.violations_count == 0, found.generate_report()
        one.page.keyboard.press("Escape")


def test_a_narrow_window_scrolls_the_grid_and_not_the_page(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page, width=390, height=800)
    assert one.page.evaluate("document.documentElement.scrollWidth") == 390
    assert one.page.locator("#grid").evaluate("g => g.scrollWidth > g.clientWidth")


def test_hostile_words_stay_words(open_page: Open, hostile_page: Path) -> None:
    one = open_page(hostile_page)
    title = one.page.title()
    assert title.startswith("Failed: 13 models")
    cells = one.page.locator(".cell:not(.na)")
    assert cells.count() == len(example().cells)
    for k in range(0, cells.count(), 5):
        cells.nth(k).click()
        for output in one.page.locator("#panel details").all():
            output.evaluate("d => { d.open = true; }")
        one.page.wait_for_timeout(20)
    text = one.page.locator("#panel").inner_text()
    assert "</script><script>document.title='owned'</script>" in text
    assert "\\u202egnp.exe" in text
    assert one.page.title() == title
    assert one.page.locator("img, iframe, object, a[href^=javascript]").count() == 0
    # Only what we put there: no attribute came in with the words.
    assert (
        one.page.evaluate("[...document.querySelectorAll('*')].some(e => e.onerror || e.onmouseover)")
        is False
    )
    quoted = one.page.locator("#command").inner_text()
    assert quoted.startswith("timeproof regress '</script>")


def test_the_policy_stops_what_would_get_through(open_page: Open, example_page: Path) -> None:
    one = open_page(example_page)
    blocked = one.page.evaluate(
        """async () => {
            const seen = [];
            document.addEventListener("securitypolicyviolation", (e) => seen.push(e.effectiveDirective));
            const script = document.createElement("script");
            try { script.text = "document.title = 'owned'"; } catch { seen.push("trusted-types"); }
            const image = new Image(); image.src = "http://192.0.2.1/x.png"; document.body.append(image);
            await fetch("http://192.0.2.1/").catch(() => 0);
            await new Promise((r) => setTimeout(r, 100));
            return seen;
        }"""
    )
    assert {"trusted-types", "img-src", "connect-src"} <= set(blocked)
    assert one.page.title().startswith("Failed")
    assert one.failed == ["http://192.0.2.1/x.png csp"]  # stopped before it left
    one.errors.clear()  # the browser tells of each on its console
    one.requests.remove("http://192.0.2.1/x.png")


@pytest.mark.slow
def test_two_thousand_cells_stay_responsive(open_page: Open, large_page: Path) -> None:
    _stays_responsive(open_page(large_page), rows=250)


@pytest.mark.slow
def test_twenty_thousand_cells_do_not_break_it(open_page: Open, huge_page: Path) -> None:
    _stays_responsive(open_page(huge_page), rows=2500)


def _stays_responsive(one: Opened, rows: int) -> None:
    """Only what is in sight exists; and nothing hangs. What it takes is measured by `make bench`."""
    page: Any = one.page
    page.set_default_timeout(20_000)
    assert int(page.locator("#grid").get_attribute("aria-rowcount")) == rows + 2
    assert page.locator(".body [role=row]").count() < 60
    page.locator('.cell[tabindex="0"]').focus()
    page.keyboard.press("Control+End")
    assert one.focused().startswith(f"grid-size-1/onnx/v{rows}, onnxruntime-1.7.0")
    assert page.locator(".body [role=row]").count() < 60
    page.keyboard.press("Enter")
    assert page.locator("#panel-title").inner_text().startswith(f"grid-size-1/onnx/v{rows}")
    page.keyboard.press("Escape")
    assert one.focused().startswith(f"grid-size-1/onnx/v{rows}, onnxruntime-1.7.0")
    page.locator("#search").fill("test_case_00123")
    expect(page.locator(".body [role=row]")).to_have_count(1)
    assert (
        page.locator(".body [role=rowheader]")
        .inner_text()
        .replace("\n", "")
        .startswith("grid-size-1/onnx/v124")
    )


def test_paper_gets_every_row(open_page: Open, large_page: Path, tmp_path: Path) -> None:
    one = open_page(large_page)
    one.page.pdf(path=tmp_path / "report.pdf", format="A4", landscape=True)
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") + data.count(b"/Type/Page/") >= 5
    assert one.page.locator(".body [role=row]").count() < 60  # and the screen its few again
