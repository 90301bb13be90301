"""What a `.keras` file says of itself: a zip with a configuration, read strictly and within bounds.

It is never loaded here: the weights stay bytes, and no class that the configuration names is looked for.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base import strictjson
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, NotArchivable

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MEMBER = re.compile(
    r"assets(/[^/\\]+)*/?|config\.json|metadata\.json|model\.weights\.(h5|json|npz)|model_\d{5}\.weights\.h5"
)
_MEMBERS = 10_000
_EXPANSION = 100  # times: Keras stores members as they are, and deflate packs weights by a tenth
_DATE = "1980-01-01@00:00:00"

# Classes of Keras that run what does not lie in the file, each with what it needs.
_OUTSIDE = {
    "Lambda": "Python code in a Lambda layer",
    "TFSMLayer": "a SavedModel folder elsewhere",
    "TorchModuleWrapper": "a PyTorch module",
    "JaxLayer": "a JAX function",
    "FlaxLayer": "a Flax module",
}
AS_GRAPH = (
    "archive its graph, which needs no class: the live model with --format saved_model"
    " (TensorFlowOptions(format='saved_model')), or the folder that model.export(folder) writes"
)


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A file whose members are as they should be.

    Args:
        version: of the Keras that wrote it; empty where it does not say so.
        inputs: what it calls its inputs, in their order; empty where its configuration does not say so.
        mapping: whether it takes them as a mapping by these names.
    """

    config: dict[str, Any]
    version: str
    inputs: tuple[str, ...]
    mapping: bool


def looks_like(members: frozenset[str]) -> bool:
    """Say whether a zip file with these members is a Keras model."""
    return CONFIG in members and (WEIGHTS in members or METADATA in members)


def inspect(path: Path, name: object = None) -> KerasFile:
    """Read a file's members and its configuration; messages call it `name`. Raises NotArchivable."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = _check_members(packed, path)
            config = _json(packed, CONFIG, path)
            metadata = _json(packed, METADATA, path) if METADATA in names else {}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise _damaged(path, f"{CONFIG} describes no model")
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    check_config(config, name or path)
    taken, mapping = _input_names(config)
    return KerasFile(config, version if isinstance(version, str) else "", taken, mapping)


def check_config(config: Any, name: object) -> None:
    """Refuse a model that needs code which does not lie in the file.

    `compile_config` is left aside: an optimizer, a loss and metrics answer nothing, and are not loaded.

    Raises NotArchivable, naming the class and a way that works.
    """
    if isinstance(config, dict):
        config = {key: value for key, value in config.items() if key != "compile_config"}
    for entry in _entries(config):
        kind, module, registered = (entry.get(key) for key in ("class_name", "module", "registered_name"))
        if kind in _OUTSIDE or kind == "__lambda__":
            needs = _OUTSIDE.get(str(kind), _OUTSIDE["Lambda"])
            raise NotArchivable(f"{name} needs {needs}, which the file can't safely hold", advice=AS_GRAPH)
        if kind == "function" or not _is_keras(module) or ">" in str(registered or ""):
            label = entry.get("config") if kind == "function" else registered or kind
            place = f" of {module}" if isinstance(module, str) and module != "builtins" else ""
            raise NotArchivable(
                f"{name} needs {str(label)[:120]!r}{place[:120]}, which is not Keras's own: the file holds"
                " its name, and not its code",
                advice=AS_GRAPH,
            )


def normalise(data: bytes) -> bytes:
    """Give a file that Keras has just written without what differs from process to process.

    Those are the zip's times, the date in its metadata, and the addresses in memory by which its
    configuration says that two layers share an object: they become 1, 2, 3, in their order. Keras compares
    them, no more.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        members = {info.filename: packed.read(info) for info in packed.infolist() if not info.is_dir()}
    config = strictjson.loads(members[CONFIG], CONFIG, limit=LIMITS.import_bytes)
    metadata = strictjson.loads(members[METADATA], METADATA)
    _renumber(config, {})
    if "date_saved" in metadata:
        metadata["date_saved"] = _DATE
    members |= {CONFIG: strictjson.compact(config).encode(), METADATA: strictjson.compact(metadata).encode()}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        first = [METADATA, CONFIG]
        for name in [*first, *sorted(members.keys() - set(first))]:
            packed.writestr(zipfile.ZipInfo(name), members[name])
    return target.getvalue()


def _renumber(value: Any, numbers: dict[int, int]) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if isinstance(shared := item.get("shared_object_id"), int):
                item["shared_object_id"] = numbers.setdefault(shared, len(numbers) + 1)
            stack += reversed(item.values())
        elif isinstance(item, list):
            stack += reversed(item)


def _check_members(packed: zipfile.ZipFile, path: Path) -> set[str]:
    """Raise NotArchivable where a member is none of Keras's, or expands beyond all reason."""
    infos = packed.infolist()
    names = {info.filename for info in infos}
    if len(names) != len(infos) or len(infos) > _MEMBERS:
        raise _damaged(path, "two of its members have one name, or there are too many")
    for info in infos:
        parts = info.filename.split("/")
        if not _MEMBER.fullmatch(info.filename) or ".." in parts or "." in parts:
            raise _damaged(path, f"its member {info.filename[:80]!r} is none of Keras's")
        if info.file_size > max(2**20, _EXPANSION * info.compress_size):
            raise _damaged(path, f"its member {info.filename[:80]!r} expands more than {_EXPANSION} times")
    if CONFIG not in names:
        raise _damaged(path, f"it holds no {CONFIG}")
    if WEIGHTS not in names and "model.weights.json" not in names:
        raise _damaged(path, f"it holds no {WEIGHTS}")
    return names


def _json(packed: zipfile.ZipFile, member: str, path: Path) -> Any:
    size = packed.getinfo(member).file_size
    if size > LIMITS.json_bytes:
        raise _damaged(path, f"its {member} is {size} bytes long, at most {LIMITS.json_bytes}")
    try:
        return strictjson.loads(packed.read(member), f"{path}: {member}")
    except BadArchive as error:
        raise _damaged(path, error.message) from None


def _damaged(path: Path, why: str) -> NotArchivable:
    return NotArchivable(
        f"{path} is no Keras model that can be archived: {why[:300]}",
        advice="save it again, where the model is: model.save('model.keras')",
    )


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """Give each dictionary that names a class, the outermost first."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str) and not _is_value(item["class_name"]):
                yield item
            stack += reversed(item.values())
        elif isinstance(item, list):
            stack += reversed(item)


def _is_value(kind: str) -> bool:
    """Whether a class name is that of a plain value: `__tuple__`, `__keras_tensor__`."""
    return kind.startswith("__") and kind.endswith("__") and kind != "__lambda__"


def _is_keras(module: object) -> bool:
    return module is None or (isinstance(module, str) and (module == "keras" or module.startswith("keras.")))


def _input_names(config: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """What a functional or sequential model calls its inputs, and whether it takes a mapping of them."""
    inside = config.get("config")
    if not isinstance(inside, dict):
        return (), False
    listed = inside.get("input_layers")
    if isinstance(listed, dict):
        return tuple(listed), True
    if isinstance(listed, list):
        each = [listed] if listed and isinstance(listed[0], str) else listed
        names = [item[0] for item in each if isinstance(item, list) and item and isinstance(item[0], str)]
        return (tuple(names) if len(names) == len(each) else ()), False
    layers = inside.get("layers")  # of a Sequential
    first = layers[0] if isinstance(layers, list) and layers and isinstance(layers[0], dict) else {}
    name = first["config"].get("name") if isinstance(first.get("config"), dict) else None
    is_input = first.get("class_name") == "InputLayer"
    return ((name,) if is_input and isinstance(name, str) else ()), False
