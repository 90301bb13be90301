"""Which test files need a machine-learning framework: read from their imports, before anything is imported.

So `make unit` runs where no framework is installed, and pays for none where all are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from support.paths import TESTS

# What models are made with, and what comes along only with them.
FRAMEWORKS = frozenset(
    {
        *("torch", "xgboost", "lightgbm", "onnx", "onnxruntime", "onnxscript", "onnxmltools", "skl2onnx"),
        *("sklearn", "scipy", "pandas", "polars", "pyarrow", "ml_dtypes"),
    }
)


@cache
def needs_framework(path: Path) -> bool:
    """Whether importing this file imports a framework, directly or through a helper of the tests."""
    names = set(_imports(ast.parse(path.read_bytes())))
    if any(name.partition(".")[0] in FRAMEWORKS for name in names):
        return True
    # `from support.x import y` gives support.x and support.x.y: of the two, the file is what counts.
    return any(
        needs_framework(helper)
        for name in names
        for helper in ((TESTS / name.replace(".", "/")).with_suffix(".py"), path.with_name(f"{name}.py"))
        if helper != path and helper.is_file()
    )


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
