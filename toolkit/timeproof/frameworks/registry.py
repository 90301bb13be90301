"""The frameworks that this toolkit can save and import: its own, and those of installed plugins.

A plugin is an entry point of the group `timeproof.frameworks` that names a `FrameworkSpec`. The toolkit's own
are found as its subpackages, too, so that a source tree needs no installation. Nothing is imported but the
packages that hold the records: no framework, and no adapter.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata

from timeproof.errors import BadPlugin, BadRequest
from timeproof.frameworks.base import Adapter
from timeproof.frameworks.spec import FrameworkSpec, load_attribute
from timeproof.store.environment_contents import canonical, versions_of
from timeproof.store.schema.v1 import EnvironmentRecord

GROUP = "timeproof.frameworks"
_PACKAGE = "timeproof.frameworks"
_CONSTANT = "FRAMEWORK"
_LOG = logging.getLogger("timeproof")


@dataclass(frozen=True, slots=True)
class Registration:
    """Where a framework is registered: `module:attribute`, and who brings it."""

    target: str
    origin: str


@dataclass(frozen=True, slots=True)
class Registry:
    """What was registered: the usable frameworks by name, and what is wrong with the others."""

    specs: Mapping[str, FrameworkSpec]
    problems: tuple[BadPlugin, ...]


def specs() -> tuple[FrameworkSpec, ...]:
    """Every usable framework, by rank and name. A plugin that can't be used is logged, once, and left out."""
    return tuple(read_registry().specs.values())


def spec_named(name: str) -> FrameworkSpec | None:
    """The framework of that name; None where no plugin of it is installed."""
    return read_registry().specs.get(name)


def require_spec(name: str) -> FrameworkSpec:
    """The framework of that name. Raises BadRequest, with what to install."""
    spec = spec_named(name)
    if spec is None:
        names = ", ".join(read_registry().specs)
        raise BadRequest(
            f"no framework called {name!r} is installed here: {names} are",
            advice=f"install the plugin of {name!r} (a package with an entry point in {GROUP})",
        )
    return spec


def adapter_named(name: str) -> Adapter:
    """The adapter of the framework of that name. Raises BadRequest."""
    return require_spec(name).make_adapter()


def module_of(name: str) -> str:
    """The module that runs a framework's models; the framework's own name where no plugin says so."""
    spec = spec_named(name)
    return spec.module if spec is not None else name


def title_of(name: str) -> str:
    """What people call a framework; its own name where no plugin says so."""
    spec = spec_named(name)
    return spec.title if spec is not None else name


def titles() -> dict[str, str]:
    """What people call each framework, by name."""
    return {spec.name: spec.title for spec in specs()}


def runtime_of(name: str) -> str:
    """What the version of a framework is the version of: the framework, or what runs its models."""
    spec = spec_named(name)
    return (spec.runtime if spec is not None else "") or name


def runs_code(name: str) -> bool:
    """Whether a loader runs what an archive brings. That of an unknown framework is taken to."""
    spec = spec_named(name)
    return spec.runs_code if spec is not None else True


def frameworks_of(record: EnvironmentRecord) -> dict[str, str]:
    """The version of each framework that an environment can replay."""
    return frameworks_in(versions_of(record))


def frameworks_in(
    versions: Mapping[str, str], more: Mapping[str, Iterable[str]] | None = None
) -> dict[str, str]:
    """The version of each framework that packages of these versions can run.

    Args:
        versions: of the environment's packages, by canonical name.
        more: the distributions of frameworks that may have no plugin here, as artifacts record them; of one
            that has, the plugin's own count.
    """
    usable = [spec for spec in specs() if all(canonical(name) in versions for name in spec.needs)]
    lacking = {spec.name for spec in specs()} - {spec.name for spec in usable}
    brought_by = {spec.name: spec.distributions for spec in usable}
    brought_by |= {
        name: tuple(d) for name, d in (more or {}).items() if name not in brought_by.keys() | lacking
    }
    matches = {
        framework: [versions[name] for d in distributions if (name := canonical(d)) in versions]
        for framework, distributions in brought_by.items()
    }
    return {framework: match[0] for framework, match in matches.items() if match}


@cache
def read_registry() -> Registry:
    """Read every registration once. What is wrong with one of them does not hinder the others."""
    accepted: dict[str, FrameworkSpec] = {}
    problems: list[BadPlugin] = []
    for registration in registrations():
        try:
            spec = _load(registration)
            _require_free(spec, registration, accepted)
        except BadPlugin as error:
            _LOG.warning("%s: %s", error.message, error.advice)
            problems.append(error)
        else:
            accepted[spec.name] = spec
    ordered = sorted(accepted.values(), key=lambda spec: (spec.rank, spec.name))
    return Registry({spec.name: spec for spec in ordered}, tuple(problems))


def registrations() -> list[Registration]:
    """Every registration, each target once: the toolkit's own first, then by name and target."""
    package = importlib.import_module(_PACKAGE)
    folders = [
        Registration(f"{_PACKAGE}.{module.name}:{_CONSTANT}", "timeproof")
        for module in pkgutil.iter_modules(package.__path__)
        if module.ispkg
    ]
    builtin = [r for r in folders if hasattr(importlib.import_module(r.target.partition(":")[0]), _CONSTANT)]
    targets = {registration.target for registration in builtin}
    plugins = sorted(
        {(point.name, point.value, point.dist.name if point.dist else "") for point in entry_points()}
    )
    return builtin + [
        Registration(value, f"the plugin {distribution or name}")
        for name, value, distribution in plugins
        if value not in targets
    ]


def entry_points() -> Iterable[metadata.EntryPoint]:
    """The entry points of the group, as the installed packages declare them."""
    return metadata.entry_points(group=GROUP)


def _load(registration: Registration) -> FrameworkSpec:
    """Import a registration's record. Raises BadPlugin, whatever the plugin itself raises."""
    try:
        spec = load_attribute(registration.target)
    except Exception as error:  # a plugin is anybody's code
        raise BadPlugin(
            f"{registration.origin} ({registration.target}) can't be used: {type(error).__name__}: {error}",
            advice="install it again, or uninstall it",
        ) from error
    if not isinstance(spec, FrameworkSpec):
        raise BadPlugin(
            f"{registration.origin}: {registration.target} is no FrameworkSpec, but a {type(spec).__name__}",
            advice="the entry point names a constant such as FRAMEWORK = FrameworkSpec(…)",
        )
    return spec


def _require_free(
    spec: FrameworkSpec, registration: Registration, accepted: Mapping[str, FrameworkSpec]
) -> None:
    """Raise BadPlugin where another framework has the name or the tag already."""
    for other in accepted.values():
        if spec.name == other.name or spec.tag == other.tag:
            clash = f"the name {spec.name!r}" if spec.name == other.name else f"the tag {spec.tag!r}"
            raise BadPlugin(
                f"{registration.origin} registers a framework with {clash}, which {other.title} has already",
                advice=f"uninstall one of the two; {other.title} stays in use",
            )
