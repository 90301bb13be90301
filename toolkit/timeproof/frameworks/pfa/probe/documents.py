"""A PFA document, read within bounds, and what it takes and gives. Standard library alone."""

import json
from typing import Any, Dict, List, Tuple

from timeproof_probe.file_checks import Refused

BYTES = 2**29  # of a document
NUMBERS = frozenset({"int", "long", "float", "double", "boolean"})


def parse(stream: Any) -> Dict[str, Any]:
    """Read a document from a binary stream. Raises Refused."""
    data = stream.read(BYTES + 1)
    if len(data) > BYTES:
        raise Refused("it has more than {} bytes".format(BYTES))
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise Refused("it is no JSON that can be read: {}".format(error))
    if not isinstance(document, dict) or not all(key in document for key in ("input", "output", "action")):
        raise Refused("it is no PFA document: one has an input, an output and an action")
    if document.get("method", "map") != "map":
        raise Refused("the method {!r} is not evaluated, only map".format(str(document.get("method"))[:80]))
    for part in ("begin", "end", "pools", "zero", "merge"):
        if document.get(part):
            raise Refused("the document has a part {!r}, which is not evaluated".format(part))
    return document


def _pairs(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def input_fields(document: Dict[str, Any]) -> Dict[str, str]:
    """Give the fields of the input record, in order: name → type, without null. Raises Refused."""
    return {name: plain_type(kind) for name, kind in _fields(document["input"], "input")}


def output_fields(document: Dict[str, Any]) -> List[str]:
    """Give the fields of the output record; none where the output is no record."""
    kind = document["output"]
    if isinstance(kind, dict) and kind.get("type") == "record":
        return [name for name, _ in _fields(kind, "output")]
    return []


def _fields(kind: Any, where: str) -> List[Tuple[str, Any]]:
    if not isinstance(kind, dict) or kind.get("type") != "record" or not isinstance(kind.get("fields"), list):
        raise Refused("its {} is no record, and nothing else is evaluated".format(where))
    fields = []
    for field in kind["fields"]:
        if not isinstance(field, dict) or not isinstance(field.get("name"), str) or "type" not in field:
            raise Refused("a field of its {} has no name or no type".format(where))
        fields.append((field["name"], field["type"]))
    return fields


def plain_type(kind: Any) -> str:
    """Give a field's type, null aside. Raises Refused for anything but a number, a boolean or a string."""
    kinds = [k for k in kind if k != "null"] if isinstance(kind, list) else [kind]
    if len(kinds) == 1 and isinstance(kinds[0], dict) and isinstance(kinds[0].get("type"), str):
        kinds = [kinds[0]["type"]]
    if len(kinds) != 1 or not isinstance(kinds[0], str) or kinds[0] not in NUMBERS | {"string"}:
        raise Refused("an input of the type {} is not evaluated".format(json.dumps(kind)[:100]))
    return kinds[0]
