"""What a stranger's `environment.yml` may ask for: packages by name, and channels. No IO here.

A requirement that is an address is built where it is solved. A variable in an address is sent to the server
of that address. A package repository that the file names can serve any code. Each must be allowed by name.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from timeproof.environments.lock.strict_yaml import load_yaml
from timeproof.errors import LockFailed

_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<braced>\w+)\})")
_HASH = re.compile(r"\s+--hash=sha256:[0-9a-f]{64}")  # conda-lock reads one behind a requirement
_PLATFORM = re.compile(r"[a-z0-9]+-[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the user has allowed by name."""

    urls: frozenset[str] = frozenset()  # distributions whose requirement may be an address
    repositories: frozenset[str] = frozenset()  # `pip-repositories`, exactly as they are written
    variables: frozenset[str] = frozenset()  # environment variables that addresses may hold

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(canonicalize_name(name) for name in self.urls)

    def expand(self, text: str) -> str:
        """Replace the allowed variables by their values; others stay as they are."""

        def value(match: re.Match[str]) -> str:
            name = match["plain"] or match["braced"]
            return os.environ.get(name, "") if name in self.variables else match[0]

        return _VARIABLE.sub(value, text)


NOTHING = Allowed()


def read_environment(data: bytes, path: Path, allowed: Allowed = NOTHING) -> dict[str, Any]:
    """Parse an environment.yml that asks only for what is plain or allowed.

    Raises LockFailed, which names each line that is not, with the option that allows it; Malformed, Limit.
    """
    value = load_yaml(data, path)
    if not isinstance(value, dict) or not isinstance(value.get("dependencies"), list):
        raise LockFailed(f"{path} is not an environment.yml: it needs a list of dependencies")
    check_allowed(value, path, allowed)
    return value


def check_selected(data: bytes, path: Path, platforms: list[str], allowed: Allowed) -> None:
    """Check what conda-lock reads for each platform: lines that end in a comment with a selector come and go.

    Raises what `read_environment` raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what conda-lock has vendored
        from conda_lock.src_parser.selectors import (  # type: ignore[import-untyped]
            filter_platform_selectors,
        )

    for platform in platforms:
        try:
            lines = list(filter_platform_selectors(data.decode("utf-8"), platform=platform))
        except (KeyError, UnicodeDecodeError):
            raise LockFailed(f"{path}: conda-lock knows no platform {platform}") from None
        read_environment("\n".join(lines).encode(), path, allowed)


def check_allowed(value: Mapping[str, Any], path: object, allowed: Allowed) -> None:
    """Check that a parsed environment.yml asks for nothing but what is allowed. Raises LockFailed."""
    problems = [
        *_variables(value, allowed),
        *_channels(value.get("channels", [])),
        *_repositories(value.get("pip-repositories", []), allowed),
        *_dependencies(value["dependencies"], allowed),
    ]
    platforms = value.get("platforms") or []
    if not isinstance(platforms, list) or any(not _PLATFORM.fullmatch(str(p)) for p in platforms):
        problems.append(("its platforms are not a list of conda's names", ""))
    if problems:
        options = list(dict.fromkeys(option for _, option in problems if option))
        raise LockFailed(
            f"{path} asks for what a stranger's file may not:\n"
            + "\n".join(dict.fromkeys(f"- {problem}" for problem, _ in problems)),
            advice=f"if you trust that, add {' '.join(options)}" if options else "change these lines",
        )


def addresses(value: Mapping[str, Any]) -> list[str]:
    """The addresses in a checked environment.yml that had to be allowed."""
    urls = [str(url) for url in value.get("pip-repositories") or []]
    for item in value["dependencies"]:
        if isinstance(item, dict):
            lines = (Requirement(_HASH.sub("", str(line))) for line in item["pip"])
            urls += [line.url for line in lines if line.url is not None]
    return urls


_Problems = Iterator[tuple[str, str]]  # what is wrong; the option that allows it, or nothing


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from _texts(key)
            yield from _texts(below)
    elif isinstance(value, list):
        for below in value:
            yield from _texts(below)


def _variables(value: Mapping[str, Any], allowed: Allowed) -> _Problems:
    for text in _texts(value):
        if "$" in _VARIABLE.sub("", text):
            yield f"{text[:120]!r} holds a $ that names no variable", ""
        for match in _VARIABLE.finditer(text):
            name = match["plain"] or match["braced"]
            if name not in allowed.variables:
                yield (
                    f"{text[:120]!r} would send the variable {name} of your environment",
                    f"--allow-variable {name}",
                )


def _channels(channels: object) -> _Problems:
    if not isinstance(channels, list) or not all(isinstance(c, str) for c in channels):
        yield "its channels are not a list of names and addresses", ""
        return
    for text in channels:
        if problem := _channel_problem(text):
            yield f"the channel {text!r} {problem}", ""


def _channel_problem(text: str) -> str:
    """Why a channel is refused; nothing for a name, a plain path and an address of the web."""
    path = local_channel(text)
    if path is not None:
        return "" if os.path.normpath(path) == path.rstrip("/") else "is no plain path"
    if "://" not in text:
        return "is a path: write it as file:///…" if text.startswith((".", "/", "~")) else ""
    return "" if text.startswith(("http://", "https://")) else "is no address of the web"


def local_channel(text: str) -> str | None:
    """The path of a channel on this machine; None for others."""
    parts = urlsplit(text)
    return unquote(parts.path) if parts.scheme == "file" else None


def _repositories(repositories: object, allowed: Allowed) -> _Problems:
    if not isinstance(repositories, list) or not all(isinstance(r, str) for r in repositories):
        yield "its pip-repositories are not a list of addresses", ""
        return
    for url in repositories:
        if url not in allowed.repositories:
            yield f"it names a package repository of its own, {url}", f"--allow-repository {url}"


def _dependencies(dependencies: list[object], allowed: Allowed) -> _Problems:
    for item in dependencies:
        if isinstance(item, dict) and set(item) == {"pip"} and isinstance(item["pip"], list):
            for line in item["pip"]:
                yield from _requirement(str(line), allowed)
        elif not isinstance(item, str):
            yield f"{item!r} is neither a package nor a list of pip's", ""
        elif "://" in item or item.startswith((".", "/", "-", "@", "~")):
            yield f"{item!r} is an address, not a package of a channel", ""


def _requirement(line: str, allowed: Allowed) -> _Problems:
    try:
        requirement = Requirement(_HASH.sub("", line))
    except InvalidRequirement as error:
        why = str(error).splitlines()[0]
        yield f"the pip dependency {line!r} is not a plain requirement: {why}", ""
        return
    if requirement.url is not None and canonicalize_name(requirement.name) not in allowed.keys:
        yield (
            f"{requirement.name} is taken from an address, {requirement.url}, and may be built from source",
            f"--allow-url {requirement.name}",
        )
