"""The proof that what is installed is what the wheels in the package store hold, byte for byte.

pip's report says what it would choose *now*. Only this check shows that it is what is installed: the
hashes in the RECORD of the wheel in the store, never those of the installed RECORD, against the files.
Exempt is what installers make themselves: scripts' first lines, .pyc, INSTALLER, REQUESTED, direct_url.json.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from timeproof.base.digests import Digest
from timeproof.environments.interpreter.inspection import Distribution, Inspection
from timeproof.store.packages import PackageStore

_CODE = re.compile(r"\.(py|pyc|pyd|pth|so(\.\d+)*)$")
_BATCH = 64  # files a task: enough to make a task's own cost vanish
# Made by virtualenv beside the distributions, in every environment of its.
_MADE_BY_TOOLS = frozenset({"_virtualenv.py", "_virtualenv.pth"})
_SHOWN = 3  # findings named for each distribution; the rest is counted


@dataclass(frozen=True, slots=True)
class _Expected:
    """One file of a wheel: where it should be installed, and what it should hash to."""

    path: str
    shown: str
    algorithm: str
    value: bytes
    body: bytes | None = None  # for a script: what follows its first line


def read_record(folder: Path, metadata: str) -> list[str]:
    """The paths in an installed RECORD, as absolute paths, normalised. Empty where there is none."""
    try:
        text = (folder / metadata / "RECORD").read_text("utf-8", "replace")
    except OSError:
        return []
    return [os.path.normpath(folder / row[0]) for row in csv.reader(io.StringIO(text)) if row]


class _Places:
    """Where an installer puts the files of a wheel."""

    def __init__(self, found: Inspection, dist: Distribution) -> None:
        self.found, self.dist = found, dist
        self.installed = read_record(dist.folder, dist.metadata)

    def of(self, name: str) -> str:
        """The absolute path for a wheel's member."""
        root, _, rest = name.partition("/")
        if not root.endswith(".data"):
            return os.path.normpath(self.dist.folder / name)
        scheme, _, rest = rest.partition("/")
        if scheme in {"purelib", "platlib"}:
            return os.path.normpath(self.dist.folder / rest)
        known = {"scripts": self.found.interpreter["scripts"], "data": self.found.interpreter["data"]}
        usual = os.path.join(known.get(scheme) or "/nowhere", rest)
        if os.path.exists(usual):
            return os.path.normpath(usual)
        # A user install, or headers: the installer wrote down where it put them.
        return next((p for p in self.installed if p.endswith(os.sep + rest)), usual)


def _expected(wheel: zipfile.ZipFile, places: _Places) -> Iterator[_Expected]:
    record = next(n for n in wheel.namelist() if n.endswith(".dist-info/RECORD") and n.count("/") == 1)
    for row in csv.reader(io.TextIOWrapper(wheel.open(record), "utf-8")):
        if not row or row[0] == record or row[0].startswith(record + "."):  # RECORD.jws signs it
            continue
        name, algorithm, value = row[0], *row[1].partition("=")[::2]
        body = None
        if ".data/scripts/" in name:
            data = wheel.read(name)
            if data.startswith(b"#!python"):
                body = data.partition(b"\n")[2]
        if not value:
            algorithm, raw = "sha256", hashlib.sha256(wheel.read(name)).digest()
        else:
            raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        yield _Expected(places.of(name), name, algorithm, raw, body)


def _differs(expected: _Expected) -> str | None:
    try:
        with open(expected.path, "rb") as stream:
            if expected.body is not None:
                stream.readline()
                return None if stream.read() == expected.body else f"{expected.shown} is not the wheel's"
            actual = hashlib.file_digest(stream, expected.algorithm).digest()
    except OSError:
        return f"{expected.shown} is missing"
    return None if actual == expected.value else f"{expected.shown} is not the wheel's"


def _summary(findings: Sequence[str]) -> str:
    more = f" and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
    return ", ".join(findings[:_SHOWN]) + more


def _stray_code(folder: Path, known: set[str]) -> Iterator[str]:
    """Code in a site folder that no distribution brought: it runs here, and would not in the image."""
    for here, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f != "__pycache__"]
        for name in names:
            path = os.path.join(here, name)
            if _CODE.search(name) and path not in known and name not in _MADE_BY_TOOLS:
                yield path


def _grouped(folder: Path, paths: Iterable[str]) -> list[str]:
    """One line for each package or module at the top of a site folder, with the files that are too many."""
    groups: dict[str, list[str]] = {}
    for path in sorted(paths):
        relative = os.path.relpath(path, folder)
        groups.setdefault(relative.split(os.sep)[0], []).append(relative)
    return [f"{folder}: {_summary(names)}" for names in groups.values()]


def prove(
    found: Inspection,
    wheels: Iterable[tuple[Distribution, Digest, str]],
    store: PackageStore,
    *,
    also_known: Iterable[str] = (),
) -> tuple[dict[str, str], list[str]]:
    """Compare every installed file of some distributions with the wheels in the store.

    Args:
        wheels: each distribution with the digest and file name of its wheel.
        also_known: absolute paths of files that others account for, such as conda's own packages.

    Returns:
        What differs, by distribution key; and code in the same site folders that no wheel brought, one
        line for each package.

    Raises:
        Missing, NotRegular, DigestMismatch: a wheel in the store is not what its name says.
    """
    captured = list(wheels)
    known = {os.path.normpath(p) for p in also_known}
    tasks: list[tuple[str, list[_Expected]]] = []
    findings: dict[str, list[str]] = {}
    for dist, digest, file_name in captured:
        with store.open_verified(digest, file_name) as stream, zipfile.ZipFile(stream) as archive:
            rows = list(_expected(archive, _Places(found, dist)))
        known.update(row.path for row in rows)
        tasks += [(dist.key, rows[at : at + _BATCH]) for at in range(0, len(rows), _BATCH)]

    def check(task: tuple[str, list[_Expected]]) -> tuple[str, list[str]]:
        return task[0], [text for row in task[1] if (text := _differs(row)) is not None]

    # Hashing lets go of the interpreter's lock, so that threads use every core.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for key, texts in pool.map(check, tasks):
            if texts:
                findings.setdefault(key, []).extend(texts)

    keys = {dist.key for dist, _, _ in captured}
    for other in found.distributions:
        if other.key not in keys:
            known.update(read_record(other.folder, other.metadata))
    folders = sorted({dist.folder for dist, _, _ in captured})
    stray = [line for folder in folders for line in _grouped(folder, _stray_code(folder, known))]
    return {key: _summary(texts) for key, texts in findings.items()}, stray
