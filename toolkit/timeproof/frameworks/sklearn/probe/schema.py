"""What a .skops file says of itself, read within bounds. Nothing that it names is imported. No skops here.

The file is a zip: `schema.json`, a tree of nodes, and the arrays that the nodes name. A node says by
`__module__` and `__class__` which type it makes, and by `__loader__` which part of skops makes it.
"""

import json
import re
import zipfile
from typing import Any, Dict, Iterator, List, Set, Tuple

SCHEMA = "schema.json"
SCHEMA_BYTES = 512 * 2**20
ENTRIES = 500000
TOTAL_BYTES = 16 * 2**30  # of all entries, unpacked
NODES = 5000000

_MEMBER = re.compile(r"[A-Za-z0-9_-]{1,64}\.(?:npy|npz|bin)")
_LOADER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")

# What makes text, numbers, … of JSON, and names no type that is looked up.
VALUES = ("JsonNode",)


class BadSkops(Exception):
    """The file is no .skops file, or is damaged."""


def read(path: str) -> Dict[str, Any]:
    """Read a file's schema. Raises BadSkops, and OSError."""
    try:
        with zipfile.ZipFile(path) as packed:
            return read_packed(packed)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadSkops("no .skops file, or a damaged one: {}".format(error))


def read_packed(packed: zipfile.ZipFile) -> Dict[str, Any]:
    """Read the schema of an open file. Raises BadSkops."""
    entries = packed.infolist()
    names = [entry.filename for entry in entries]
    if SCHEMA not in names:
        raise BadSkops("no .skops file: it holds no {}".format(SCHEMA))
    if len(entries) > ENTRIES:
        raise BadSkops("it holds {} entries, at most {}".format(len(entries), ENTRIES))
    if len(set(names)) != len(names):
        raise BadSkops("it holds two entries of one name")
    for name in names:
        if name != SCHEMA and _MEMBER.fullmatch(name) is None:
            raise BadSkops("it holds an entry {!r}, which skops does not write".format(name[:100]))
    if sum(entry.file_size for entry in entries) > TOTAL_BYTES:
        raise BadSkops("its entries are larger than {} bytes, unpacked".format(TOTAL_BYTES))
    if packed.getinfo(SCHEMA).file_size > SCHEMA_BYTES:
        raise BadSkops("its {} is larger than {} bytes".format(SCHEMA, SCHEMA_BYTES))
    try:
        schema = json.loads(packed.read(SCHEMA).decode("utf-8"))
    except (ValueError, RecursionError, zipfile.BadZipFile, EOFError) as error:
        raise BadSkops("its {} can't be read: {}".format(SCHEMA, type(error).__name__))
    except Exception as error:  # what the unpacking of damaged bytes ends in (zlib.error, …)
        raise BadSkops("its {} is damaged: {}".format(SCHEMA, type(error).__name__))
    if not isinstance(schema, dict) or type(schema.get("protocol")) is not int:
        raise BadSkops("its {} names no protocol of skops".format(SCHEMA))
    check_members(schema, set(names))
    return schema


def check_members(schema: Dict[str, Any], names: Set[str]) -> None:
    """Raise BadSkops where a node names a file that is not in the zip."""
    for node in nodes(schema):
        file = node.get("file")
        if file is not None and file not in names:
            raise BadSkops("it lacks {!r}, which its {} names".format(str(file)[:100], SCHEMA))


def nodes(schema: Any) -> Iterator[Dict[str, Any]]:
    """Give every node, in the order of the file. Raises BadSkops."""
    waiting: List[Any] = [schema]
    count = 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "__loader__" in value or "__class__" in value:
                count += 1
                if count > NODES:
                    raise BadSkops("it holds more than {} nodes".format(NODES))
                yield value
            waiting.extend(reversed(list(value.values())))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def kinds_in(schema: Any) -> List[Tuple[str, str, str]]:
    """What a file makes: (loader, module, name), each once, sorted; plain values are left out.

    Raises BadSkops.
    """
    kinds = set()
    for node in nodes(schema):
        parts = (node.get("__loader__"), node.get("__module__"), node.get("__class__"))
        if not all(isinstance(part, str) for part in parts):
            raise BadSkops("a node lacks its loader, its module or its class")
        loader, module, name = parts
        if _LOADER.fullmatch(str(loader)) is None:
            raise BadSkops("a node's loader is {!r}".format(str(loader)[:100]))
        if loader not in VALUES:
            kinds.add((str(loader), str(module), str(name)))
    return sorted(kinds)


def is_dotted(text: str) -> bool:
    return len(text) <= 300 and _DOTTED.fullmatch(text) is not None
