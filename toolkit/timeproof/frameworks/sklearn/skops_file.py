"""The .skops file: written so that equal objects give equal bytes, and looked at without loading anything."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base.clock import EPOCH_IN_ZIP
from timeproof.errors import NotArchivable
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import Foreign
from timeproof.frameworks.sklearn.probe import schema

# What scikit-learn keeps beside a vectorizer's stop words: their address, by which it checks them only once.
_ADDRESSES = ("_stop_words_id",)
# Of these it means nothing whether two nodes are one object: whether Python keeps equal ones once is chance.
_VALUES = frozenset({"JsonNode", "TypeNode", "FunctionNode", "DTypeNode"})


def normalised(data: bytes) -> bytes:
    """Give a .skops file that holds the same, with bytes that follow from its contents alone.

    skops names nodes by the objects' addresses, bytes by random numbers, and dates what it writes. Here nodes
    and entries are numbered in the order of their appearance, equal entries are kept once, sets are sorted,
    the gaps inside of records (a tree's nodes have some) are zeros, not what the memory held, and nothing is
    compressed: what a compressor gives changes with its version.

    Law: `normalised(normalised(d)) == normalised(d)`.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        tree = schema.read_packed(packed)
        entries = {
            name: _filled(name, packed.read(name)) for name in packed.namelist() if name != schema.SCHEMA
        }
    _forget_addresses(tree)
    _sort_sets(tree, {name: hashlib.sha256(entry).hexdigest() for name, entry in entries.items()})
    numbers: dict[object, int] = {}
    names: dict[bytes, str] = {}
    contents: dict[str, bytes] = {}
    for node in schema.nodes(tree):
        if "__id__" in node:
            if node.get("__loader__") in _VALUES or _is_scalar(node):
                del node["__id__"]
            else:
                node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if isinstance(file := node.get("file"), str):
            entry = entries[file]
            ending = Path(file).suffix
            key = hashlib.sha256(ending.encode() + b"\0" + entry).digest()
            node["file"] = names.setdefault(key, f"{len(names)}{ending}")
            contents[node["file"]] = entry
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as packed:
        for name, entry in [*contents.items(), (schema.SCHEMA, text.encode("utf-8", "surrogatepass"))]:
            info = zipfile.ZipInfo(name, EPOCH_IN_ZIP)
            info.external_attr = 0o644 << 16
            packed.writestr(info, entry)
    return stream.getvalue()


def _forget_addresses(tree: dict[str, Any]) -> None:
    for node in schema.nodes(tree):
        content = node.get("content")
        if node.get("__loader__") == "DictNode" and isinstance(content, dict):
            for name in _ADDRESSES:
                if isinstance(value := content.get(name), dict) and value.get("__loader__") == "JsonNode":
                    value["content"] = "0"


def _filled(name: str, entry: bytes) -> bytes:
    """Give an array's file with zeros in the gaps of its records; any other entry as it is."""
    if not name.endswith(".npy"):
        return entry
    array = np.load(io.BytesIO(entry), allow_pickle=False)
    names = array.dtype.names
    if not names or sum(array.dtype[field].itemsize for field in names) == array.dtype.itemsize:
        return entry
    plain = np.zeros(array.shape, array.dtype)
    for field in names:
        plain[field] = array[field]
    stream = io.BytesIO()
    np.save(stream, plain, allow_pickle=False)
    return stream.getvalue()


def _is_scalar(node: dict[str, Any]) -> bool:
    """Whether a node is a NumPy scalar, which can't change."""
    return node.get("__loader__") == "NdArrayNode" and node.get("__class__") not in {"ndarray", "memmap"}


def _sort_sets(tree: dict[str, Any], digests: dict[str, str]) -> None:
    """Put the members of each set in an order that does not depend on their hashes."""
    for node in schema.nodes(tree):
        if node.get("__loader__") == "SetNode" and isinstance(members := node.get("content"), list):
            members.sort(key=lambda member: json.dumps(_unnumbered(member, digests), sort_keys=True))


def _unnumbered(value: Any, digests: dict[str, str]) -> Any:
    if isinstance(value, dict):
        pairs = ((key, item) for key, item in value.items() if key != "__id__")
        return {
            key: digests.get(item, item)
            if key == "file" and isinstance(item, str)
            else _unnumbered(item, digests)
            for key, item in pairs
        }
    return [_unnumbered(item, digests) for item in value] if isinstance(value, list) else value


def read_schema(path: Path) -> dict[str, Any]:
    """Read what a file says of itself. Raises NotArchivable."""
    try:
        return schema.read(str(path))
    except (schema.BadSkops, OSError) as error:
        raise NotArchivable(
            f"{path}: {error}", advice="give the file as skops.io.dump wrote it; or dump the model again"
        ) from None


def read_bytes(data: bytes) -> dict[str, Any]:
    """Read what the bytes of a file say of themselves. Raises BadSkops."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return schema.read_packed(packed)


def sniff(file: ModelFile) -> bool | Foreign:
    """Say whether it is a zip with skops's schema."""
    return bool(file.is_zip and schema.SCHEMA in (file.members or ()))


def class_of(tree: dict[str, Any]) -> tuple[str, str]:
    """Give the module and the name of the object that a file holds."""
    return str(tree.get("__module__", "")), str(tree.get("__class__", ""))
