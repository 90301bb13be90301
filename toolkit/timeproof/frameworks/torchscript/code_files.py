"""TorchScript files, by their bytes: the code in them is searched as text, and never run."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from timeproof.base.limits import LIMITS
from timeproof.errors import NotArchivable
from timeproof.frameworks.file_bytes import ModelFile

_AGAIN = "save it again where the model is: torch.jit.save(module, 'model.pt')"
_DEBUG = ".debug_pkl"
# Operators outside torch's own name space are called as ops.LIBRARY.NAME.
_OPERATOR = re.compile(rb"\bops\.(\w+)\.(\w+)")
_RANDOM = re.compile(rb"\btorch\.((?:rand|randn|bernoulli|multinomial|normal|dropout|alpha_dropout)\w*)\(")
_OWN = frozenset({"aten", "prim", "prims", "quantized", "inductor", "mkldnn", "sparse"})


@dataclass(frozen=True, slots=True)
class Script:
    """What the code in a file says.

    Args:
        libraries: of operators that are not torch's own: the environment must bring them.
        names_places: whether it says where on its author's machine the source lay.
    """

    libraries: tuple[str, ...]
    quantized: tuple[str, ...]
    random: tuple[str, ...]
    names_places: bool


def sniff(file: ModelFile) -> bool:
    """Say whether it is a file of torch.jit.save's."""
    names = {name.partition("/")[2] for name in file.members or ()} if file.is_zip else set()
    return "constants.pkl" in names and any(name.startswith("code/") for name in names)


def read_script(path: Path) -> Script:
    """Search the code in a TorchScript file. Raises NotArchivable, naming the file."""
    operators: set[tuple[str, str]] = set()
    random: set[str] = set()
    names_places = False
    try:
        with zipfile.ZipFile(path) as packed:
            names_places = any(name.endswith(_DEBUG) for name in packed.namelist())
            for text in _code(path, packed):
                operators |= {(a.decode(), b.decode()) for a, b in _OPERATOR.findall(text)}
                random |= {name.decode() for name in _RANDOM.findall(text)}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise NotArchivable(f"{path} is damaged: {error}", advice=_AGAIN) from None
    return Script(
        libraries=tuple(sorted({library for library, _ in operators} - _OWN)),
        quantized=tuple(sorted(name for library, name in operators if library == "quantized")),
        random=tuple(sorted(random)),
        names_places=names_places,
    )


def _code(path: Path, packed: zipfile.ZipFile) -> Iterator[bytes]:
    """Give the texts of the code, which torch compresses, up to a bound for all of them."""
    allowance = LIMITS.program_bytes
    for info in packed.infolist():
        if not info.filename.partition("/")[2].startswith("code/") or not info.filename.endswith(".py"):
            continue
        with packed.open(info) as stream:
            text = stream.read(allowance + 1)
        allowance -= len(text)
        if allowance < 0:
            raise NotArchivable(
                f"{path}: its code has more than {LIMITS.program_bytes} bytes",
                advice="archive the nn.Module that it was made from",
            )
        yield text
