"""Reads conda-lock.yml: strict, bounded, every problem collected. No IO here."""

from __future__ import annotations

import re
import warnings
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

from timeproof.base.digests import Digest
from timeproof.environments.lock.document import (
    BASE_KEY,
    DATED_KEY,
    PROBE_KEY,
    SIZE,
    SIZES_KEY,
    STORE,
    Lock,
    Package,
)
from timeproof.environments.lock.strict_yaml import load_yaml
from timeproof.errors import LockFailed, Malformed, NewerSchema
from timeproof.store.package_paths import check_file_name, package_path

# Names and versions end up in requirement files and on command lines: nothing but these characters.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]*")
_PLATFORM = re.compile(r"[a-z0-9]+-[a-z0-9_]+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_KEYS = {"name", "version", "manager", "platform", "dependencies", "url", "hash", "category", "optional"}
_MAY = _KEYS | {"source", "build"}
_TOP = {"version", "metadata", "package"}


class _Reader:
    def __init__(self, path: object) -> None:
        self.path = path
        self.issues: list[str] = []
        self.md5_only: list[str] = []

    def mapping(self, value: Any, where: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.issues.append(f"{where} is {type(value).__name__}, not a mapping")
        return {}

    def sequence(self, value: Any, where: str) -> list[Any]:
        if isinstance(value, list):
            return value
        self.issues.append(f"{where} is {type(value).__name__}, not a list")
        return []

    def text(self, value: Any, where: str, shape: re.Pattern[str] | None = None) -> str:
        if not isinstance(value, str):
            self.issues.append(f"{where} is {type(value).__name__}, not a string")
            return ""
        if shape is not None and not shape.fullmatch(value):
            self.issues.append(f"{where} is {value[:80]!r}")
            return ""
        return value

    def texts(self, value: Any, where: str) -> tuple[tuple[str, str], ...]:
        pairs = self.mapping(value, where).items()
        return tuple(sorted((k, self.text(v, f"{where}.{k}")) for k, v in pairs))

    def file_name(self, url: str, sha256: Digest, where: str) -> str:
        if url.startswith(STORE):
            name = url.rsplit("/", 1)[-1]
            if url != f"{STORE}/{package_path(sha256, name)}":
                self.issues.append(f"{where}.url is {url[:120]!r}, not a place in the package store")
            return name
        return check_file_name(unquote(urlsplit(url).path.rsplit("/", 1)[-1]))

    def package(self, value: Any, where: str) -> Package | None:
        before = len(self.issues)
        raw = self.package_fields(value, where)
        if len(self.issues) > before:
            return None
        name = self.text(raw["name"], f"{where}.name", _NAME)
        version = self.text(raw["version"], f"{where}.version", _VERSION)
        manager = self.text(raw["manager"], f"{where}.manager", re.compile("conda|pip"))
        platform = self.text(raw["platform"], f"{where}.platform", _PLATFORM)
        url = self.text(raw["url"], f"{where}.url")
        dependencies = self.texts(raw.get("dependencies", {}), f"{where}.dependencies")
        category = self.text(raw.get("category", "main"), f"{where}.category", _NAME)
        optional = raw.get("optional", False)
        if not isinstance(optional, bool):
            self.issues.append(f"{where}.optional is {type(optional).__name__}, not true or false")
        md5, sha256_hex = self.hashes(raw["hash"], f"{where}.hash")
        if sha256_hex is None:
            self.md5_only.append(f"{name} {version}")
            return None
        if len(self.issues) > before:
            return None
        sha256 = Digest(sha256_hex)
        return Package(
            name=name,
            version=version,
            manager=cast('Literal["conda", "pip"]', manager),
            platform=platform,
            url=url,
            sha256=sha256,
            file_name=self.file_name(url, sha256, where),
            dependencies=dependencies,
            md5=md5,
            category=category,
            optional=optional,
        )

    def package_fields(self, value: Any, where: str) -> dict[str, Any]:
        """A package's mapping; unknown and missing keys are issues."""
        raw = self.mapping(value, where)
        for key in sorted(set(raw) - _MAY):
            self.issues.append(f"{where}.{key} is unknown")
        for key in sorted(_KEYS - {"dependencies", "category", "optional"} - set(raw)):
            self.issues.append(f"{where}.{key} is missing")
        return raw

    def hashes(self, value: Any, where: str) -> tuple[str | None, str | None]:
        """The MD5 and the SHA-256 of a package, as hex; None for the one that is missing."""
        hashes = self.mapping(value, where)
        for key in sorted(set(hashes) - {"md5", "sha256"}):
            self.issues.append(f"{where}.{key} is unknown")
        md5, sha256 = hashes.get("md5"), hashes.get("sha256")
        if md5 is not None:
            md5 = self.text(md5, f"{where}.md5", _MD5)
        if sha256 is not None:
            sha256 = self.text(sha256, f"{where}.sha256", _SHA256)
        return md5, sha256

    def channel(self, value: Any, where: str) -> str:
        if isinstance(value, dict):
            return self.text(value.get("url"), f"{where}.url")
        return self.text(value, where)

    def version(self, value: Any) -> None:
        """Check the schema's version. Raises NewerSchema."""
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            raise NewerSchema(self.path, value, 1)
        if value != 1 or isinstance(value, bool):
            self.issues.append(f"version is {value!r}, not 1")

    def check_packages(self, lock: Lock) -> None:
        """Note packages that come twice, and those of a platform that is not listed."""
        keys: set[tuple[str, str, str]] = set()
        for package in lock.packages:
            if package.key in keys:
                self.issues.append(f"{package.name} for {package.platform} ({package.manager}) stands twice")
            keys.add(package.key)
        for name in sorted({p.platform for p in lock.packages} - set(lock.platforms)):
            self.issues.append(f"packages for {name}, which metadata.platforms does not list")

    def raise_issues(self) -> None:
        """Raise Malformed, or LockFailed where only hashes are missing; return where there is no issue."""
        if self.issues:
            raise Malformed(self.path, self.issues)
        if self.md5_only:
            more = f" and {len(self.md5_only) - 5} more" if len(self.md5_only) > 5 else ""
            raise LockFailed(
                f"{self.path}: no SHA-256 for {', '.join(self.md5_only[:5])}{more}",
                advice="MD5 proves nothing: make the lock again with `timeproof lock`, "
                "to complete the hashes",
            )

    def custom(self, custom: tuple[tuple[str, str], ...]) -> None:
        date = dict(custom).get(DATED_KEY, "2000-01-01")
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date):
            self.issues.append(f"metadata.custom_metadata.{DATED_KEY} is {date[:100]!r}")
        sizes = dict(custom).get(SIZES_KEY, "")
        if sizes and not re.fullmatch(rf"{SIZE}( {SIZE})*", sizes):
            self.issues.append(f"metadata.custom_metadata.{SIZES_KEY} is {sizes[:100]!r}")
        probe = dict(custom).get(PROBE_KEY)
        if probe is not None and not _DIGEST.fullmatch(probe):
            self.issues.append(f"metadata.custom_metadata.{PROBE_KEY} is {probe[:100]!r}")
        text = dict(custom).get(BASE_KEY)
        if text is None:
            return
        digest, _, name = text.partition(" ")
        if not _DIGEST.fullmatch(digest):
            self.issues.append(f"metadata.custom_metadata.{BASE_KEY} is {text[:100]!r}")
        else:
            check_file_name(name)


def read_lock(data: bytes, path: object) -> Lock:
    """Read a conda-lock.yml, whoever wrote it; `path` is only for the messages.

    Raises:
        Malformed: not YAML, not schema v1, duplicate keys or packages; every problem is named.
        Limit: too many bytes or levels.
        NewerSchema: its version is above 1.
        UnsafePath: a file name that leads out of the store.
        LockFailed: packages without a SHA-256 (MD5 proves nothing).
    """
    reader = _Reader(path)
    top = load_yaml(data, path)
    if not isinstance(top, dict):
        raise Malformed(path, [f"it is {type(top).__name__}, not a mapping"])
    reader.version(top.get("version"))
    reader.issues += [f"{key} is unknown" for key in sorted(set(top) - _TOP)]
    meta = reader.mapping(top.get("metadata"), "metadata")
    platforms = reader.sequence(meta.get("platforms"), "metadata.platforms")
    sources = reader.sequence(meta.get("sources"), "metadata.sources")
    channels = reader.sequence(meta.get("channels"), "metadata.channels")
    custom = reader.texts(meta.get("custom_metadata") or {}, "metadata.custom_metadata")
    reader.custom(custom)
    rows = reader.sequence(top.get("package"), "package")
    packages = [p for i, row in enumerate(rows) if (p := reader.package(row, f"package[{i}]")) is not None]
    lock = Lock(
        packages=tuple(packages),
        platforms=tuple(reader.text(p, "metadata.platforms", _PLATFORM) for p in platforms),
        channels=tuple(reader.channel(c, "metadata.channels") for c in channels),
        sources=tuple(reader.text(s, "metadata.sources") for s in sources),
        content_hash=reader.texts(meta.get("content_hash"), "metadata.content_hash"),
        custom=custom,
        read_from=data,
    )
    reader.check_packages(lock)
    reader.raise_issues()
    return lock


def check_schema(lock: Lock) -> None:
    """Check the lock against conda-lock's own models. Takes a second or two: conda-lock is slow to import.

    Raises LockFailed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # conda-lock carries old copies of other projects, which warn
        from conda_lock.lockfile.v1.models import Lockfile  # type: ignore[import-untyped]
    from pydantic import ValidationError

    try:
        Lockfile.model_validate(load_yaml(lock.to_bytes(), "the lock"))
    except ValidationError as error:
        raise LockFailed(f"conda-lock's own models refuse the lock: {error}") from None
