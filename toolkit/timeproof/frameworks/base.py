"""What every adapter takes and gives. No framework is imported here, and no file is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from timeproof.base.limits import LIMITS
from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable, TimeproofError
from timeproof.frameworks.options import FrameworkOptions
from timeproof.store.schema.v1 import ProfileRecord

Array = npt.NDArray[Any]
Role = Literal["model", "interchange", "source", "external", "optional"]

# What is kept only on request, as the metadata's `kept` spells it.
INEXACT = "inexact"  # an interchange copy further than rounding from the native answer
RANDOM = "random"  # a model that draws random numbers
SATURATING = "saturating"  # int8 weights that a CPU without VNNI adds up otherwise
DIFFERENT = "different"  # a model whose container answers otherwise than the user's own process


@dataclass(frozen=True, slots=True)
class SavedFile:
    """One file that belongs to the artifact. `path` is relative to the artifact's folder, POSIX."""

    path: str
    role: Role
    format: str


@dataclass(frozen=True, slots=True)
class Copy:
    """An interchange copy, which the probe runs on the same inputs. `facts`: what the file says of itself.

    `given`: the user handed it in; ours are left out where nothing in the environment runs them.
    `partial`: of the model's outputs it gives only some.
    """

    name: str
    framework: str
    model: str
    options: Mapping[str, Json] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)
    given: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Saved:
    """What an adapter has written, and what the probe must be told to run it.

    `options` go to the probe as they are; `init_args` are the class's arguments or the
    hyper-parameters, JSON values both. `notes` are sentences that the user should see; `kept` names what
    was kept only because it was asked for.
    """

    framework: str
    framework_version: str | None
    files: tuple[SavedFile, ...]
    model: str
    class_module: str | None
    class_name: str | None
    init_args: Mapping[str, Json]
    options: Mapping[str, Json]
    copies: tuple[Copy, ...]
    source_files: tuple[str, ...]
    notes: tuple[str, ...]
    input_names: tuple[str, ...]
    kept: tuple[str, ...] = ()
    # Output → whether the values along its last axis are class scores, so that an argmax means a class.
    # An output that is not named here is judged by its shape.
    scores: Mapping[str, bool] = field(default_factory=dict)
    # Why every conversion of the model is wrong, within a sentence; empty where nothing says so.
    misconverted: str = ""
    # What inputs and outputs mean: `features` (name, type, categories), `classes`, `columns` by output.
    signature: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """How to save.

    Args:
        framework: what the user says of the model, in the framework's own record.
        timestamp: UTC, RFC 3339.
        keep_saturating: keep, and mark, what a CPU without VNNI adds up otherwise.
    """

    framework: FrameworkOptions = field(default_factory=FrameworkOptions)
    timestamp: str = ""
    keep_saturating: bool = False


class NoRuntime(NotArchivable):
    """This process lacks what runs the model, so that it has no answer of its own."""


class AdapterDefaults:
    """What an adapter inherits: no copies, no demands on a profile, no reasons for another answer."""

    name: str
    exports = ""

    def load_file(self, path: Path) -> Any:
        return path

    def wants_export(self, options: SaveOptions) -> bool:  # noqa: ARG002 - every adapter is called alike
        return bool(self.exports)

    def check_profile(self, saved: Saved, profile: ProfileRecord, *, keep: bool) -> Saved:  # noqa: ARG002
        return saved

    def add_copy(
        self,
        copy: Any,  # noqa: ARG002 - every adapter is called alike
        inputs: Mapping[str, Array],  # noqa: ARG002
        folder: Path,  # noqa: ARG002
        tag: str,  # noqa: ARG002
        options: SaveOptions,  # noqa: ARG002
        saved: Saved,
    ) -> Saved:
        raise BadRequest(
            f"a {saved.framework} model can't have a copy called {self.name!r}",
            advice="copies are given as onnx=PATH, pmml=PATH or pfa=PATH, for models of other frameworks",
        )

    def differences(self, model: Any, saved: Saved) -> list[str]:  # noqa: ARG002 - every adapter is called alike
        return []

    def interchange(
        self,
        model: Any,  # noqa: ARG002 - every adapter is called alike
        inputs: Mapping[str, Array],  # noqa: ARG002
        folder: Path,  # noqa: ARG002
        tag: str,  # noqa: ARG002
        options: SaveOptions,  # noqa: ARG002
        saved: Saved,
    ) -> Saved:
        return saved


class Adapter(Protocol):
    """How one framework's models become files that last. `name` is that of its `FrameworkSpec`."""

    name: str
    exports: str  # the framework of the copies that `interchange` makes; empty for none

    def recognises(self, model: object) -> bool:
        """Say whether `model` is one of this framework's, by its type's modules: nothing is imported."""

    def input_name(self, model: object) -> str | None:
        """Name the one input where the model itself does; None leaves the default."""

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write the model's files into `folder`, named by `tag` (`pt_v1`). Raises NotArchivable."""

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the live model; outputs are named and ordered as the probe's.

        Raises NoRuntime where this process lacks the runtime (ONNX without onnxruntime), and NotArchivable
        where the model does not answer.
        """

    def differences(self, model: Any, saved: Saved) -> list[str]:
        """Name what may make the live model answer otherwise than the archived one, the likeliest first.

        Called only where the two answers differ.
        """

    def interchange(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: SaveOptions,
        saved: Saved,
    ) -> Saved:
        """Write a copy in another format beside the model where this framework can; else give `saved` back.

        Called once the environment is known to hold what runs the copy, which measures its distance.
        """

    def load_file(self, path: Path) -> Any:
        """Open an existing model file in this process, so that `answers` can ask it; or give `path` back."""

    def wants_export(self, options: SaveOptions) -> bool:
        """Say whether the user wants the copies that `interchange` makes."""

    def check_profile(self, saved: Saved, profile: ProfileRecord, *, keep: bool) -> Saved:
        """Note what the profile means for the model. Raises NotArchivable where it can't hold the answer.

        Args:
            keep: keep such a model, marked.
        """

    def add_copy(
        self,
        copy: Any,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: SaveOptions,
        saved: Saved,
    ) -> Saved:
        """Copy somebody's conversion of another framework's model, which is of this framework, beside it.

        Raises:
            BadRequest: this framework is no format for interchange.
            NotArchivable: the file is not of this framework, or does not take the model's inputs.
        """

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy an existing model file's bytes into `folder`; it is never loaded. Raises NotArchivable."""


def comes_from(model: object, package: str, names: frozenset[str] | None = None) -> bool:
    """Say whether a class of `package` (of one of these `names`) is among the bases of `model`'s type."""
    return any(
        (kind.__module__ == package or kind.__module__.startswith(package + "."))
        and (names is None or kind.__name__ in names)
        for kind in type(model).__mro__
    )


def json_values(value: object, where: str, notes: list[str]) -> Json:
    """Turn `value` into JSON values that mean the same: tuples become lists, NumPy scalars numbers.

    Each such change is told in `notes`.

    Raises:
        NotArchivable: something in it has no JSON spelling; the message names the place.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        notes.append(f"{where} is stored as a plain number: it was a numpy.{type(value).__name__}")
        return json_values(value.item(), where, notes)
    if isinstance(value, int):
        if abs(value) > LIMITS.integer:
            raise _no_json(where, f"the integer {value}, beyond ±2**53")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _no_json(where, f"{value}")
        return float(value)
    if isinstance(value, (list, tuple)):
        if isinstance(value, tuple):
            notes.append(f"{where} is stored as a list: it was a tuple")
        return [json_values(item, f"{where}[{k}]", notes) for k, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise _no_json(where, f"the key {key!r}, which is not a string")
        return {key: json_values(item, f"{where}[{key!r}]", notes) for key, item in value.items()}
    raise _no_json(where, f"a {type(value).__module__}.{type(value).__qualname__}")


def _no_json(where: str, value: str) -> NotArchivable:
    return NotArchivable(
        f"{where} is {value}: JSON can't hold it",
        advice="give only None, booleans, numbers, strings, lists and dictionaries of those; "
        "build anything else from them inside the class",
    )


@contextmanager
def answering() -> Iterator[None]:
    """Turn whatever a live model raises while it answers into NotArchivable."""
    try:
        yield
    except TimeproofError:
        raise
    except Exception as error:
        text = str(error).strip()[:500]
        raise NotArchivable(
            f"the model can't answer these inputs: {type(error).__name__}: {text}",
            advice="give inputs of the type and shape that it was trained on",
        ) from error


def copy_bytes(source: Path, target: Path) -> None:
    """Copy a regular file's bytes; links are followed only where the user named the link. Raises OSError."""
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(1 << 20):
            writer.write(chunk)
