"""What this machine can do for timeproof: each check says what it found, and how to get what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from timeproof.cli.console import size
from timeproof.errors import TimeproofError

_ARCHIVED = "linux/amd64"
_ENGINE = "run 'make engine', or install Docker Engine 26 or newer with its buildx plugin"


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `needed` is False where only some commands need what it checks."""

    name: str
    ok: bool
    finding: str
    needed: bool = True
    advice: str = ""


def _engine() -> list[Check]:
    from timeproof.engines.docker import connect

    try:
        engine = connect()
        version, info = engine.version(), engine.info()
    except TimeproofError as error:
        return [Check("container engine", False, error.message, advice=error.advice or _ENGINE)]
    checks = [
        Check("container engine", True, f"{version['engine']} {version['version']} at {engine.address}")
    ]
    driver = str(info.get("DriverStatus", ""))
    containerd = "io.containerd.snapshotter" in driver
    checks.append(
        Check(
            "containerd image store",
            containerd,
            "on" if containerd else "off",
            advice="building images needs it; replaying a built image does not: "
            + (
                "podman has none, and can only replay"
                if version["engine"] == "podman"
                else 'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json,'
                " and restart the engine"
            ),
            needed=False,
        )
    )
    return [*checks, _platform("docker", version["arch"])]


def _platform(engine: str, arch: str) -> Check:
    """Say whether and how this engine runs images of the platform that is archived."""
    from timeproof.engines.platforms import emulated, emulators

    name = f"images of {_ARCHIVED} in {engine}"
    if not emulated(arch, _ARCHIVED):
        return Check(name, True, "run as they are", False)
    emulating = "amd64" in emulators() or (engine == "docker" and _buildkit_runs(_ARCHIVED))
    finding = "run by emulation, several times slower" if emulating else f"don't run: the engine is of {arch}"
    advice = (
        "install qemu-user-static and binfmt-support (elsewhere: qemu's handlers for binfmt_misc); then the"
        " kernel runs such programs with qemu"
    )
    return Check(name, emulating, finding, False, advice)


def _buildkit_runs(wanted: str) -> bool:
    """Whether the engine's BuildKit lists that platform as one that it can run."""
    from timeproof.base import proc

    try:
        listing = proc.run(["docker", "buildx", "inspect"], timeout=60.0, check=False).stdout
    except TimeproofError:
        return False
    lines = [
        line for line in listing.decode("utf-8", "replace").splitlines() if line.startswith("Platforms:")
    ]
    return any(wanted == p.strip(" *") for line in lines for p in line.partition(":")[2].split(","))


def _other_engines() -> list[Check]:
    from timeproof.engines.registry import engine_named

    checks = []
    for name, title in (("podman", "podman, without a daemon"), ("none", "no engine at all")):
        try:
            engine = engine_named(name)
            version, caveats = engine.version(), engine.caveats()
        except TimeproofError as error:
            advice = error.advice or "'timeproof replay' does not need it where Docker answers"
            checks.append(Check(f"--engine {name}", False, error.message, False, advice))
            continue
        weaker = "; ".join(caveats)
        state = version["version"] if name == "podman" else "usable"
        checks.append(
            Check(f"--engine {name}", True, f"{title}: {state}{': ' * bool(weaker)}{weaker}", False)
        )
        checks.append(_platform(name, version["arch"]))
    return checks


def _simulated() -> Check:
    """Whether an emulated witness can run without fetching an emulator."""
    from timeproof.runs.cpu_emulator import locate

    emulator = locate()
    return Check(
        "simulated CPUs",
        emulator is not None,
        f"qemu {emulator.record.version}" if emulator is not None else "no static qemu-x86_64 of version 10",
        False,
        "fetched on Debian and Ubuntu when first needed; an archive with an emulated witness holds its own",
    )


def reap() -> dict[str, int]:
    """Remove the containers of killed runs, in every engine that answers; return their number by engine."""
    from timeproof.engines.registry import NAMES, engine_named

    removed = {}
    for name in NAMES:
        with suppress(TimeproofError):
            removed[name] = engine_named(name).reap()
    return removed


def _cpu() -> list[Check]:
    from timeproof.runs.capability import assess_machine
    from timeproof_probe.machine import describe

    return [
        Check(p.name, p.holds, p.finding, needed=False, advice=p.advice) for p in assess_machine(describe())
    ]


def _tool(name: str, words: list[str], advice: str, *, needed: bool = True) -> Check:
    from timeproof.base import proc

    try:
        result = proc.run(words, timeout=60.0, check=False)
    except TimeproofError:
        return Check(name, False, "not installed", needed, advice)
    first = (result.stdout.decode("utf-8", "replace") or result.tail).strip().splitlines()
    return Check(name, result.exit_code == 0, first[0] if first else "?", needed, advice)


def examine(archive: Path) -> list[Check]:
    """Check Python, the engines, the CPU, the tools, the frameworks, the disk and the archive's folder."""
    return [
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
        *_frameworks(),
        *_storage(archive),
    ]


def _frameworks() -> list[Check]:
    """Whether this process can archive live models of each framework; and the plugins that can't be used."""
    from timeproof.frameworks.registry import read_registry

    registry = read_registry()
    checks = []
    for spec in registry.specs.values():
        if spec.module == "numpy":  # the toolkit itself needs it, and documents nothing else
            continue
        installed = importlib.util.find_spec(spec.module) is not None
        finding = "installed" if installed else "not installed"
        advice = f"needed only for {spec.needed_for or f'archiving live {spec.title} models'}"
        checks.append(Check(spec.module, installed, finding, False, advice))
    return checks + [Check("plugin", False, e.message, False, e.advice) for e in registry.problems]


def _storage(archive: Path) -> list[Check]:
    folder = archive if archive.exists() else Path.cwd()
    free = shutil.disk_usage(folder).free
    writable = os.access(folder, os.W_OK)
    return [
        Check(
            "disk",
            free > 5 * 10**9,
            f"{size(free)} free at {folder}",
            False,
            "an environment takes 1 to 4 GB",
        ),
        Check(
            "archive",
            writable,
            f"{archive} {'can' if writable else 'can not'} be written",
            False,
            "replay and verify work on a read-only archive; archiving doesn't",
        ),
    ]
