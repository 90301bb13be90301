"""Which tier a file of tests is in by what it imports: read from its source, before anything is imported.

So `make unit` runs where no framework is installed, and pays for none where all are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from support.paths import TESTS

# Marker, and the modules whose import makes a file need it.
BY_MODULE = {
    "framework": frozenset(
        {
            *("torch", "xgboost", "lightgbm", "onnx", "onnxruntime", "onnxscript", "onnxmltools", "skl2onnx"),
            *("sklearn", "skops", "scipy", "pandas", "polars", "pyarrow", "ml_dtypes"),
            *("tensorflow", "keras", "tf2onnx"),
        }
    ),
    "browser": frozenset({"playwright", "axe_playwright_python"}),
}
# Marker, and the fixtures that need it.
BY_FIXTURE = {"chromium": "browser", "server": "server"}


@cache
def tiers_of(path: Path) -> frozenset[str]:
    """Give the markers that follow from what this file imports, directly or through the tests' helpers."""
    names = set(_imports(ast.parse(path.read_bytes())))
    packages = {name.partition(".")[0] for name in names}
    tiers = {tier for tier, modules in BY_MODULE.items() if packages & modules}
    # `from support.x import y` gives support.x and support.x.y: of the two, the file is what counts.
    for name in names:
        for helper in ((TESTS / name.replace(".", "/")).with_suffix(".py"), path.with_name(f"{name}.py")):
            if helper != path and helper.is_file():
                tiers |= tiers_of(helper)
    return frozenset(tiers)


def _imports(tree: ast.Module) -> Iterator[str]:
    """The modules that the top level of a file imports, `pytest.importorskip` included."""
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            yield statement.module
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.Expr | ast.Assign) and isinstance(statement.value, ast.Call):
            call = statement.value
            if isinstance(call.func, ast.Attribute) and call.func.attr == "importorskip":
                yield from (str(word.value) for word in call.args[:1] if isinstance(word, ast.Constant))
