"""`timeproof doctor`"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    out,
    print_json,
    run_command,
    size,
)
from timeproof.errors import TimeproofError
from timeproof.store.layout import DEFAULT_ARCHIVE

NAME = "doctor"
HELP = "Say what this machine can do, what is missing, and how to get it."
EXAMPLES = """\
timeproof doctor

timeproof doctor --reap            removes containers that killed runs left; a living run's are not touched

timeproof doctor --json
"""

_ARCHIVED = "linux/amd64"
_ENGINE = "run 'make engine', or install Docker Engine 26 or newer with its buildx plugin"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `needed` is False where only some commands miss it."""

    name: str
    ok: bool
    found: str
    needed: bool = True
    advice: str = ""


def _engine() -> list[Check]:
    from timeproof.engines.docker import connect

    try:
        engine = connect()
        told, info = engine.version(), engine.info()
    except TimeproofError as error:
        return [Check("container engine", False, error.message, advice=error.advice or _ENGINE)]
    checks = [Check("container engine", True, f"{told['engine']} {told['version']} at {engine.address}")]
    driver = str(info.get("DriverStatus", ""))
    containerd = "io.containerd.snapshotter" in driver
    checks.append(
        Check(
            "containerd image store",
            containerd,
            "on" if containerd else "off",
            advice="building needs it, replaying a built image does not: "
            + (
                "podman has none, and replays only"
                if told["engine"] == "podman"
                else 'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json,'
                " and restart the engine"
            ),
            needed=False,
        )
    )
    return [*checks, _platform("docker", told["arch"])]


def _platform(engine: str, arch: str) -> Check:
    """Whether images of the one platform that is archived so far run in this engine, and how."""
    from timeproof.engines.platforms import emulated, emulators

    name = f"images of {_ARCHIVED} in {engine}"
    if not emulated(arch, _ARCHIVED):
        return Check(name, True, "run as they are", False)
    there = "amd64" in emulators() or (engine == "docker" and _buildkit_runs(_ARCHIVED))
    found = "run by emulation, several times slower" if there else f"don't run: the engine is of {arch}"
    advice = (
        "install qemu-user-static and binfmt-support (elsewhere: qemu's handlers for binfmt_misc), and the"
        " kernel hands such programs to qemu"
    )
    return Check(name, there, found, False, advice)


def _buildkit_runs(wanted: str) -> bool:
    """Whether the engine's BuildKit counts that platform among its own: it tries them out."""
    from timeproof.base import proc

    try:
        told = proc.run(["docker", "buildx", "inspect"], timeout=60.0, check=False).stdout
    except TimeproofError:
        return False
    lines = [line for line in told.decode("utf-8", "replace").splitlines() if line.startswith("Platforms:")]
    return any(wanted == p.strip(" *") for line in lines for p in line.partition(":")[2].split(","))


def _other_engines() -> list[Check]:
    from timeproof.engines.registry import engine_named

    checks = []
    for name, what in (("podman", "podman, without a daemon"), ("none", "no engine at all")):
        try:
            engine = engine_named(name)
            told, caveats = engine.version(), engine.caveats()
        except TimeproofError as error:
            advice = error.advice or "'timeproof replay' does without it where Docker answers"
            checks.append(Check(f"--engine {name}", False, error.message, False, advice))
            continue
        weaker = "; ".join(caveats)
        version = told["version"] if name == "podman" else "usable"
        checks.append(
            Check(f"--engine {name}", True, f"{what}: {version}{': ' * bool(weaker)}{weaker}", False)
        )
        checks.append(_platform(name, told["arch"]))
    return checks


def _simulated() -> Check:
    """Whether an emulated witness can be asked without fetching anything."""
    from timeproof.runs.cpu_emulator import locate

    emulator = locate()
    return Check(
        "simulated CPUs",
        emulator is not None,
        f"qemu {emulator.record.version}" if emulator is not None else "no static qemu-x86_64 of version 10",
        False,
        "fetched on Debian and Ubuntu when first needed; an archive with an emulated witness has its own",
    )


def _reap() -> dict[str, int]:
    """Remove what runs that were killed have left, in every engine that answers."""
    from timeproof.engines.registry import NAMES, engine_named

    removed = {}
    for name in NAMES:
        with suppress(TimeproofError):
            removed[name] = engine_named(name).reap()
    return removed


def _cpu() -> list[Check]:
    from timeproof.probe.machine import describe
    from timeproof.runs.capability import assess_machine

    return [
        Check(p.name, p.holds, p.finding, needed=False, advice=p.advice) for p in assess_machine(describe())
    ]


def _tool(name: str, words: list[str], advice: str, *, needed: bool = True) -> Check:
    from timeproof.base import proc

    try:
        told = proc.run(words, timeout=60.0, check=False)
    except TimeproofError:
        return Check(name, False, "not installed", needed, advice)
    first = (told.stdout.decode("utf-8", "replace") or told.tail).strip().splitlines()
    return Check(name, told.exit_code == 0, first[0] if first else "?", needed, advice)


def _examine(archive: Path) -> list[Check]:
    checks = [
        Check("Python", sys.version_info >= (3, 11), f"{platform.python_version()} at {sys.executable}"),
        *_engine(),
        *_other_engines(),
        *_cpu(),
        _simulated(),
        _tool("docker buildx", ["docker", "buildx", "version"], _ENGINE),
        _tool(
            "mmdebstrap",
            ["mmdebstrap", "--version"],
            "run 'make engine' (Debian and Ubuntu): new environments need it for their base root filesystem",
            needed=False,
        ),
        _tool("pip", [sys.executable, "-m", "pip", "--version"], "python -m ensurepip"),
    ]
    for module, what in (
        ("torch", "archiving live PyTorch models"),
        ("xgboost", "archiving live XGBoost models"),
        ("lightgbm", "archiving live LightGBM models"),
        ("onnxruntime", "comparing ONNX models with this process"),
    ):
        there = importlib.util.find_spec(module) is not None
        checks.append(
            Check(module, there, "installed" if there else "not installed", False, f"needed only for {what}")
        )
    folder = archive if archive.exists() else Path.cwd()
    free = shutil.disk_usage(folder).free
    checks.append(
        Check(
            "disk",
            free > 5 * 10**9,
            f"{size(free)} free at {folder}",
            False,
            "an environment takes 1 to 4 GB",
        )
    )
    writable = os.access(folder, os.W_OK)
    checks.append(
        Check(
            "archive",
            writable,
            f"{archive} {'can' if writable else 'can not'} be written",
            False,
            "replay and verify work on a read-only archive; archiving doesn't",
        )
    )
    return checks


def command(
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    reap: Annotated[bool, typer.Option("--reap", help="Remove containers that killed runs left.")] = False,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        progress.step("Looking at this machine")
        removed = _reap() if reap else {}
        checks = _examine(archive)
        progress.close()
        well = all(c.ok for c in checks if c.needed)
        if json:
            print_json(
                {
                    "ok": well,
                    "checks": [
                        {
                            "name": c.name,
                            "ok": c.ok,
                            "needed": c.needed,
                            "found": c.found,
                            "advice": "" if c.ok else c.advice,
                        }
                        for c in checks
                    ],
                    **({"reaped": removed} if reap else {}),
                }
            )
        else:
            for c in checks:
                mark = (
                    "[green]✓[/green]"
                    if c.ok
                    else ("[bold red]✗[/bold red]" if c.needed else "[yellow]–[/yellow]")
                )
                out.print(f"{mark} [bold]{c.name}[/bold] {escape(c.found)}")
                if not c.ok and c.advice:
                    out.print(f"    {escape(c.advice)}")
            if reap:
                out.print(f"\nleft behind by runs that were killed, and removed: {sum(removed.values())}")
            out.print(
                "\nall that is needed is here"
                if well
                else "\n[bold red]something needed is missing[/bold red]"
            )
        return 0 if well else 6

    run_command(json, work)
