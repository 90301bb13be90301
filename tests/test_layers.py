"""No module of the package imports itself by way of others, at import time, lazily or for typing alone."""

from __future__ import annotations

import grimp

# Circles that are still to be opened; each is the set of its modules.
KNOWN = {frozenset({"timeproof.frameworks.foreign_files", "timeproof.frameworks.sniffing"})}


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


def test_lazy_and_typing_only_imports_are_counted() -> None:
    graph = grimp.build_graph("timeproof", cache_dir=None)
    assert "timeproof.environments.fetch" in graph.find_modules_directly_imported_by("timeproof.images.build")
    # A class that is needed for an annotation alone, and a function imported where it is called.
    assert "timeproof.sealing.flow" in graph.find_modules_directly_imported_by("timeproof.api")
    assert "timeproof.replaying.flow" in graph.find_modules_directly_imported_by("timeproof.api")


def test_there_is_no_circle() -> None:
    graph = grimp.build_graph("timeproof", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert circles(imports) == KNOWN
