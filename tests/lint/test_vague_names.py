"""The lint of names: what it refuses, what it allows, and that its list of exceptions only shrinks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from vague_names import CHECKED, REPOSITORY, UNCLEAN, check, vague_names


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "told: int = 1",
        "for one in range(3): pass",
        "def f(said): pass",
        "def f(*others, **given): pass",
        "def made(): pass",
        "class Known: pass\nknown = Known()",
        "x.left = 2",
        "x._left = 2",
        "(a, (there, b)) = f()",
        "with f() as here: pass",
        "import json as what",
        "try: pass\nexcept OSError as seen: pass",
        "[kept for kept in f()]",
        "lambda held: held",
        "if (shown := f()): pass",
        "match f():\n    case [*asked]: pass",
        "match f():\n    case {'a': ours}: pass",
    ],
)
def test_a_binding_that_says_nothing_is_refused(source: str) -> None:
    assert list(vague_names(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "class Record:\n    kept: list[str]\n    own: bool = False",  # names in files on disk
        "found_wheels = 1",
        "print(record.kept, found)",  # used, not bound
        "f(own=True)",
        'value["told"] = 1',
    ],
)
def test_fields_uses_and_longer_names_are_allowed(source: str) -> None:
    assert list(vague_names(ast.parse(source))) == []


def test_problems_name_file_line_and_name(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/a.py").write_text("wheel = 1\nfound = 2\n")
    assert check(tmp_path, ["room"], []) == [
        "room/a.py:2: `found` says nothing: choose the noun that a reader needs"
    ]


def test_a_place_that_is_listed_may_wait_until_it_is_clean(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/a.py").write_text("found = 2\n")
    assert check(tmp_path, ["room"], ["room"]) == []
    (tmp_path / "room/a.py").write_text("wheel = 2\n")
    assert check(tmp_path, ["room"], ["room"]) == ["room has no vague name any more: take it off UNCLEAN"]


def test_every_listed_place_exists() -> None:
    assert [place for place in (*CHECKED, *UNCLEAN) if not (REPOSITORY / place).exists()] == []
