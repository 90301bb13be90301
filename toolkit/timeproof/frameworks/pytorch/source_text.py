"""What a module's source says of the modules and files that it needs, read from its syntax tree.

Nothing is imported and nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from timeproof.errors import NotArchivable


def imports(path: Path, name: str, package: bool) -> list[str]:
    """Name the modules that the file at `path` may import, submodules taken by `from` included."""
    tree = _parsed(path)
    modules: list[str] = []
    parent = name if package else name.rpartition(".")[0]
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = parent.split(".")[: len(parent.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            modules.append(base)
            modules += [f"{base}.{alias.name}" for alias in node.names if alias.name != "*"]
        elif isinstance(node, ast.Call) and _imports_by_name(node.func) and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                text = argument.value
                modules.append(parent + text if text.startswith(".") else text)
    return [item for item in modules if item]


def top_level_names(path: Path) -> dict[str, bool]:
    """Name what the module at `path` defines or imports, and say which of it are classes."""
    names: dict[str, bool] = {}
    for node in _parsed(path).body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = True
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0]: False for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id: False for target in node.targets if isinstance(target, ast.Name)}
    return names


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise NotArchivable(
            f"{path} can't be parsed: {error}", advice="mend the file, restart the process, and archive again"
        ) from None


def doubts(path: Path, name: str) -> list[str]:
    """Say where the file at `path`, called `name`, uses what can't be followed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    doubts = []
    for node in _nodes(tree):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call) and _imports_by_name(node.func) and node.args:
            if not isinstance(node.args[0], ast.Constant):
                doubts.append(
                    f"{where} imports a module by a name that is made at run time: it is archived only where"
                    " an import statement names it, too"
                )
        elif _reads_beside(node):
            doubts.append(f"{where} looks for files beside the source: data files are not archived")
    return list(dict.fromkeys(doubts))


def _imports_by_name(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def _reads_beside(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id == "__file__"
    if isinstance(node, ast.ImportFrom):
        return node.module == "importlib" and any(a.name == "resources" for a in node.names)
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    return called in {"pkgutil.get_data", "importlib.resources.files", "resources.files"}


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree, leaving out what never runs in the container: TYPE_CHECKING and __main__ blocks."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and _never(child.test):
            for other in child.orelse:
                yield other
                yield from _nodes(other)
            continue
        yield child
        yield from _nodes(child)


def _never(test: ast.expr) -> bool:
    text = ast.unparse(test)
    return text in {"TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'"}
