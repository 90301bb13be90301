"""Whether a model's file stays the same, byte for byte, when this version of its framework saves it again.

This is done only where an output differs from the recorded one: what a loader reads wrongly or drops shows in
what it writes. The module knows the shapes of the formats (JSON, a zip, lines of text), not their meaning.
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

SHOWN = 8  # differences that are reported
VALUE = 60  # characters of each side
READ = 64 * 2**20  # bytes; of a larger file only whether it is the same is reported

_ABSENT = object()


def ask(save: Callable[[str, str], None], path: str) -> Dict[str, Any]:
    """Load the file at `path`, save it again, and compare the two files.

    Args:
        save: (from, to): loads the model in the one file and writes it into the other, whose ending says the
            format.
    """
    folder = tempfile.mkdtemp(prefix="resaved-")
    try:
        # The same file name: torch writes it into the file.
        again = os.path.join(folder, os.path.basename(path))
        save(path, again)
        return _compare_files(path, again)
    except BaseException as error:  # whatever a framework raises is a result
        return {"status": "failed", "reason": wire.plain("{}: {}".format(type(error).__name__, error), 300)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare_files(path: str, again: str) -> Dict[str, Any]:
    if os.path.getsize(path) > READ or os.path.getsize(again) > READ:
        with open(path, "rb") as original, open(again, "rb") as resaved:
            pairs = itertools.zip_longest(_pieces(original), _pieces(resaved))
            same = all(before == after for before, after in pairs)
        return {"status": "identical"} if same else _differs([])
    with open(path, "rb") as stream:
        before = stream.read()
    with open(again, "rb") as stream:
        after = stream.read()
    return {"status": "identical"} if before == after else _differs(differences(before, after))


def _pieces(stream: Any) -> Iterator[bytes]:
    return iter(lambda: stream.read(1 << 20), b"")


def _differs(differences: List[str]) -> Dict[str, Any]:
    sentences = differences[:SHOWN] + (
        ["and {} more".format(len(differences) - SHOWN)] if len(differences) > SHOWN else []
    )
    return {"status": "differs", "differences": sentences}


def differences(before: bytes, after: bytes) -> List[str]:
    """Say in words where the contents of two files differ; empty where they do not, or in no known format."""
    if before[:4] == after[:4] == b"PK\x03\x04":
        return _of_zips(before, after)
    try:
        original, resaved = before.decode("utf-8"), after.decode("utf-8")
    except UnicodeDecodeError:
        return []
    if original[:1] == resaved[:1] == "{":
        try:
            return list(_of_values(json.loads(original), json.loads(resaved), ""))
        except (ValueError, RecursionError):
            pass
    return _of_lines(original.splitlines(), resaved.splitlines())


def _of_values(original: Any, resaved: Any, where: str) -> Iterator[str]:
    if isinstance(original, dict) and isinstance(resaved, dict):
        for key in list(original) + [k for k in resaved if k not in original]:
            inner = "{}.{}".format(where, key) if where else str(key)
            for sentence in _of_values(original.get(key, _ABSENT), resaved.get(key, _ABSENT), inner):
                yield sentence
    elif isinstance(original, list) and isinstance(resaved, list) and len(original) == len(resaved):
        for k in range(len(original)):
            for sentence in _of_values(original[k], resaved[k], "{}[{}]".format(where, k)):
                yield sentence
    elif original is _ABSENT or resaved is _ABSENT or original != resaved:
        yield "{}: {} → {}".format(where, _spelled(original), _spelled(resaved))


def _spelled(value: Any) -> str:
    return "nothing" if value is _ABSENT else wire.plain(json.dumps(value, ensure_ascii=False), VALUE)


def _of_lines(original: List[str], resaved: List[str]) -> List[str]:
    """Compare lines by their names, `name=value`: the k-th line of a name with the k-th."""
    before, after = _named(original), _named(resaved)
    sentences = []
    for name in list(before) + [n for n in after if n not in before]:
        value, changed = before.get(name), after.get(name)
        if value != changed:
            sides = [_ABSENT if side is None else side for side in (value, changed)]
            words = (wire.plain(name, VALUE), _spelled(sides[0]), _spelled(sides[1]))
            sentences.append("{}: {} → {}".format(*words))
    return sentences


def _named(lines: List[str]) -> Dict[str, str]:
    values: Dict[str, str] = {}
    counts: Dict[str, int] = {}
    for line in lines:
        name, sign, value = line.partition("=")
        if not sign:
            name, value = line, ""
        k = counts[name] = counts.get(name, 0) + 1
        values[name if k == 1 else "{} ({})".format(name, k)] = value
    return values


def _of_zips(before: bytes, after: bytes) -> List[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(before)) as original, zipfile.ZipFile(io.BytesIO(after)) as resaved:
            members = {n.partition("/")[2] or n: original.read(n) for n in original.namelist()}
            changed = {n.partition("/")[2] or n: resaved.read(n) for n in resaved.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
        return []
    return [
        "{}: {} → {} bytes".format(name, len(members.get(name, b"")), len(changed.get(name, b"")))
        for name in list(members) + [n for n in changed if n not in members]
        if members.get(name) != changed.get(name)
    ]
