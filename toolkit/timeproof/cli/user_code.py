"""The user's own code and files, as `timeproof archive` is given them: functions, and arrays in files."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timeproof.errors import BadRequest, NotArchivable, NotFound, NotImportable, TimeproofError

_FUNCTION = "model_and_inputs"
_OURS = (__file__, importlib.__file__, "<frozen importlib")


def load(target: str, inputs: Path | None) -> tuple[Any, Any, Mapping[str, Any]]:
    """The model, its inputs, and whatever else the user's function returns by name."""
    place, colon, function = target.partition(":")
    path = Path(place)
    if path.suffix == ".py" or (colon and not path.exists()):
        if inputs is not None:
            raise BadRequest("--inputs goes with a model file", advice=f"{target} returns its own inputs")
        return _call(path, place, function or _FUNCTION)
    path = Path(target)
    if not path.exists():
        raise NotFound(f"there is no file {path}", advice="give FILE.py, MODULE:FUNCTION or a model file")
    if inputs is None:
        raise BadRequest(
            f"{path} is a model file, so its inputs are needed", advice="add --inputs X.npy, X.npz or X.csv"
        )
    from timeproof.importing import array_files, model_files

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
def _their_code(what: str, *, absent: bool = True) -> Iterator[None]:
    """Tell what the user's own code raises with its own traceback, without our frames.

    Args:
        absent: let ModuleNotFoundError pass where it comes from the import itself.
    """
    try:
        yield
    except TimeproofError:
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename.startswith(_OURS):
            trace = trace.tb_next
        if absent and trace is None and isinstance(error, ModuleNotFoundError):
            raise
        traceback.print_exception(type(error), error, trace)
        raise NotArchivable(
            f"{what} raised {type(error).__name__}: {error}",
            advice="its traceback stands above; nothing was archived",
        ) from error


def _call(path: Path, place: str, function: str) -> tuple[Any, Any, Mapping[str, Any]]:
    if path.suffix == ".py":
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
        name = path.stem
        sys.path.insert(0, str(path.resolve().parent))
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not name.isidentifier():
            raise BadRequest(f"{path} can't be imported", advice="its name must be a Python identifier")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        with _their_code(f"importing {path}"):
            spec.loader.exec_module(module)
    else:
        if not all(part.isidentifier() for part in place.split(".")):
            raise BadRequest(f"{place!r} is not a module's name", advice="give FILE.py or MODULE:FUNCTION")
        sys.path.insert(0, str(Path.cwd()))
        try:
            with _their_code(f"importing {place}"):
                module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise NotFound(f"there is no module {place}") from error
    made = getattr(module, function, None)
    if not callable(made):
        raise NotFound(
            f"{place} has no function {function}()",
            advice=f"write {place}:FUNCTION; it returns (model, inputs), or a dict with both",
        )
    with _their_code(f"{place}:{function}()", absent=False):
        value = made()
    if isinstance(value, Mapping) and {"model", "inputs"} <= set(value):
        return (
            value["model"],
            value["inputs"],
            {k: v for k, v in value.items() if k not in {"model", "inputs"}},
        )
    if isinstance(value, tuple) and len(value) == 2:
        return value[0], value[1], {}
    raise BadRequest(f"{function}() returns neither (model, inputs) nor a dict with both")


def read_arrays(path: Path) -> Any:
    """Read one array, or arrays by name, from `.npy`, `.npz`, `.csv` or `.tsv`; never a pickle.

    Raises NotFound and BadRequest.
    """
    from timeproof.frameworks.onnx.tensor_files import BadData
    from timeproof.importing.array_files import read

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
    except Exception as error:  # whatever NumPy, zipfile and zlib end in; an EOFError would abort typer
        raise BadRequest(f"{path} can't be read as .npy or .npz: {error}") from error
