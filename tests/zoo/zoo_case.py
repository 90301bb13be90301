"""What a model of the zoo is, and the list of all of them. Neither this nor any of them imports timeproof."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The modules with models, and the environment that each of them is sealed in.
MODULES = {
    "models_vision": "torch",
    "models_text": "torch",
    "models_transformers": "torch",
    "models_torch": "torch",
    "models_programs": "torch",
    "models_dtypes": "torch",
    "models_calls": "torch",
    "models_wrong": "torch",
    "models_xgboost": "trees",
    "models_lightgbm": "trees",
    "models_tables": "trees",
    "models_documents": "trees",
    "models_onnx": "onnx",
    "models_sklearn": "sklearn",
    "models_catboost": "catboost",
    "models_tensorflow": "tensorflow",
}


def of_this_venv() -> list[str]:
    """The modules whose frameworks are installed: TensorFlow has a venv of its own, and is alone in it."""
    alone = importlib.util.find_spec("tensorflow") is not None
    return [module for module, group in MODULES.items() if (group == "tensorflow") is alone]


@dataclass(frozen=True, slots=True)
class Made:
    """A live model, what it is asked, and how its user asks it.

    `answer` gives what the user has in hand after asking: a tensor, an array, or tuples and mappings of them.
    A mapping's keys are the names that the archive is expected to give the outputs, where it has such names.
    `options` go to `timeproof.archive`, those of the framework in its own record.
    """

    model: object
    inputs: object
    answer: Callable[[], Any]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One model, and what archiving it must come to.

    Sealed at most drift from the user's own answer, where `sealed`; refused with a message that holds one of
    `words`, where there are any (an empty one is in every message). Both: either of the two will do.
    """

    name: str
    group: str
    module: str
    about: str
    make: Callable[[], Made]
    sealed: bool
    words: tuple[str, ...]
    quick: bool

    @property
    def expected(self) -> str:
        """In words, as the table has it."""
        refused = "refused" if self.words == ("",) else f"refused: {' or '.join(self.words)}"
        if self.sealed:
            return f"sealed, or {refused}" if self.words else "sealed"
        return refused


CASES: dict[str, Case] = {}


def model(
    about: str, *, sealed: bool = True, refused: str | tuple[str, ...] = (), quick: bool = False
) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    """Add the decorated function's model to the zoo, under the function's name."""
    words = (refused,) if isinstance(refused, str) else refused

    def add(make: Callable[[], Made]) -> Callable[[], Made]:
        module, name = make.__module__, make.__name__
        assert name not in CASES, f"two models are named {name}"
        CASES[name] = Case(name, MODULES[module], module, about, make, sealed, words, quick)
        return make

    return add


def wrong(about: str, *words: str, quick: bool = False) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    """Add a model that must be refused, in a message with one of `words`."""
    return model(about, sealed=False, refused=words or ("",), quick=quick)


def cases_of(modules: Iterable[str] = MODULES) -> dict[str, Case]:
    """The models of `modules`, by name; their frameworks are imported with them."""
    for module in modules:
        importlib.import_module(module)
    return CASES
