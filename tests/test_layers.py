"""No module of the package imports itself by way of others, at import time, lazily or for typing alone."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest


def imports_of(package: str) -> dict[str, set[str]]:
    graph = grimp.build_graph(package, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def first_circle(imports: dict[str, set[str]]) -> list[str] | None:
    """Name the modules of one circle, in the order of their imports, the first again at the end."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return None


def test_circles_are_seen() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": set(), "f": {"a", "g"}, "g": {"f"}}
    circle = first_circle(imports)
    assert circle is not None
    assert set(circle) in ({"b", "c"}, {"f", "g"})
    assert first_circle({**imports, "c": {"d"}, "g": set()}) is None


def test_lazy_and_typing_only_imports_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "going_round"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "typed.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from going_round.lazy import act\n"
    )
    (package / "lazy.py").write_text("def act():\n    import going_round.typed\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(first_circle(imports_of("going_round")) or ()) == {"going_round.typed", "going_round.lazy"}


@pytest.mark.parametrize("package", ["timeproof", "timeproof_probe"])
def test_there_is_no_circle(package: str) -> None:
    assert first_circle(imports_of(package)) is None
