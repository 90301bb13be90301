"""No container engine at all: the unpacked image in namespaces of the kernel's, through `sandbox.program`.

Needs root, or a kernel that lets users make user namespaces; says in which respects it is weaker.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from timeproof.base import proc, strictjson
from timeproof.base.limits import LIMITS
from timeproof.engines import platforms
from timeproof.engines.protocol import OPEN_FILES, USER, ImageFacts, Mount, ReadExactly, RunResult, RunSpec
from timeproof.engines.sandbox.roots import Root, Roots
from timeproof.errors import EngineFailed, EngineMissing

_PROGRAM = Path(__file__).with_name("program")
_ADVICE = (
    "it needs root, or a kernel that lets users make user namespaces"
    " (sysctl kernel.unprivileged_userns_clone); inside a container, a privileged one"
)
_CHECK_SECONDS = 60.0
_REPORT: dict[str, Any] = {}  # what this machine's boxes have, once one was made


class Sandbox:
    """The engine `none`. See `engines.protocol.Engine`."""

    name = "none"
    builds = False

    def __init__(self, cache: Path | None = None) -> None:
        self.roots = Roots(cache)

    def caveats(self) -> tuple[str, ...]:
        found = ["run without a container engine, in a weaker box: no filter of system calls"]
        told = self.check()
        if not told["memory"]:
            found.append("no control group bounds the memory: each process is bounded by itself")
        if not told["pids"]:
            found.append("no control group bounds the number of processes: only the user's total is bounded")
        return tuple(found)

    def check(self) -> dict[str, Any]:
        """Make a box, once a process, run nothing in it, and tell what it had. Raises EngineMissing."""
        if not _REPORT:
            with tempfile.TemporaryDirectory(prefix="timeproof-box-") as name:
                empty = Path(name, "empty")
                empty.mkdir()
                spec = _spec(Path(name), empty, [], {}, RunSpec("", timeout=_CHECK_SECONDS))
                try:
                    _REPORT.update(_confined(spec, Path(name), _CHECK_SECONDS, _no_one)[1])
                except EngineFailed as error:
                    raise EngineMissing(error.message, advice=_ADVICE) from error
        return _REPORT

    def version(self) -> dict[str, str]:
        return {
            "engine": "none",
            "version": f"{platform.system()} {platform.release()}",
            "arch": platforms.architecture(platform.machine()),
        }

    def inspect(self, image: str) -> ImageFacts | None:
        root = self.roots.locate(image)
        return None if root is None else _facts(root)

    def load(self, archive: Iterable[bytes]) -> None:
        self.roots.add(archive)

    def drop(self, image: str) -> None:
        self.roots.drop(image)

    def reap(self) -> int:
        return 0  # the kernel ends a box with whoever started it

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        root = self.roots.locate(spec.image)
        if root is None:
            raise EngineFailed(f"the image {spec.image} is not unpacked here")
        told = root.process
        env = dict(entry.split("=", 1) for entry in told.get("Env") or () if "=" in entry)
        entry = list(told.get("Entrypoint") or ()) if spec.entrypoint is None else list(spec.entrypoint)
        argv = entry + (list(spec.argv) or list(told.get("Cmd") or () if spec.entrypoint is None else ()))
        if not argv or not argv[0].startswith("/"):
            raise EngineFailed(f"the image {spec.image} has no entry point that is an absolute path")
        with tempfile.TemporaryDirectory(prefix="timeproof-box-") as name:
            scratch = Path(name)
            words = _spec(scratch, root.files, argv, {"HOME": "/", **env, **spec.env}, spec)
            followed, report = _confined(words, scratch, spec.timeout, consume)
        return RunResult(
            exit_code=followed.exit_code,
            oom_killed=bool(report["oom"]),
            timed_out=followed.late,
            log=followed.tail,
            seconds=followed.seconds,
        )


def _no_one(_read: ReadExactly) -> None:
    """Wants nothing of what comes."""


def _facts(root: Root) -> ImageFacts:
    return ImageFacts(root.image.config, tuple(root.image.diff_ids), root.image.platform)


def _names_of_hosts(root: Path, spec: RunSpec) -> list[Mount]:
    """What a box with a network needs to look up names, where its image leaves room for it."""
    if spec.network == "none" or (root / "etc").exists():
        return []
    return [
        Mount(path, str(path)) for path in (Path("/etc/resolv.conf"), Path("/etc/hosts")) if path.exists()
    ]


def _spec(scratch: Path, root: Path, argv: list[str], env: dict[str, str], spec: RunSpec) -> dict[str, Any]:
    (scratch / "mount").mkdir()
    return {
        "root": str(root.resolve()),
        "argv": argv,
        "env": env,
        "mounts": [[str(m.source.resolve()), m.target] for m in (*spec.mounts, *_names_of_hosts(root, spec))],
        "memory": spec.memory,
        "pids": spec.pids,
        "files": OPEN_FILES,
        "tmp": spec.tmp_bytes,
        "programs": spec.tmp_programs,
        "network": spec.network != "none",
        "user": USER,
        "scratch": str(scratch / "mount"),
        "report": str(scratch / "report.json"),
        "parent": os.getpid(),
    }


def _confined(
    spec: dict[str, Any], scratch: Path, timeout: float, consume: Callable[[ReadExactly], None]
) -> tuple[proc.Followed, dict[str, Any]]:
    """Run the program; give how it ended, and its report. Raises EngineFailed."""
    pid = 0

    def started(number: int) -> None:
        nonlocal pid
        pid = number

    def end() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, 15)

    followed = proc.follow(
        [sys.executable, "-I", "-S", "-B", _PROGRAM],
        consume,
        started=started,
        end=end,
        timeout=timeout,
        stdin=json.dumps(spec).encode(),
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
    )
    path = scratch / "report.json"
    try:
        with path.open("rb") as stream:
            report = strictjson.loads(stream.read(LIMITS.json_bytes), path)
    except OSError as error:
        raise EngineFailed(f"the box ended without a report: {followed.tail[-500:]}") from error
    if report["failed"]:
        raise EngineFailed(f"the box can't be made: {report['failed']}")
    return followed, dict(report)
