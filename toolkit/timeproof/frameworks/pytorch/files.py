"""Files that PyTorch writes, by their bytes. All lack their class; only .safetensors is taken, with one."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import LIVE, Foreign
from timeproof.frameworks.pickles import READ, Pickle, parse_pickle, skip_pickles

# The number with which torch.save begins its old files; the object is their fourth pickle.
_MAGIC = 0x1950A86A20F9469CFC6C
_BEFORE = 3
# What makes tensors, and is no class of a model.
_TENSORS = frozenset({"torch._utils", "torch", "torch.storage", "torch.serialization", "torch._tensor"})
_LIGHTNINGS = b"pytorch-lightning_version"  # a key of every checkpoint of Lightning's
_WEIGHTS = Foreign(
    "a PyTorch file of weights without their class",
    f"build the model by its class, load the weights into it (load_state_dict) and archive it: {LIVE}",
)


_CHECKPOINT = Foreign(
    "a checkpoint of Lightning's: weights, hyper-parameters and a trainer's state, without their class",
    "load it in the Python that made it (YourModule.load_from_checkpoint(path)) and archive that module: it"
    f" says what it was built with: {LIVE}",
)


def sniff(file: ModelFile) -> bool | Foreign:
    """Say which of PyTorch's files it is; False where it is none of them."""
    if file.is_zip:
        return _zipped(file)
    if is_safetensors(file):
        return True
    if file.pickle is not None and file.pickle.number == _MAGIC:
        return _object(_old_object(file.path))
    return False


def is_safetensors(file: ModelFile) -> bool:
    """Say whether it begins as a .safetensors file does: the header's length, and a JSON object."""
    length = int.from_bytes(file.head[:8], "little")
    return 2 <= length <= min(file.size - 8, 100_000_000) and file.head[8:9] == b"{"


def _zipped(file: ModelFile) -> bool | Foreign:
    members = file.members or frozenset()
    names = {name.partition("/")[2] or name for name in members}
    if "constants.pkl" in names:  # TorchScript, which is a framework of its own
        return False
    if "data.pkl" not in names:
        return False
    pickle = _zipped_pickle(file.path)
    return _CHECKPOINT if _LIGHTNINGS in pickle else _object(parse_pickle(pickle))


def _object(pickle: Pickle | None) -> Foreign:
    """Say what the object in a file of torch.save's is: weights alone, or more."""
    model = pickle.without(_TENSORS) if pickle is not None else None
    if model is None or model.main_class is None:
        return _WEIGHTS
    return Foreign(
        f"a PyTorch file that holds pickled objects{f' ({model.title})' if model.title else ''}",
        "load it in the Python that made it (torch.load(path, weights_only=False)) and archive the module:"
        f" {LIVE}",
    )


def _zipped_pickle(path: Path) -> bytes:
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            if name.rpartition("/")[2] == "data.pkl":
                with packed.open(name) as stream:
                    return stream.read(READ)
    return b""


def _old_object(path: Path) -> Pickle | None:
    with path.open("rb") as stream, suppress(ValueError):
        return parse_pickle(skip_pickles(stream.read(READ), _BEFORE))
    return None
