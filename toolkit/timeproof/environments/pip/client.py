"""The toolkit's own pip: lists the wheels that it would choose, and fetches some. Installs nothing.

Indexes, mirrors, proxies and certificates are pip's own configuration; none is named here.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from timeproof.base import proc
from timeproof.base.digests import Digest
from timeproof.errors import FetchFailed, ToolFailed
from timeproof.store.package_paths import check_file_name

_NO_MATCH = re.compile(r"No matching distribution found for (\S+)")
QUIET = ("--disable-pip-version-check", "--no-input", "--no-color")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that pip would take. `url` is where it is now; it is used once, and stored nowhere."""

    name: str
    version: str
    file_name: str
    sha256: Digest | None
    url: str
    requires: tuple[str, ...]

    @property
    def key(self) -> str:
        return canonicalize_name(self.name)


def _pip(*words: str | Path, cwd: Path, timeout: float, on_line: Callable[[str], None] | None) -> None:
    # The user's indexes count here; their rules about where packages are installed don't: nothing is.
    env = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0"}
    argv = [sys.executable, "-I", "-m", "pip", *QUIET, *words]
    proc.run(argv, cwd=cwd, env=env, timeout=timeout, on_line=on_line)


def platform_options(version: str, machine: str, glibc: str) -> list[str | Path]:
    """Options of pip's commands that describe an interpreter which is too old to run pip.

    Args:
        version: such as `3.6.15`.
        machine: such as `x86_64`.
        glibc: such as `2.36`.
    """
    short = "".join(version.split(".")[:2])
    options: list[str | Path] = [
        "--python-version",
        ".".join(version.split(".")[:2]),
        "--implementation",
        "cp",
    ]
    for abi in (f"cp{short}m" if int(short[1:]) < 8 else f"cp{short}", "abi3", "none"):
        options += ["--abi", abi]
    newest = int(glibc.split(".")[1]) if glibc.startswith("2.") else 17
    for minor in range(newest, 4, -1):
        options += ["--platform", f"manylinux_2_{minor}_{machine}"]
    for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux"):
        options += ["--platform", f"{name}_{machine}"]
    return options


def wheel_of(item: dict[str, Any]) -> Wheel:
    """A wheel that pip's report names."""
    info = item["download_info"]
    archive = info.get("archive_info") or {}
    digest = (archive.get("hashes") or {}).get("sha256")
    if digest is None and str(archive.get("hash", "")).startswith("sha256="):
        digest = archive["hash"].removeprefix("sha256=")
    return Wheel(
        name=item["metadata"]["name"],
        version=item["metadata"]["version"],
        file_name=unquote(urlsplit(info["url"]).path.rsplit("/", 1)[-1]),
        sha256=None if digest is None else Digest(digest),
        url=info["url"],
        requires=tuple(item["metadata"].get("requires_dist") or ()),
    )


@dataclass(frozen=True, slots=True)
class Target:
    """The interpreter that wheels are chosen for."""

    python: Path
    version: str
    machine: str
    glibc: str

    def words(self, command: str) -> tuple[list[str | Path], list[str | Path]]:
        """Options that go before and after the command's name."""
        if SpecifierSet(metadata("pip")["Requires-Python"]).contains(self.version, prereleases=True):
            return ["--python", self.python], []
        after = platform_options(self.version, self.machine, self.glibc)
        # pip demands a folder with these options; with --dry-run it stays empty.
        return [], [*after, "--target", "."] if command == "install" else after


def report(
    target: Target,
    requirements: Sequence[str],
    *,
    on_line: Callable[[str], None] | None = None,
) -> list[Wheel]:
    """Ask which wheels pip would install now for `requirements`: exactly these, not what they depend on.

    Only wheels count, so nothing is built. Raises ToolFailed: pip found none; its last lines say why.
    """
    before, after = target.words("install")
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        listing, out = Path(scratch, "requirements.txt"), Path(scratch, "report.json")
        listing.write_text("".join(f"{r}\n" for r in requirements))
        words = [*before, "install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--no-deps"]
        words += after
        words += ["--report", out, "-r", listing]
        _pip(*words, cwd=Path(scratch), timeout=1800.0, on_line=on_line)
        answer = json.loads(out.read_bytes())
    return [wheel_of(item) for item in answer["install"]]


def report_each(
    target: Target, requirements: Sequence[str], *, on_line: Callable[[str], None] | None = None
) -> tuple[list[Wheel], list[str]]:
    """As `report`, but go on where the index has no wheel for some: they come back as the second list."""
    remaining = list(requirements)
    absent: list[str] = []
    while remaining:
        try:
            return report(target, remaining, on_line=on_line), absent
        except ToolFailed as error:
            names = {m.partition("(")[0] for m in _NO_MATCH.findall(error.tail)}
            unavailable = [r for r in remaining if r in names]
            if not unavailable:
                raise
            absent += unavailable
            remaining = [r for r in remaining if r not in unavailable]
    return [], absent


@dataclass(frozen=True, slots=True)
class Pin:
    """One wheel by name, version, file name and hash."""

    name: str
    version: str
    file_name: str
    sha256: Digest


def _tag_options(pins: Sequence[Pin], python_version: str) -> list[str | Path]:
    platforms, abis = set(), {"none", "abi3"}
    for pin in pins:
        for tag in parse_wheel_filename(pin.file_name)[3]:
            platforms.add(tag.platform)
            abis.add(tag.abi)
    options: list[str | Path] = ["--python-version", python_version, "--implementation", "cp"]
    for platform in sorted(platforms - {"any"}) or ["any"]:
        options += ["--platform", platform]
    for abi in sorted(abis):
        options += ["--abi", abi]
    return options


def download(
    pins: Sequence[Pin],
    python_version: str,
    folder: Path,
    *,
    links: Iterable[Path] = (),
    on_line: Callable[[str], None] | None = None,
) -> dict[Digest, Path]:
    """Fetch wheels of one platform into `folder`, by hash. Any interpreter's wheels, on any machine.

    Args:
        python_version: such as `3.11`: whose wheels they are.
        links: folders with further wheels.

    Raises:
        FetchFailed: names the files; pip's own words follow.
    """
    for pin in pins:
        try:
            parse_wheel_filename(check_file_name(pin.file_name))
        except InvalidWheelFilename:
            raise FetchFailed(f"{pin.file_name} is not a wheel", advice="only wheels can be locked") from None
    listing = folder / "requirements.txt"
    listing.write_text("".join(f"{p.name}==={p.version} --hash={p.sha256}\n" for p in pins))
    words: list[str | Path] = ["download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    words += _tag_options(pins, python_version)
    for link in links:
        words += ["--find-links", link]
    try:
        _pip(*words, "--dest", folder, "-r", listing, cwd=folder, timeout=3600.0, on_line=on_line)
    except ToolFailed as error:
        names = ", ".join(p.file_name for p in pins if f"{p.name}==={p.version}" in error.tail)
        raise FetchFailed(
            f"pip could not fetch {names or f'{len(pins)} wheels'} with the locked SHA-256:\n{error.tail}",
            advice="see `pip config list` for the indexes in use, or copy a package store that is whole",
        ) from error
    finally:
        listing.unlink()
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb", buffering=0) as stream:
            files[Digest.of_stream(stream)[0]] = path
    if missing := [p.file_name for p in pins if p.sha256 not in files]:
        raise FetchFailed(
            f"pip did not fetch {', '.join(missing)}", advice="check the package indexes in use"
        )
    return files
