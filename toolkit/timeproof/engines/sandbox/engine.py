"""No container engine at all: the unpacked image in namespaces of the kernel's, through `sandbox.program`.

Needs root, or a kernel that lets users make user namespaces; says in which respects it is weaker.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from timeproof.base import streaming, strictjson
from timeproof.base.limits import LIMITS
from timeproof.engines import platforms
from timeproof.engines.protocol import (
    NOT_STARTED,
    OPEN_FILES,
    USER,
    ImageFacts,
    Mount,
    ReadExactly,
    RunResult,
    RunSpec,
)
from timeproof.engines.sandbox.roots import Root, Roots
from timeproof.errors import EngineFailed, EngineMissing

_PROGRAM = Path(__file__).with_name("program")
_ADVICE = (
    "it needs root, or a kernel that lets users make user namespaces"
    " (sysctl kernel.unprivileged_userns_clone); inside a container, a privileged one"
)
_CHECK_SECONDS = 60.0
_REPORT: dict[str, Any] = {}  # which bounds this machine's sandboxes have, once one was made


class Sandbox:
    """The engine `none`. See `engines.protocol.Engine`."""

    name = "none"
    builds = False

    def __init__(self, cache: Path | None = None) -> None:
        self.roots = Roots(cache)

    def caveats(self) -> tuple[str, ...]:
        sentences = ["run without a container engine, in a weaker sandbox: no filter of system calls"]
        report = self.check()
        if not report["memory"]:
            sentences.append("no control group bounds the memory: each process is bounded by itself")
        if not report["pids"]:
            sentences.append(
                "no control group bounds the number of processes: only the user's total is bounded"
            )
        return tuple(sentences)

    def check(self) -> dict[str, Any]:
        """Make a sandbox, once a process, run nothing in it, and return its report. Raises EngineMissing."""
        if not _REPORT:
            with tempfile.TemporaryDirectory(prefix="timeproof-sandbox-") as name:
                empty = Path(name, "empty")
                empty.mkdir()
                spec = _spec(Path(name), empty, [], {}, RunSpec("", timeout=_CHECK_SECONDS))
                try:
                    _REPORT.update(_confined(spec, Path(name), _CHECK_SECONDS, _read_nothing)[1])
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
        return 0  # the kernel ends a sandbox with whoever started it

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        root = self.roots.locate(spec.image)
        if root is None:
            raise EngineFailed(f"the image {spec.image} is not unpacked on this machine")
        argv = root.process.words(spec)
        if not argv or not argv[0].startswith("/"):
            return _not_started(spec.image, "it has no entry point that is an absolute path")
        variables = {"HOME": "/", **root.process.variables, **spec.env}
        with tempfile.TemporaryDirectory(prefix="timeproof-sandbox-") as name:
            scratch = Path(name)
            words = _spec(scratch, root.files, argv, variables, spec)
            followed, report = _confined(words, scratch, spec.timeout, consume)
        if report["refused"]:
            return _not_started(spec.image, report["refused"])
        return RunResult(
            exit_code=followed.exit_code,
            oom_killed=bool(report["oom"]),
            timed_out=followed.late,
            log=followed.tail,
            seconds=followed.seconds,
        )


def _not_started(image: str, problem: str) -> RunResult:
    """The result of a container that could not be started, which is the image's fault."""
    log = f"the image {image} can't be run: {problem}"
    return RunResult(exit_code=NOT_STARTED, oom_killed=False, timed_out=False, log=log, seconds=0.0)


def _read_nothing(_read: ReadExactly) -> None:
    """Leave the stdout to itself."""


def _facts(root: Root) -> ImageFacts:
    return ImageFacts(root.image.config, tuple(root.image.diff_ids), root.image.platform)


def _host_name_files(root: Path, spec: RunSpec) -> list[Mount]:
    """The files by which a sandbox with a network looks up hosts, where its image leaves room for them."""
    if spec.network == "none" or (root / "etc").exists():
        return []
    paths = (Path("/etc/resolv.conf"), Path("/etc/hosts"))
    return [Mount(path, str(path)) for path in paths if path.exists()]


def _spec(
    scratch: Path, root: Path, argv: list[str], variables: Mapping[str, str], spec: RunSpec
) -> dict[str, Any]:
    (scratch / "mount").mkdir()
    mounts = (*spec.mounts, *_host_name_files(root, spec))
    return {
        "root": str(root.resolve()),
        "argv": argv,
        "env": dict(variables),
        "mounts": [[str(m.source.resolve()), m.target] for m in mounts],
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
) -> tuple[streaming.Followed, dict[str, Any]]:
    """Run the program; return how it ended, and its report. Raises EngineFailed."""
    pid = 0

    def started(number: int) -> None:
        nonlocal pid
        pid = number

    def end() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, 15)

    followed = streaming.follow(
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
        raise EngineFailed(f"the sandbox ended without a report: {followed.tail[-500:]}") from error
    if report["failed"]:
        raise EngineFailed(f"the sandbox can't be made: {report['failed']}")
    return followed, dict(report)
