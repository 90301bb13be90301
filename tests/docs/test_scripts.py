"""The scripts of docs/ and tests/ that `make` runs import names that are there; no other test runs them."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("docs", "tests/bench", "tests/corpus", "tests/zoo", "tests/golden")
OURS = {"timeproof", "timeproof_probe", "support"}
SCRIPTS = [
    path
    for folder in FOLDERS
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
    if not path.is_relative_to(REPOSITORY / "tests/golden/v1")
]


def imported_names(source: str) -> list[tuple[str, str]]:
    """What a script takes from our own packages: module and name."""
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return [
        (node.module, alias.name)
        for node in statements
        if node.module and node.module.partition(".")[0] in OURS
        for alias in node.names
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=[str(path.relative_to(REPOSITORY)) for path in SCRIPTS])
def test_every_name_that_a_script_imports_is_there(script: Path) -> None:
    absent = []
    for module, name in imported_names(script.read_text(encoding="utf-8")):
        try:
            if not hasattr(importlib.import_module(module), name):
                importlib.import_module(f"{module}.{name}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in OURS:
                pytest.skip(f"{module} needs {error.name}")
            absent.append(f"{module}.{name}")
    assert absent == []


def test_an_absent_name_would_be_seen() -> None:
    assert imported_names("def f():\n    from timeproof.cli.console import gone\n") == [
        ("timeproof.cli.console", "gone")
    ]
