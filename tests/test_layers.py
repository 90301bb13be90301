"""No module of the package imports itself by way of others, at import time, lazily or for typing alone."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest

# Circles that are still to be opened; each is the set of its modules.
KNOWN = {frozenset({"timeproof.frameworks.foreign_files", "timeproof.frameworks.sniffing"})}


def imports_of(package: str) -> dict[str, set[str]]:
    graph = grimp.build_graph(package, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def circles(imports: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the strongly connected components of more than one module (Tarjan's algorithm, no recursion)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    components: set[frozenset[str]] = set()
    for start in imports:
        pending = [(start, iter(sorted(imports[start])))] if start not in numbers else []
        if pending:
            numbers[start] = lowest[start] = len(numbers)
            path.append(start)
        while pending:
            module, targets = pending[-1]
            for target in targets:
                if target not in numbers:
                    numbers[target] = lowest[target] = len(numbers)
                    path.append(target)
                    pending.append((target, iter(sorted(imports[target]))))
                    break
                if target in path:
                    lowest[module] = min(lowest[module], numbers[target])
            else:
                pending.pop()
                if pending:
                    parent = pending[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[module])
                if lowest[module] == numbers[module]:
                    at = path.index(module)
                    if len(path) - at > 1:
                        components.add(frozenset(path[at:]))
                    del path[at:]
    return components


def test_circles_are_seen() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": set(), "f": {"a", "g"}, "g": {"f"}}
    assert circles(imports) == {frozenset("bc"), frozenset("fg")}


def test_lazy_and_typing_only_imports_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "going_round"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "typed.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from going_round.lazy import act\n"
    )
    (package / "lazy.py").write_text("def act():\n    import going_round.typed\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert circles(imports_of("going_round")) == {frozenset({"going_round.typed", "going_round.lazy"})}


def test_there_is_no_circle() -> None:
    assert circles(imports_of("timeproof")) == KNOWN
