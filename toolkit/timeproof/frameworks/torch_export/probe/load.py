"""Run an exported program: torch.export.load, and the call as the artifact records it.

PyTorch's own loader is in every image that this one is in, for the same packages bring both; how tensors
are made, passed and named is its.
"""

import importlib
import json
import os
import zipfile
from typing import Any, Callable, Dict, List, Optional, Tuple

from timeproof_probe.file_checks import Refused

MODULES = ("torch", "numpy")
_PROGRAMS = ("models/model.json", "serialized_exported_program.json")


# What torch imports when it loads a program, a thousand modules: once for all artifacts, where it has them.
_MACHINERY = (
    "torch._dynamo",
    "torch.export._trace",
    "torch.export.pt2_archive._package",
    "sympy.assumptions",
)


def warm() -> None:
    importlib.import_module("torch")
    for name in _MACHINERY:
        try:
            importlib.import_module(name)
        except ImportError:  # other releases keep it elsewhere
            pass


def pytorch(part: str) -> Any:
    """Give a part of PyTorch's own loader."""
    return importlib.import_module("..pytorch." + part, __package__)


def _schema(path: str) -> Dict[str, Any]:
    """What the file says of its schema and its torch. Raises Refused."""
    try:
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                if name in _PROGRAMS or name.partition("/")[2] in _PROGRAMS:
                    document = json.loads(packed.read(name).decode("utf-8"))
                    version = document["schema_version"]
                    return {
                        "major": version["major"],
                        "minor": version["minor"],
                        "torch": document.get("torch_version") or "another torch",
                    }
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError) as error:
        raise Refused("{} is damaged: {}".format(os.path.basename(path), error))
    raise Refused("{} holds no exported program".format(os.path.basename(path)))


def _check_schema(torch: Any, path: str) -> Dict[str, Any]:
    """Refuse, in words, a file whose schema this torch does not read; torch itself may say anything."""
    written = _schema(path)
    try:
        readable = importlib.import_module("torch._export.serde.schema").SCHEMA_VERSION
    except (ImportError, AttributeError):
        raise Refused("torch {} knows no exported programs".format(torch.__version__))
    if written["major"] != readable[0]:
        raise Refused(
            "the program's schema is {}.{}, written by torch {}; torch {} reads schema {}".format(
                written["major"], written["minor"], written["torch"], torch.__version__, readable[0]
            )
        )
    return written


def prepare(directory: str, model: str, options: Dict[str, Any], threads: Optional[int]) -> Callable[[], Any]:
    """Load the program; what comes back makes a module of it, each time anew."""
    torch: Any = importlib.import_module("torch")
    pytorch("load").set_threads(threads)
    path = os.path.join(directory, model)
    written = _check_schema(torch, path)
    pytorch("load").register_operators(options)
    try:
        program = torch.export.load(path)
    except Exception as error:
        readable = importlib.import_module("torch._export.serde.schema").SCHEMA_VERSION
        if (written["major"], written["minor"]) > tuple(readable[:2]):
            raise Refused(
                "the program was written by torch {} (schema {}.{}), which is newer than torch {}"
                " (schema {}.{}): {}: {}".format(
                    written["torch"],
                    written["major"],
                    written["minor"],
                    torch.__version__,
                    readable[0],
                    readable[1],
                    type(error).__name__,
                    str(error)[:300],
                )
            )
        raise
    return lambda: program.module()


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the program's outputs as (name, array, the type it was made from or "")."""
    answers: List[Tuple[str, Any, str]] = pytorch("load").answers(
        prepare(directory, model, options, threads)(), inputs, options
    )
    return answers
