"""Load the user's own code and files for `timeproof archive`: functions, and arrays in files."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from timeproof.errors import BadRequest, NotArchivable, NotFound, NotImportable, TimeproofError

_FUNCTION = "model_and_inputs"
_PROGRAM = (__file__, importlib.__file__, "<frozen importlib")


def load(target: str, inputs: Path | None) -> tuple[Any, Any, Mapping[str, Any]]:
    """Return the model, its inputs, and the other values that the user's function returns by name."""
    place, colon, function = target.partition(":")
    path = Path(place)
    if path.suffix == ".py" or (colon and not path.exists()):
        if inputs is not None:
            raise BadRequest(
                "--inputs goes with a model file only", advice=f"{target} returns its own inputs"
            )
        return _call(path, place, function or _FUNCTION)
    path = Path(target)
    if not path.exists():
        raise NotFound(f"there is no file {path}", advice="give FILE.py, MODULE:FUNCTION or a model file")
    from timeproof.frameworks.choose import spec_for_file

    if inputs is None:
        if spec_for_file(path).own_inputs:
            return path, None, {}
        raise BadRequest(
            f"{path} is a model {'folder' if path.is_dir() else 'file'}, so its inputs are needed",
            advice="add --inputs X.npy, X.npz or X.csv",
        )
    from timeproof.frameworks import array_files
    from timeproof.importing import model_files

    if inputs.suffix.lower() in array_files.TEXT and inputs.is_file():
        try:
            return path, model_files.read_table_inputs(path, inputs), {}
        except NotImportable as error:
            raise BadRequest(
                f"{inputs} does not fit {path}: {'; '.join(error.problems)}",
                advice="give the columns as the model takes them, all of numbers",
            ) from error
    return path, read_arrays(inputs), {}


@contextmanager
def _users_code(action: str, *, absent: bool = True) -> Iterator[None]:
    """Report an error of the user's own code with its traceback, without this program's frames.

    Args:
        action: what the code was doing, for messages.
        absent: let a ModuleNotFoundError of the import itself pass.
    """
    try:
        yield
    except TimeproofError:
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename.startswith(_PROGRAM):
            trace = trace.tb_next
        if absent and trace is None and isinstance(error, ModuleNotFoundError):
            raise
        traceback.print_exception(type(error), error, trace)
        raise NotArchivable(
            f"{action} raised {type(error).__name__}: {error}",
            advice="the traceback is above; nothing was archived",
        ) from error


def _call(path: Path, place: str, function: str) -> tuple[Any, Any, Mapping[str, Any]]:
    module = _import_file(path) if path.suffix == ".py" else _import_module(place)
    model_function = getattr(module, function, None)
    if not callable(model_function):
        raise NotFound(
            f"{place} has no function {function}()",
            advice=f"name one: {place}:FUNCTION; it returns (model, inputs), or a dict with both",
        )
    with _users_code(f"{place}:{function}()", absent=False):
        value = model_function()
    if isinstance(value, Mapping) and {"model", "inputs"} <= set(value):
        extras = {k: v for k, v in value.items() if k not in {"model", "inputs"}}
        return value["model"], value["inputs"], extras
    if isinstance(value, tuple) and len(value) == 2:
        return value[0], value[1], {}
    raise BadRequest(f"{function}() returns neither (model, inputs) nor a dict with both")


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    name = path.stem
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not name.isidentifier():
        raise BadRequest(f"{path} can't be imported", advice="its name must be a Python identifier")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _users_code(f"importing {path}"):
        spec.loader.exec_module(module)
    return module


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise BadRequest(f"{name!r} is not the name of a module", advice="give FILE.py or MODULE:FUNCTION")
    sys.path.insert(0, str(Path.cwd()))
    try:
        with _users_code(f"importing {name}"):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise NotFound(f"there is no module {name}") from error


def class_flags(model_class: str | None, init_args: str | None) -> dict[str, object]:
    """Read `--class` and `--init-args`; from then on the class's module is looked for in its folder.

    Nothing is imported. Raises BadRequest and NotFound.
    """
    from timeproof.base import strictjson
    from timeproof.errors import BadArchive

    if model_class is None:
        if init_args is not None:
            raise BadRequest("--init-args goes with --class", advice="name the class that they build")
        return {}
    place, _, name = model_class.rpartition(":")
    folder = Path.cwd()
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
        place, folder = path.stem, path.resolve().parent
    sys.path.insert(0, str(folder))
    try:
        arguments = strictjson.loads((init_args or "{}").encode(), "--init-args")
    except BadArchive as error:
        raise BadRequest(
            f"--init-args is no JSON: {error.message}", advice="""such as --init-args '{"width": 8}'"""
        ) from None
    if not isinstance(arguments, dict):
        raise BadRequest("--init-args is no JSON object", advice="""such as --init-args '{"width": 8}'""")
    return {"model_class": f"{place}:{name}", "init_args": arguments}


def read_arrays(path: Path) -> Any:
    """Read one array, or arrays by name, from `.npy`, `.npz`, `.csv` or `.tsv`; never a pickle.

    Raises NotFound and BadRequest.
    """
    from timeproof.frameworks.array_files import read
    from timeproof.frameworks.imports import BadData

    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    if path.suffix in {".npy", ".npz"}:
        return _read_numpy(path)
    try:
        arrays = read(path, name="", dtype="<f8")
    except BadData as error:
        raise BadRequest(
            f"{path} can't be read: {error}", advice="give .npy, .npz, .csv or .tsv, all of numbers"
        ) from error
    return arrays[""] if list(arrays) == [""] else arrays


def _read_numpy(path: Path) -> Any:
    import numpy as np

    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except (
        Exception
    ) as error:  # NumPy and its decompressors raise many classes; an EOFError would make typer abort
        raise BadRequest(f"{path} can't be read as .npy or .npz: {error}") from error
