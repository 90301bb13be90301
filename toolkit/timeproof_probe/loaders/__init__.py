"""The loaders that lie beside the probe: one folder a framework, put here when an image is made.

The toolkit itself has no folder here: each framework keeps its own in `timeproof/frameworks/<name>/probe`, or
in its plugin. A loader's files import each other relatively (`from . import tensors`), and the probe
absolutely (`from timeproof_probe.file_checks import Refused`), and nothing else of ours, so that they work in
both places. A loader whose packages always bring another one, too, may ask for its parts by name
(`importlib.import_module("..pytorch.load", __package__)`), when it is called. They run on Python 3.6, and
import their framework only when they are called.

`load.py` must define

- `MODULES`: the names of the Python modules whose versions go into the result;
- `warm()`: import the framework. It is called once, before any artifact is known;
- `run(directory, model, inputs, options, threads, sizes)`: load the model, and ask it. `directory` is the
  artifact's folder, `model` a path in it, `inputs` a list of (name, NumPy array), `options` what the
  metadata's `model.options` says, `threads` how many the profile allows (None: as many as there are), `sizes`
  the artifact's files with their sizes in bytes. It returns a list of (name, array, the name of the type that
  the array was made from, or ""). It raises `Refused` with words for the user; whatever else it raises is
  reported by its type and text.

and may define `resave(source, target)`: load one model file and write it as another. Without it there is no
`round_trip` in a result.

`float64.py` is there where the framework can be asked in float64. It defines `MODULES` and `run`, as above.
"""

import importlib
import os
import re
from typing import Any, Optional

from timeproof_probe import wire
from timeproof_probe.file_checks import Refused

_HERE = os.path.dirname(os.path.abspath(__file__))
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def is_name(framework: Any) -> bool:
    """Say whether a framework can be called so."""
    return isinstance(framework, str) and _NAME.fullmatch(framework) is not None


def exists(framework: str) -> bool:
    """Say whether the framework's loader lies here. Nothing is imported."""
    return os.path.isfile(os.path.join(_HERE, framework, "load.py"))


def offers(framework: str, witness: str) -> bool:
    """Say whether the framework can be asked in that other way. Nothing is imported."""
    return os.path.isfile(os.path.join(_HERE, framework, witness + ".py"))


def load(framework: str, witness: Optional[str] = None) -> Any:
    """Import the module that asks a framework's models. Raises Refused where it does not lie here."""
    if not exists(framework):
        raise Refused(
            "{} {!r}: this image was made for an environment that holds none of its packages".format(
                wire.NO_LOADER, framework
            )
        )
    return importlib.import_module("{}.{}.{}".format(__name__, framework, witness or "load"))
