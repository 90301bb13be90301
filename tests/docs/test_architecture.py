"""ARCHITECTURE.md and its neighbours name what is there: rooms, files, and each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TOOLKIT = REPOSITORY / "toolkit"
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "tests/README.md"]
)
MAP = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")


def rooms() -> set[str]:
    return {p.name for p in (TOOLKIT / "timeproof").iterdir() if (p / "__init__.py").is_file()}


def table_of_rooms() -> dict[str, list[str]]:
    """Each room of the table, and the files with which to begin."""
    rows = re.findall(r"^\| `([a-z_.]+?)/?` \|.*\|([^|]*)\|$", MAP, re.MULTILINE)
    return {room: re.findall(r"`([\w/]+\.py)`", files) for room, files in rows}


def test_every_room_stands_in_the_map_and_no_other() -> None:
    written = {room.removesuffix(".py") for room in table_of_rooms()}
    assert written == rooms() | {"api", "mlflow", "timeproof_probe"}


def test_the_layers_are_those_of_the_checked_contract() -> None:
    block = MAP.split("```\n cli", 1)[1].split("```", 1)[0]
    drawn = [set(re.findall(r"[a-z_]+", line)) for line in (" cli" + block).splitlines() if line.strip()]
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    contract = text.split('id = "layers"', 1)[1].split("]\n", 2)[1].split("layers = [", 1)[1]
    layers = [set(line.split(" | ")) for line in re.findall(r'"([^"]+)"', contract)]
    checked = [layer - {"__main__", "testing"} for layer in layers]
    assert [layer - {"timeproof_probe"} for layer in drawn] == [layer for layer in checked if layer]


@pytest.mark.parametrize("room", sorted(table_of_rooms()))
def test_the_files_to_begin_with_are_there(room: str) -> None:
    folder = TOOLKIT / room if room == "timeproof_probe" else TOOLKIT / "timeproof" / room
    absent = [name for name in table_of_rooms()[room] if not (folder / name).is_file()]
    assert absent == []


def test_the_modules_that_the_map_names_are_there() -> None:
    names = set(re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.py)`", MAP))
    places = (TOOLKIT / "timeproof", TOOLKIT / "timeproof_probe", TOOLKIT, REPOSITORY)
    assert names
    assert sorted(name for name in names if not any((p / name).is_file() for p in places)) == []


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(REPOSITORY)) for p in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text)
    broken = []
    for target in targets:
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"`", "", heading)).strip().lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}
