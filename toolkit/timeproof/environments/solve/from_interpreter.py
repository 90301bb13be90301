"""Makes a lock from an `environment.yml` and an interpreter of this machine: for where no channel answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.environments.conda import rattler_child
from timeproof.environments.interpreter.inspection import Inspection, inspect
from timeproof.environments.interpreter.storing import store_interpreter
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.pip import client as pip
from timeproof.environments.pip.wheels import add_wheels, locked_wheel
from timeproof.environments.solve.allowed import NOTHING, Allowed
from timeproof.environments.solve.completing import complete, read_request
from timeproof.environments.solve.pip_solve import resolve
from timeproof.errors import FetchFailed, LockFailed
from timeproof.store.packages import PackageStore


def lock_from_interpreter(
    environment_yml: Path,
    python: Path,
    store: PackageStore,
    progress: Progress = SILENT,
    *,
    allowed: Allowed = NOTHING,
    engine: Engine | None = None,
) -> Lock:
    """Lock an environment.yml whose python is an interpreter of this machine.

    pip's own resolver resolves the pip part for that interpreter, in a container; other conda dependencies
    than `python` and `pip` can't be locked this way.

    Raises:
        NotFound: there is no environment.yml.
        LockFailed: another conda dependency, another python, what is not allowed, or no solution.
        FetchFailed: a wheel could not be fetched.
        EngineMissing / EngineLost / EngineFailed.
    """
    _, request = read_request(environment_yml, allowed)
    inspection = inspect(python)
    specs, requirements = _dependencies(request)
    _check_specs(specs, inspection, environment_yml, python)

    progress.step("Packing the interpreter")
    _, package = store_interpreter(inspection, store)
    packages = [package]
    if requirements:
        progress.step(f"Resolving {len(requirements)} pip dependencies")
        wheels = _resolve(inspection, requirements, environment_yml, allowed, engine)
        packages += _fetch(wheels, inspection, package.platform, store, progress)
    return complete(Lock.make(packages), store, progress)


def _dependencies(request: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What an environment.yml asks of conda, and of pip."""
    specs: list[str] = []
    requirements: list[str] = []
    for item in request["dependencies"]:
        if isinstance(item, str):
            specs.append(item)
        else:
            requirements += [str(Requirement(str(line))) for line in item["pip"]]
    return specs, requirements


def _conda_name(spec: str) -> str:
    for sign in "=<> ":
        spec = spec.split(sign)[0]
    return canonicalize_name(spec)


def _check_specs(specs: Sequence[str], inspection: Inspection, environment_yml: Path, python: Path) -> None:
    """Check that conda is asked for nothing but this interpreter, and pip. Raises LockFailed."""
    pythons = [spec for spec in specs if _conda_name(spec) == "python"]
    if unavailable := [spec for spec in specs if spec not in pythons and spec != "pip"]:
        raise LockFailed(
            f"{environment_yml} wants {', '.join(unavailable)} from a conda channel",
            advice="lock it without a local interpreter, or name these packages below `pip:`",
        )
    question = {"do": "matches", "specs": pythons, "version": inspection.version}
    for spec, fits in zip(pythons, rattler_child.ask(question)["matches"], strict=True):
        if not fits:
            raise LockFailed(
                f"{environment_yml} wants {spec}; {python} is Python {inspection.version}",
                advice="give an interpreter that fits, or loosen python in environment.yml",
            )


def _resolve(
    inspection: Inspection,
    requirements: Sequence[str],
    environment_yml: Path,
    allowed: Allowed,
    engine: Engine | None,
) -> list[pip.Wheel]:
    try:
        return resolve(inspection, requirements, allowed=allowed, engine=engine)
    except LockFailed as error:
        raise LockFailed(
            f"pip found no solution for {environment_yml}:\n{error.message}",
            advice=error.advice
            or "loosen the versions, or add an index that has wheels for this interpreter",
        ) from error


def _fetch(
    wheels: Sequence[pip.Wheel],
    inspection: Inspection,
    platform: str,
    store: PackageStore,
    progress: Progress,
) -> list[Package]:
    """Fetch the wheels into the store; return how a lock names them. Raises FetchFailed."""
    progress.step(f"Fetching {len(wheels)} wheels")
    stored = add_wheels(wheels, inspection.minor, store, progress)
    if absent := [w.file_name for w in wheels if w.key not in stored]:
        raise FetchFailed(f"the index gives no SHA-256 for {', '.join(absent)}")
    return [
        locked_wheel(
            wheel.key,
            wheel.version,
            platform,
            stored[wheel.key],
            requires=wheel.requires,
            markers=inspection.markers,
            keys=set(stored),
        )
        for wheel in wheels
    ]
