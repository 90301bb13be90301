"""Resolves requirements with pip's own resolver, in a container, for an interpreter of this machine.

pip's configuration is the user's own, and goes along: its indexes and proxies, and the folders and files of
this machine that it names.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from timeproof.base import proc, strictjson
from timeproof.engines.protocol import Engine, Mount
from timeproof.environments.interpreter.inspection import Inspection
from timeproof.environments.pip import client as pip
from timeproof.environments.pip.wheels import target_of
from timeproof.environments.solve.allowed import NOTHING, Allowed
from timeproof.environments.solve.container import solve_in_container
from timeproof.environments.toolbox import toolbox
from timeproof.environments.toolbox.frames import PLACE
from timeproof.environments.toolbox.host_runtime import Interpreter
from timeproof.errors import LockFailed
from timeproof.store.package_paths import check_file_name

# What of pip's configuration says where wheels come from, and which are taken.
_SETTINGS = {
    "index-url", "extra-index-url", "find-links", "no-index", "constraint", "trusted-host", "proxy",
    "timeout", "default-timeout", "retries", "pre", "prefer-binary",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def configuration() -> dict[str, str]:
    """pip's own settings, of all its files and variables, as far as they matter to a solution."""
    done = proc.run([sys.executable, "-I", "-m", "pip", "config", "list"], check=False)
    settings: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in settings and name in _SETTINGS:
            try:
                settings[section][name] = str(ast.literal_eval(value))
            except (ValueError, SyntaxError):
                continue
    return {**settings["global"], **settings["install"], **settings[":env:"]}


def _local(text: str) -> Path | None:
    """The path that a setting names; None where it is an address of the web."""
    parts = urlsplit(text)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme and "://" in text else Path(os.path.expanduser(text)).absolute()


class _Setup:
    """pip's configuration as the container gets it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | Path] = {}
        self.mounts: dict[Path, Mount] = {}
        self.addresses: list[str] = []
        lines = ["[global]"]
        for name, value in configuration().items():
            words = value.split() if name in {"find-links", "constraint", "extra-index-url"} else [value]
            lines += [f"{name} =", *(f"    {self._place(name, word)}" for word in words)]
        self.files["pip.conf"] = "\n".join([*lines, ""]).encode()

    def _place(self, name: str, word: str) -> str:
        path = _local(word) if name in {"index-url", "extra-index-url", "find-links", "constraint"} else None
        if path is None:
            self.addresses.append(word)
            return word
        if name == "constraint":
            if path.is_file():
                copy = f"constraints-{len(self.files)}.txt"
                self.files[copy] = path
                return f"{PLACE}/request/{copy}"
            return word
        # An index refers to files beside it, so the folder that it lies in is mounted, too.
        folder = path.parent if "index" in name and len(path.parts) > 2 else path
        if folder.exists():
            self.mounts[folder] = Mount(folder, str(folder))
        return word

    def holds(self, path: Path) -> bool:
        """Whether a file lies in one of the folders that are mounted."""
        return ".." not in path.parts and any(path.is_relative_to(m) for m in self.mounts)


def resolve(
    inspection: Inspection,
    requirements: Sequence[str],
    *,
    allowed: Allowed = NOTHING,
    engine: Engine | None = None,
) -> list[pip.Wheel]:
    """Ask which wheels pip would install for `requirements`, and for what they need in turn.

    Raises LockFailed with pip's own words, and what `solve_in_container` raises.
    """
    setup = _Setup()
    program = Path(os.path.realpath(inspection.executable))
    stdlib = Path(os.path.realpath(inspection.interpreter["stdlib"]))
    target = Interpreter(program, stdlib, stdlib.parent.name)
    before, after = target_of(inspection).words("install")
    if before:
        before = ["--python", toolbox.program_of(1, target)]
    request = {
        "do": "pip",
        "requirements": list(requirements),
        "before": [*pip.QUIET, *map(str, before)],
        "after": ["--dry-run", "--ignore-installed", "--only-binary=:all:", *map(str, after)],
    }
    answer = solve_in_container(
        request,
        files=setup.files,
        mounts=list(setup.mounts.values()),
        env={"PIP_CONFIG_FILE": f"{PLACE}/request/pip.conf", "PIP_NO_CACHE_DIR": "1"},
        configured=[*setup.addresses, *(url for r in requirements if (url := Requirement(r).url))],
        interpreters=(target,) if before else (),
        allowed=allowed,
        engine=engine,
    )
    try:
        items = strictjson.loads(answer, "pip's report")["install"]
        return [_checked(pip.wheel_of(item), setup) for item in items]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LockFailed(f"pip's report can't be read: {error!r}"[:500]) from error


def _checked(wheel: pip.Wheel, setup: _Setup) -> pip.Wheel:
    """A wheel whose name and version may stand on a command line, and whose file pip could read."""
    plain: tuple[Any, ...] = (wheel.name, wheel.version, wheel.url, *wheel.requires)
    try:
        if not all(isinstance(word, str) for word in plain) or not _NAME.fullmatch(wheel.name):
            raise LockFailed(f"pip's report names a distribution {wheel.name!r:.80}")
        Version(wheel.version)
    except InvalidVersion:
        raise LockFailed(f"pip's report gives {wheel.name} the version {wheel.version!r:.80}") from None
    if not check_file_name(wheel.file_name).endswith(".whl"):
        raise LockFailed(
            f"{wheel.name} {wheel.version} has no wheel, only {wheel.file_name}",
            advice="choose a version that has one, or build a wheel and offer it in a package index",
        )
    parts = urlsplit(wheel.url)
    if parts.scheme == "file" and not setup.holds(Path(unquote(parts.path))):
        raise LockFailed(f"pip's report takes {wheel.name} from {wheel.url[:200]}, which was not mounted")
    return wheel
