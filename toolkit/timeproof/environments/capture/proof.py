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
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_NAMED = 3  # findings named for each distribution; the rest is counted


@dataclass(frozen=True, slots=True)
class _ExpectedFile:
    """One file of a wheel: where it should be installed, and what it should hash to."""

    path: str
    name: str  # in the wheel
    algorithm: str
    digest: bytes
    body: bytes | None = None  # for a script: what follows its first line

    def difference(self) -> str | None:
        """How the installed file differs from the wheel's; None where it doesn't."""
        try:
            with open(self.path, "rb") as stream:
                if self.body is not None:
                    stream.readline()
                    equal = stream.read() == self.body
                else:
                    equal = hashlib.file_digest(stream, self.algorithm).digest() == self.digest
        except OSError:
            return f"{self.name} is missing"
        return None if equal else f"{self.name} is not the wheel's"


def read_record(folder: Path, metadata: str) -> list[str]:
    """The paths in an installed RECORD, as absolute paths, normalised. Empty where there is none."""
    try:
        text = (folder / metadata / "RECORD").read_text("utf-8", "replace")
    except OSError:
        return []
    return [os.path.normpath(folder / row[0]) for row in csv.reader(io.StringIO(text)) if row]


class _InstallPaths:
    """Where an installer puts the files of a wheel."""

    def __init__(self, interpreter: Mapping[str, object], dist: Distribution) -> None:
        self._schemes = {"scripts": interpreter["scripts"], "data": interpreter["data"]}
        self._folder = dist.folder
        self._recorded = read_record(dist.folder, dist.metadata)

    def of(self, name: str) -> str:
        """The absolute path for a wheel's member."""
        root, _, rest = name.partition("/")
        if not root.endswith(".data"):
            return os.path.normpath(self._folder / name)
        scheme, _, rest = rest.partition("/")
        if scheme in {"purelib", "platlib"}:
            return os.path.normpath(self._folder / rest)
        usual = os.path.join(str(self._schemes.get(scheme) or "/nowhere"), rest)
        if os.path.exists(usual):
            return os.path.normpath(usual)
        # A user install, or headers: the installer wrote down where it put them.
        return next((p for p in self._recorded if p.endswith(os.sep + rest)), usual)


def _expected_files(wheel: zipfile.ZipFile, paths: _InstallPaths) -> Iterator[_ExpectedFile]:
    record = next(n for n in wheel.namelist() if n.endswith(".dist-info/RECORD") and n.count("/") == 1)
    for row in csv.reader(io.TextIOWrapper(wheel.open(record), "utf-8")):
        if not row or row[0] == record or row[0].startswith(record + "."):  # RECORD.jws signs it
            continue
        name, algorithm, value = row[0], *row[1].partition("=")[::2]
        if value:
            digest = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        else:
            algorithm, digest = "sha256", hashlib.sha256(wheel.read(name)).digest()
        yield _ExpectedFile(paths.of(name), name, algorithm, digest, _script_body(wheel, name))


def _script_body(wheel: zipfile.ZipFile, name: str) -> bytes | None:
    """What follows the first line of a script, which installers replace; None for other files."""
    if ".data/scripts/" not in name:
        return None
    data = wheel.read(name)
    return data.partition(b"\n")[2] if data.startswith(b"#!python") else None


def _summary(findings: Sequence[str]) -> str:
    more = f" and {len(findings) - _NAMED} more" if len(findings) > _NAMED else ""
    return ", ".join(findings[:_NAMED]) + more


def _stray_code(folder: Path, accounted: set[str]) -> Iterator[str]:
    """Code in a site folder that no distribution brought: it runs now, and would not in the image."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f != "__pycache__"]
        for name in names:
            path = os.path.join(parent, name)
            if _CODE.search(name) and path not in accounted and name not in _MADE_BY_TOOLS:
                yield path


def _grouped(folder: Path, paths: Iterable[str]) -> list[str]:
    """One line for each package or module at the top of a site folder, with the files that are too many."""
    groups: dict[str, list[str]] = {}
    for path in sorted(paths):
        relative = os.path.relpath(path, folder)
        groups.setdefault(relative.split(os.sep)[0], []).append(relative)
    return [f"{folder}: {_summary(names)}" for names in groups.values()]


def prove(
    inspection: Inspection,
    wheels: Iterable[tuple[Distribution, Digest, str]],
    store: PackageStore,
    *,
    accounted: Iterable[str] = (),
) -> tuple[dict[str, str], list[str]]:
    """Compare every installed file of some distributions with the wheels in the store.

    Args:
        wheels: each distribution with the digest and file name of its wheel.
        accounted: absolute paths of files that others account for, such as conda's own packages.

    Returns:
        The differences, by distribution key; and code in the same site folders that no wheel brought, one
        line for each package.

    Raises:
        Missing, NotRegular, DigestMismatch: a wheel in the store is not what its name says.
    """
    captured = list(wheels)
    expected: dict[str, list[_ExpectedFile]] = {}
    for dist, digest, file_name in captured:
        paths = _InstallPaths(inspection.interpreter, dist)
        with store.open_verified(digest, file_name) as stream, zipfile.ZipFile(stream) as archive:
            expected[dist.key] = list(_expected_files(archive, paths))
    brought = {os.path.normpath(path) for path in accounted}
    brought.update(file.path for files in expected.values() for file in files)
    for dist in inspection.distributions:
        if dist.key not in expected:
            brought.update(read_record(dist.folder, dist.metadata))
    folders = sorted({dist.folder for dist, _, _ in captured})
    stray = [line for folder in folders for line in _grouped(folder, _stray_code(folder, brought))]
    return {key: _summary(findings) for key, findings in _differences(expected).items()}, stray


def _differences(expected: Mapping[str, Sequence[_ExpectedFile]]) -> dict[str, list[str]]:
    """The findings of each distribution whose files differ."""
    batches = [
        (key, files[start : start + _BATCH])
        for key, files in expected.items()
        for start in range(0, len(files), _BATCH)
    ]

    def compare(batch: tuple[str, Sequence[_ExpectedFile]]) -> list[str]:
        return [finding for file in batch[1] if (finding := file.difference()) is not None]

    findings: dict[str, list[str]] = {}
    # Hashing lets go of the interpreter's lock, so that threads use every core.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for (key, _), lines in zip(batches, pool.map(compare, batches), strict=True):
            if lines:
                findings.setdefault(key, []).extend(lines)
    return findings
