"""How fast the HTML report is in a real Chromium: opened, filtered, searched, sorted, a cell opened.

Run by bench.py with the tests' own venv, which holds what drives a browser. Prints JSON: seconds, by
number of cells and by step.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from support.example_report import large

from timeproof.regression.reports.html import render_html

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SIZES = {2_000: (250, 8), 20_000: (2_500, 8)}
# Up to where the next frame is painted: scripts, style, layout. The search waits 60 ms for the next key.
FRAME = "await new Promise((r) => requestAnimationFrame(() => setTimeout(r)));"
SORT = "const s = document.getElementById('sort'); s.value = 'worst'; s.dispatchEvent(new Event('change'));"
SEARCH = """
const s = document.getElementById("search"); s.value = "case_00123 onnx"; s.dispatchEvent(new Event("input"));
const rows = () => document.querySelectorAll(".body [role=row]").length;
while (rows() !== 1) await new Promise((r) => setTimeout(r, 1));
"""
STEPS = {
    "filter": "document.querySelector('.chip[data-verdict=\"6\"]').click();",
    "clear": "document.getElementById('reset').click();",
    "sort": SORT,
    "cell": "document.querySelector('.cell.fails').click();",
    "search": SEARCH,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found: dict[str, dict[str, list[float]]] = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=FLAGS
        )
        for cells, shape in SIZES.items():
            report = large(*shape)
            begun = time.perf_counter()
            path = Path(folder, f"{cells}.html")
            path.write_bytes(render_html(report))
            took: dict[str, list[float]] = {"write": [time.perf_counter() - begun], "open": []}
            for _ in range(rounds):
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                page.goto(path.as_uri())
                took["open"].append(
                    page.evaluate(f"async () => {{ {FRAME} return performance.now(); }}") / 1e3
                )
                for name, work in STEPS.items():
                    timed = f"const t = performance.now(); {work} {FRAME} return performance.now() - t;"
                    took.setdefault(name, []).append(page.evaluate(f"async () => {{ {timed} }}") / 1e3)
                page.close()
            found[str(cells)] = took
        browser.close()
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
