"""Whether a model's file comes back, byte for byte, when this version of its framework saves it again.

Asked only where an answer is not the recorded one: what a loader reads wrongly or drops shows in what it
writes. Knows the formats' shapes (JSON, a zip, lines of text), and nothing of what stands in them.
"""

import io
import itertools
import json
import os
import shutil
import tempfile
import zipfile
from typing import Any, Callable, Dict, Iterator, List

from timeproof_probe import wire

SHOWN = 8  # differences that are told
VALUE = 60  # characters of each side
READ = 64 * 2**20  # bytes; of a larger file it is told whether it is the same, and no more

_ABSENT = object()


def ask(save: Callable[[str, str], None], path: str) -> Dict[str, Any]:
    """Load the file at `path`, save it anew, and tell the two apart.

    Args:
        save: (from, to): loads the model in the one file and writes it into the other, whose ending says the
            format.
    """
    folder = tempfile.mkdtemp(prefix="resaved-")
    try:
        # The same file name: torch writes it into the file.
        again = os.path.join(folder, os.path.basename(path))
        save(path, again)
        return _told(path, again)
    except BaseException as error:  # whatever a framework raises is a finding
        return {"status": "failed", "reason": wire.plain("{}: {}".format(type(error).__name__, error), 300)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _told(path: str, again: str) -> Dict[str, Any]:
    if os.path.getsize(path) > READ or os.path.getsize(again) > READ:
        with open(path, "rb") as one, open(again, "rb") as other:
            pairs = itertools.zip_longest(_pieces(one), _pieces(other))
            same = all(mine == theirs for mine, theirs in pairs)
        return {"status": "identical"} if same else _differs([])
    with open(path, "rb") as stream:
        before = stream.read()
    with open(again, "rb") as stream:
        after = stream.read()
    return {"status": "identical"} if before == after else _differs(differences(before, after))


def _pieces(stream: Any) -> Iterator[bytes]:
    return iter(lambda: stream.read(1 << 20), b"")


def _differs(found: List[str]) -> Dict[str, Any]:
    shown = found[:SHOWN] + (["and {} more".format(len(found) - SHOWN)] if len(found) > SHOWN else [])
    return {"status": "differs", "differences": shown}


def differences(before: bytes, after: bytes) -> List[str]:
    """Say in words where two files' contents differ; empty where only the spelling does, or none can say."""
    if before[:4] == after[:4] == b"PK\x03\x04":
        return _of_zips(before, after)
    try:
        one, other = before.decode("utf-8"), after.decode("utf-8")
    except UnicodeDecodeError:
        return []
    if one[:1] == other[:1] == "{":
        try:
            return list(_of_values(json.loads(one), json.loads(other), ""))
        except (ValueError, RecursionError):
            pass
    return _of_lines(one.splitlines(), other.splitlines())


def _of_values(one: Any, other: Any, where: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in list(one) + [k for k in other if k not in one]:
            inner = "{}.{}".format(where, key) if where else str(key)
            for said in _of_values(one.get(key, _ABSENT), other.get(key, _ABSENT), inner):
                yield said
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for k in range(len(one)):
            for said in _of_values(one[k], other[k], "{}[{}]".format(where, k)):
                yield said
    elif one is _ABSENT or other is _ABSENT or one != other:
        yield "{}: {} → {}".format(where, _spelled(one), _spelled(other))


def _spelled(value: Any) -> str:
    return "nothing" if value is _ABSENT else wire.plain(json.dumps(value, ensure_ascii=False), VALUE)


def _of_lines(one: List[str], other: List[str]) -> List[str]:
    """Tell lines by their names, `name=value`, the k-th of a name beside the k-th."""
    left, right = _named(one), _named(other)
    found = []
    for name in list(left) + [n for n in right if n not in left]:
        mine, theirs = left.get(name), right.get(name)
        if mine != theirs:
            said = [_ABSENT if side is None else side for side in (mine, theirs)]
            found.append("{}: {} → {}".format(wire.plain(name, VALUE), _spelled(said[0]), _spelled(said[1])))
    return found


def _named(lines: List[str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    counts: Dict[str, int] = {}
    for line in lines:
        name, sign, value = line.partition("=")
        if not sign:
            name, value = line, ""
        k = counts[name] = counts.get(name, 0) + 1
        found[name if k == 1 else "{} ({})".format(name, k)] = value
    return found


def _of_zips(before: bytes, after: bytes) -> List[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(before)) as one, zipfile.ZipFile(io.BytesIO(after)) as other:
            left = {n.partition("/")[2] or n: one.read(n) for n in one.namelist()}
            right = {n.partition("/")[2] or n: other.read(n) for n in other.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
        return []
    return [
        "{}: {} → {} bytes".format(name, len(left.get(name, b"")), len(right.get(name, b"")))
        for name in list(left) + [n for n in right if n not in left]
        if left.get(name) != right.get(name)
    ]
