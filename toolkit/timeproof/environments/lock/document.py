"""conda-lock.yml, in conda-lock's own v1 schema, with SHA-256 and a placeholder place for every package.

Bytes in, frozen values out, and back; no IO here. A lock names contents, not places: each URL that we
write starts with `${TIMEPROOF_STORE}/`, which conda-lock and pip expand by themselves.

The spelling is our own, JSON's strings inside YAML: an environment's identity is the SHA-256 of these
bytes, and must not depend on the habits of a YAML library's release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from timeproof.base.digests import Digest
from timeproof.store.package_paths import check_file_name, package_path

STORE = "${TIMEPROOF_STORE}"
BASE_KEY = "timeproof-base"
PROBE_KEY = "timeproof-probe"
DATED_KEY = "timeproof-dated"
SIZES_KEY = "timeproof-bytes"
_SHORT = 12  # hex digits of a digest that tell a lock's packages apart
SIZE = rf"[0-9a-f]{{{_SHORT}}}=[0-9]{{1,15}}"  # of one package, in bytes

_HEADER = (
    "# The exact environment: every package by SHA-256. Places are placeholders: set TIMEPROOF_STORE to the\n"
    "# URL of a package store (file:///.../packages), and stock conda-lock and pip read this file as it is.\n"
)


@dataclass(frozen=True, slots=True)
class Package:
    """One locked file. `dependencies` are (name, version specifier) pairs, sorted."""

    name: str
    version: str
    manager: Literal["conda", "pip"]
    platform: str
    url: str
    sha256: Digest
    file_name: str
    dependencies: tuple[tuple[str, str], ...] = ()
    md5: str | None = None
    category: str = "main"
    optional: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies a package in a lock: no two have the same."""
        return self.platform, self.manager, self.name

    @classmethod
    def stored(
        cls,
        *,
        name: str,
        version: str,
        manager: Literal["conda", "pip"],
        platform: str,
        sha256: Digest,
        file_name: str,
        dependencies: Iterable[tuple[str, str]] = (),
        md5: str | None = None,
        category: str = "main",
    ) -> Package:
        """A package whose place is the package store."""
        return cls(
            name=name,
            version=version,
            manager=manager,
            platform=platform,
            url=f"{STORE}/{package_path(sha256, check_file_name(file_name))}",
            sha256=sha256,
            file_name=file_name,
            dependencies=tuple(sorted(dependencies)),
            md5=md5,
            category=category,
        )


_PAIR = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def _text(value: str) -> str:
    # JSON and YAML agree on strings, but for characters beyond U+FFFF, which YAML does not spell as pairs.
    def joined(pair: re.Match[str]) -> str:
        high, low = int(pair[1], 16), int(pair[2], 16)
        return f"\\U{0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF):08x}"

    return _PAIR.sub(joined, json.dumps(value, ensure_ascii=True).replace("\x7f", "\\x7f"))


def _mapping(pairs: Sequence[tuple[str, str]], indent: str) -> str:
    if not pairs:
        return " {}\n"
    return "\n" + "".join(f"{indent}{_text(k)}: {_text(v)}\n" for k, v in pairs)


def _list(values: Sequence[str], indent: str) -> str:
    if not values:
        return " []\n"
    return "\n" + "".join(f"{indent}- {_text(v)}\n" for v in values)


@dataclass(frozen=True, slots=True)
class Lock:
    """Every package of an environment, for one or several platforms.

    Laws: `read_lock(lock.to_bytes()) == lock`, and `read_lock(data).to_bytes() == data`.
    """

    packages: tuple[Package, ...]
    platforms: tuple[str, ...]
    channels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ("environment.yml",)
    content_hash: tuple[tuple[str, str], ...] = ()
    custom: tuple[tuple[str, str], ...] = ()
    read_from: bytes | None = field(default=None, compare=False, repr=False)

    @classmethod
    def make(
        cls,
        packages: Iterable[Package],
        *,
        channels: Sequence[str] = (),
        content_hash: Iterable[tuple[str, str]] = (),
        platforms: Sequence[str] = (),
        custom: Iterable[tuple[str, str]] = (),
    ) -> Lock:
        """Put packages into their order. `content_hash`: by default, for each platform, of its packages."""
        ordered = tuple(sorted(packages, key=lambda p: (p.platform, p.manager, p.name, p.version)))
        names = tuple(sorted({p.platform for p in ordered} | set(platforms)))
        hashes = dict(content_hash) or {
            name: Digest.of(
                "".join(
                    f"{p.name}={p.version}={p.sha256.hex}\n" for p in ordered if p.platform == name
                ).encode()
            ).hex
            for name in names
        }
        return cls(
            packages=ordered,
            platforms=names,
            channels=tuple(channels),
            content_hash=tuple(sorted(hashes.items())),
            custom=tuple(sorted(custom)),
        )

    def to_bytes(self) -> bytes:
        """The exact bytes that were read, or our spelling of what was made."""
        return self.read_from if self.read_from is not None else self._spell()

    def _spell(self) -> bytes:
        out = [_HEADER, "version: 1\nmetadata:\n  content_hash:", _mapping(self.content_hash, "    ")]
        out.append("  channels:")
        if self.channels:
            out.append("\n")
            out += [f"  - url: {_text(c)}\n    used_env_vars: []\n" for c in self.channels]
        else:
            out.append(" []\n")
        out += ["  platforms:", _list(self.platforms, "  "), "  sources:", _list(self.sources, "  ")]
        if self.custom:
            out += ["  custom_metadata:", _mapping(self.custom, "    ")]
        out.append("package:" + ("\n" if self.packages else " []\n"))
        for p in self.packages:
            out.append(f"- name: {_text(p.name)}\n  version: {_text(p.version)}\n  manager: {p.manager}\n")
            out.append(f"  platform: {_text(p.platform)}\n")
            out.append("  dependencies:" + _mapping(p.dependencies, "    "))
            out.append(f"  url: {_text(p.url)}\n  hash:\n")
            if p.md5 is not None:
                out.append(f"    md5: {_text(p.md5)}\n")
            out.append(f"    sha256: {_text(p.sha256.hex)}\n")
            out.append(f"  category: {_text(p.category)}\n  optional: {'true' if p.optional else 'false'}\n")
        return "".join(out).encode("ascii")

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the exact bytes: the environment's identity."""
        return Digest.of(self.to_bytes())

    def for_platform(self, platform: str) -> tuple[Package, ...]:
        return tuple(p for p in self.packages if p.platform == platform)

    @property
    def base(self) -> tuple[Digest, str] | None:
        """The base root filesystem in the package store, as (digest, file name), if the lock names one."""
        text = dict(self.custom).get(BASE_KEY)
        if text is None:
            return None
        digest, _, file_name = text.partition(" ")
        return Digest.parse(digest), file_name

    def with_base(self, digest: Digest, file_name: str) -> Lock:
        """The same packages over another base root filesystem."""
        custom = dict(self.custom) | {BASE_KEY: f"{digest} {check_file_name(file_name)}"}
        return replace(self, custom=tuple(sorted(custom.items())), read_from=None)

    @property
    def probe(self) -> Digest | None:
        """The probe that the environment is built with, as the SHA-256 of its tar, if the lock names one."""
        text = dict(self.custom).get(PROBE_KEY)
        return None if text is None else Digest.parse(text)

    def with_probe(self, digest: Digest) -> Lock:
        """The same packages with another probe: another environment, for the probe is part of an answer."""
        custom = dict(self.custom) | {PROBE_KEY: str(digest)}
        return replace(self, custom=tuple(sorted(custom.items())), read_from=None)

    @property
    def dated(self) -> str | None:
        """The date of the environment's youngest package (ISO 8601), as far as they have dates."""
        return dict(self.custom).get(DATED_KEY)

    def with_date(self, date: str | None) -> Lock:
        """The same packages with that date; None leaves it open."""
        custom = {k: v for k, v in self.custom if k != DATED_KEY} | ({DATED_KEY: date} if date else {})
        return replace(self, custom=tuple(sorted(custom.items())), read_from=None)

    @property
    def sizes(self) -> dict[Digest, int]:
        """The bytes of each package whose size the lock names: a hint, only for plans."""
        sizes = dict(pair.split("=") for pair in dict(self.custom).get(SIZES_KEY, "").split())
        short = {p.sha256: p.sha256.hex[:_SHORT] for p in self.packages}
        return {digest: int(sizes[key]) for digest, key in short.items() if key in sizes}

    def with_sizes(self, sizes: Mapping[Digest, int]) -> Lock:
        """The same packages with these sizes; the other packages have none."""
        wanted = {p.sha256 for p in self.packages}
        text = " ".join(f"{d.hex[:_SHORT]}={n}" for d, n in sorted(sizes.items(), key=_hex) if d in wanted)
        custom = {k: v for k, v in self.custom if k != SIZES_KEY} | ({SIZES_KEY: text} if text else {})
        return replace(self, custom=tuple(sorted(custom.items())), read_from=None)


def _hex(item: tuple[Digest, int]) -> str:
    return item[0].hex
