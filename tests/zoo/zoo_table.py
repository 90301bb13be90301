"""The table of docs/zoo.md, from the rows of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- zoo -->", "<!-- /zoo -->"
TITLES = {
    "torch": "PyTorch",
    "trees": "XGBoost and LightGBM",
    "sklearn": "scikit-learn",
    "onnx": "ONNX",
    "catboost": "CatBoost",
}


def outcome(row: dict[str, Any]) -> str:
    """In words: sealed with its verdict, or refused with the first line of the message."""
    if row["status"] == "sealed":
        return f"sealed, {row['verdict']}"
    return f"{row['status']}: {short(first_line(row['message']))}"


def first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def short(text: str, most: int = 160) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def distance(row: dict[str, Any]) -> str:
    """sULP and the part of the scale; nothing where nothing was measured."""
    if row["status"] != "sealed" or row.get("sulp") is None:
        return ""
    return f"{row['sulp']:.3g} sULP, {row.get('relative') or 0:.1e}"


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The tables, one an environment, with how many came to what before them."""
    count = Counter(row["verdict"] if row["status"] == "sealed" else row["status"] for row in rows)
    good = sum(row["ok"] for row in rows)
    told = ", ".join(f"{number} {name}" for name, number in count.most_common())
    text = [f"{len(rows)} models: {told}. {good} came to what they must."]
    for group, title in TITLES.items():
        mine = [row for row in rows if row["group"] == group]
        if not mine:
            continue
        text += ["", f"### {title}", "", "| model | what it is | came to | distance |", "|---|---|---|---:|"]
        for row in mine:
            mark = "" if row["ok"] else "**not as it must be:** "
            cells = [row["name"], row["about"], mark + outcome(row), distance(row)]
            text.append(
                "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"
            )
    return text


def write(page: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Put the tables between the markers of the page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(before + "\n".join([BEGIN, *lines(rows), END]) + after, encoding="utf-8")
