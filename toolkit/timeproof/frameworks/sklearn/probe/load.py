"""Run a scikit-learn model from its .skops file.

skops decides what it trusts by the file that it reads. Here the file's types are held first against the list
that was recorded from the live object, and against those that may be made at all.
"""

import contextlib
import importlib
import inspect
import os
import random
from typing import Any, Dict, Iterator, List, Optional, Tuple

from timeproof_probe.file_checks import Refused

from . import allowed, asking, frames, schema

MODULES = ("sklearn", "skops", "numpy", "scipy", "pandas", "xgboost", "lightgbm", "catboost")
_SHOWN = 5  # types in a message


def warm() -> None:
    importlib.import_module("sklearn.base")
    importlib.import_module("skops.io")


def load(path: str, types: List[str]) -> Any:
    """Load a model that makes no other types than the listed ones. Raises Refused."""
    try:
        contents = schema.read(path)
        kinds = schema.kinds_in(contents)
    except schema.BadSkops as error:
        raise Refused("{}: {}".format(os.path.basename(path), error))
    for name, why in allowed.refused(kinds):
        raise Refused("the file makes {}, and may not: {}".format(name, why))
    unlisted = sorted({allowed.name_of(kind) for kind in kinds} - set(types))
    if unlisted:
        raise Refused("the file makes types that its metadata does not list: {}".format(_some(unlisted)))
    skops: Any = importlib.import_module("skops.io")
    _check_protocol(contents)
    for kind in kinds:
        _check_resolved(*kind)
    untrusted = skops.get_untrusted_types(file=path)
    strange = sorted(set(untrusted) - set(types))
    if strange:
        raise Refused("skops would make types that the metadata does not list: {}".format(_some(strange)))
    return skops.load(path, trusted=untrusted)


def _check_protocol(contents: Dict[str, Any]) -> None:
    highest = importlib.import_module("skops.io._protocol").PROTOCOL
    if contents["protocol"] > highest:
        raise Refused(
            "the file has skops's protocol {} (it was written by skops {}); skops {} reads up to {}".format(
                contents["protocol"],
                str(contents.get("_skops_version"))[:40],
                getattr(importlib.import_module("skops"), "__version__", "here"),
                highest,
            )
        )


def _check_resolved(loader: str, module: str, name: str) -> None:
    """Refuse a name that is no class or function of its own package, such as a module that it imports."""
    if loader == "DTypeNode":
        return
    try:
        thing = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise Refused("the file makes {}.{}, which is not in this environment".format(module, name))
    if loader == "OperatorFuncNode":
        return
    origin = getattr(thing, "__module__", None) or module  # ufuncs have none
    home = str(origin).partition(".")[0]
    same_package = home in (module.partition(".")[0], allowed.LOSSES) or not _is_ours(module)
    if inspect.ismodule(thing) or not callable(thing) or not same_package:
        raise Refused("the file makes {}.{}, which is no type of that package".format(module, name))
    if loader not in ("FunctionNode", "TypeNode") and not inspect.isclass(thing):
        raise Refused("the file makes {}.{}, which is no class".format(module, name))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in allowed.PACKAGES


def _some(names: List[str]) -> str:
    more = ", and {} more".format(len(names) - _SHOWN) if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@contextlib.contextmanager
def limited(threads: Optional[int]) -> Iterator[None]:
    """Let OpenMP, BLAS and joblib have so many threads, whatever the model was told in training."""
    if threads is None:
        yield
        return
    joblib: Any = importlib.import_module("joblib")
    threadpoolctl: Any = importlib.import_module("threadpoolctl")
    with contextlib.ExitStack() as stack:
        stack.enter_context(threadpoolctl.threadpool_limits(limits=threads))
        if threads == 1:  # a forest adds up its trees in the order in which its threads end
            stack.enter_context(joblib.parallel_backend("sequential"))
        yield


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    types = options.get("types")
    if not isinstance(types, list):
        raise Refused("the metadata lists no types that the file may make")
    seed = options.get("seed", 0)  # sealing asks with two, to find a model that draws when it answers
    random.seed(seed)
    importlib.import_module("numpy").random.seed(seed)
    table = frames.assembled(inputs, options)
    estimator = load(os.path.join(directory, model), types)
    methods = options.get("methods") or asking.default_methods(estimator)
    for method in methods:
        if method not in asking.METHODS or not asking.has(estimator, method):
            raise Refused("the model, a {}, has no {!r}".format(type(estimator).__name__, method))
    if not methods:
        raise Refused("the model, a {}, has no predict and no transform".format(type(estimator).__name__))
    try:
        with limited(threads):
            return asking.ask(estimator, table, methods)
    except TypeError as error:
        raise Refused(str(error))
