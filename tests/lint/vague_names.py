"""Refuse names that say nothing: participles and pronouns that stand where a noun of the domain belongs.

    python tests/lint/vague_names.py

Looks at every variable, argument, attribute, function and class of the toolkit and of the tests' helpers. A
field that a class declares with its type may be called anything: many are names in files on disk.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

VAGUE = (
    *("found", "told", "known", "one", "said", "made", "left", "there", "here", "given", "asked"),
    *("kept", "held", "seen", "shown", "what", "own", "theirs", "others", "ours"),
)
REPOSITORY = Path(__file__).resolve().parents[2]
CHECKED = ("toolkit", "tests/support", "tests/lint", "tests/conftest.py")
# Where such names still stand. It only ever gets shorter: a place without one must not be listed.
UNCLEAN: tuple[str, ...] = ("toolkit/timeproof/frameworks",)


def vague_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give the line and the name of every vague binding."""
    fields = {id(target) for target in _declared_fields(tree)}
    for node in ast.walk(tree):
        for name in _bound_names(node):
            if name.strip("_") in VAGUE and id(node) not in fields:
                yield getattr(node, "lineno", 0), name


def _declared_fields(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (field.target for field in node.body if isinstance(field, ast.AnnAssign))


def _bound_names(node: ast.AST) -> Iterator[str]:
    """The names that this node itself binds."""
    match node:
        case (
            ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name)
        ):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case (
            ast.ExceptHandler(name=str(name))
            | ast.alias(asname=str(name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
        ):
            yield name


def check(root: Path, checked: Iterable[str] = CHECKED, unclean: Iterable[str] = UNCLEAN) -> list[str]:
    """Check the files below `root`.

    Args:
        checked: files and folders.
        unclean: files and folders where vague names are still allowed.

    Returns: what is wrong, a line each: vague names elsewhere, and unclean places that are clean by now.
    """
    problems = []
    waiting = dict.fromkeys(unclean, 0)
    for path in sorted(path for place in checked for path in _sources(root / place)):
        name = path.relative_to(root).as_posix()
        place = next((p for p in waiting if name == p or name.startswith(f"{p}/")), None)
        for line, vague in vague_names(ast.parse(path.read_bytes(), str(path))):
            if place is None:
                problems.append(f"{name}:{line}: `{vague}` says nothing: choose the noun that a reader needs")
            else:
                waiting[place] += 1
    problems += [
        f"{place} has no vague name any more: take it off UNCLEAN" for place, n in waiting.items() if not n
    ]
    return problems


def _sources(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))


if __name__ == "__main__":
    problems = check(REPOSITORY)
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(bool(problems))
