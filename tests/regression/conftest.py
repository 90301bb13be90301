"""A real Chromium, headless, for the pages; each test gets a page of its own that may load nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browsing import Opened
from support.example_report import example, hostile, large
from support.waiting import HANG_SECONDS

from timeproof.regression.reports.html import render_html

# Root needs the first; the rest keeps a browser in a test from calling home.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """`make test` sees to a browser, so its absence is a failure unless it is owned up to."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("TIMEPROOF_TESTS_WITHOUT_BROWSER") == "1":
            pytest.skip("TIMEPROOF_TESTS_WITHOUT_BROWSER=1, and there is no Chromium")
        pytest.fail("there is no Chromium: sh tests/system-packages.sh installs one")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=HANG_SECONDS * 1000)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Opened]]:
    """Open a file as a person does. In the end: no error in any page, and no request but for itself."""
    pages: list[Opened] = []
    contexts = []

    def open_(path: Path, hash: str = "", *, width: int = 1400, height: int = 900, **more: Any) -> Opened:
        context = chromium.new_context(viewport={"width": width, "height": height}, **more)
        context.set_default_timeout(HANG_SECONDS * 1000)
        contexts.append(context)
        page = context.new_page()
        opened = Opened(page)
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("requestfailed", lambda r: opened.failed.append(f"{r.url} {r.failure}"))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and opened.errors.append(message.text))
        page.goto(path.as_uri() + hash)
        pages.append(opened)
        return opened

    yield open_
    for opened in pages:
        assert opened.errors == []
        assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
        assert sum(url.startswith("file:") for url in opened.requests) == 1
    for context in contexts:
        context.close()


def _written(factory: pytest.TempPathFactory, name: str, page: bytes) -> Path:
    path = factory.mktemp("page") / f"{name}.html"
    path.write_bytes(page)
    return path


@pytest.fixture(scope="session")
def example_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(tmp_path_factory, "example", render_html(example()))


@pytest.fixture(scope="session")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(tmp_path_factory, "hostile", render_html(hostile()))


@pytest.fixture(scope="session")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(tmp_path_factory, "large", render_html(large(250, 8)))


@pytest.fixture(scope="session")
def huge_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(tmp_path_factory, "huge", render_html(large(2500, 8)))


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no lockfiles/ lie, and with a cache of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
