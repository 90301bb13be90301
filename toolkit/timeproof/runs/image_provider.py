"""Getting the recorded image into the engine: there already, pulled, rebuilt, or the stored copy loaded."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.errors import (
    BadArchive,
    BadEnvironment,
    BadRequest,
    BuildFailed,
    EngineFailed,
    EngineLost,
    RemoteFailed,
    WrongImage,
    WrongPlatform,
)
from timeproof.images.tags import tag
from timeproof.store import oci_layout
from timeproof.store.layout import Archive
from timeproof.store.read import check_environment, fetch_image
from timeproof.store.schema.v1 import EnvironmentRecord, ImageIdentity

Source = Literal["engine", "registry", "rebuilt", "stored"]
MODES = ("auto", "ready", "registry", "rebuild", "stored")


@dataclass(frozen=True, slots=True)
class Provided:
    """An image that the engine holds, and is the recorded one."""

    id: str  # what `RunSpec.image` takes
    source: Source
    note: str = ""  # why it had to come from there


def locate(engine: Engine, image: ImageIdentity) -> str | None:
    """The id of the recorded image in the engine; None where it isn't there.

    Engines with a containerd image store know an image by its manifest digest, the others by its
    config digest. Raises WrongImage where what they know by it has other layers.
    """
    for digest in (image.manifest, image.config):
        facts = engine.inspect(digest)
        if facts is None:
            continue
        if list(facts.diff_ids) != image.diff_ids:
            raise WrongImage("list of layers (diff_ids)", image.diff_ids, list(facts.diff_ids))
        if facts.platform != image.platform:
            raise WrongPlatform(image.platform, facts.platform)
        return facts.id
    return None


def _rebuilt(
    engine: Engine, archive: Archive, record: EnvironmentRecord, no_cache: bool, progress: Progress
) -> str:
    if not engine.builds:
        raise BuildFailed(
            f"the engine {engine.name} can't build images", advice="take the stored copy: --image stored"
        )
    from timeproof.images.rebuild import rebuild  # with all of the builder's code: only a rebuild needs it

    rebuild(archive, record, no_cache=no_cache, progress=progress)
    found = locate(engine, record.image)
    if found is None:
        raise WrongImage(
            "place", "the engine", "nowhere", advice="the builder and the engine are not the same"
        )
    return found


def _loaded(engine: Engine, archive: Archive, record: EnvironmentRecord, progress: Progress) -> str:
    progress.step("Loading the stored copy of the image")
    fetch_image(archive, record.image)
    return _load(engine, archive.images, record)


def _load(engine: Engine, layout: Path, record: EnvironmentRecord) -> str:
    engine.load(oci_layout.as_tar(layout, record.image, tag(record.folder)))
    found = locate(engine, record.image)
    if found is None:
        raise WrongImage(
            "place",
            "the engine",
            "nowhere",
            advice="the engine loaded the image, but knows it by neither of its digests",
        )
    return found


def _pulled(engine: Engine, registry: str, record: EnvironmentRecord, progress: Progress) -> str:
    """Bring the image from a registry by its digest: into a folder, checked, and only then to the engine."""
    from timeproof.store.registry.client import Registry
    from timeproof.store.registry.reference import Repository

    with tempfile.TemporaryDirectory(prefix="timeproof-pull-") as name:
        layout = Path(name) / "layout"
        with Registry(Repository.parse(registry)) as there:
            there.pull(record.image, layout, progress=progress)
        progress.step("Loading the pulled image")
        return _load(engine, layout, record)


def provide(
    engine: Engine,
    archive: Archive,
    record: EnvironmentRecord,
    *,
    mode: str = "auto",
    registry: str = "",
    no_cache: bool = False,
    progress: Progress = SILENT,
) -> Provided:
    """See that the engine holds the recorded image.

    Args:
        mode: `auto` takes what the engine has, else pulls it (where a registry is named), else rebuilds,
            else loads the stored copy and says so; `ready` is the same, and builds nothing; `registry`,
            `rebuild` and `stored` insist.
        registry: `HOST/NAME`, asked by digest. The engine itself never pulls.
        no_cache: a rebuild runs every step again.

    Raises:
        WrongImage: what was pulled, rebuilt, loaded or found is not the recorded image.
        BadArchive: the recipe, a package or a blob is not what was recorded.
        RemoteFailed: the registry was insisted on, and does not give it.
        BuildFailed / EngineLost / EngineFailed.
    """
    if mode not in MODES:
        raise BadRequest(f"{mode!r} is no way to get an image", advice=f"take one of: {', '.join(MODES)}")
    if mode == "registry" and not registry:
        raise BadRequest("no registry is named", advice="give its address: --registry HOST/NAME")
    check_environment(archive, record, packages=False)
    if mode == "rebuild":
        return Provided(_rebuilt(engine, archive, record, no_cache, progress), "rebuilt")
    if mode == "registry":
        return Provided(_pulled(engine, registry, record, progress), "registry")
    if mode == "stored":
        return Provided(_loaded(engine, archive, record, progress), "stored")
    if found := locate(engine, record.image):
        return Provided(found, "engine")
    failed: list[str] = []
    if registry:
        try:
            return Provided(_pulled(engine, registry, record, progress), "registry")
        except (BadArchive, BadEnvironment, RemoteFailed) as error:
            failed.append(f"it could not be pulled: {error.message}")
    if mode == "auto":
        try:
            found = _rebuilt(engine, archive, record, no_cache, progress)
            return Provided(found, "rebuilt", "; ".join(failed))
        except EngineLost:
            raise
        except (BadArchive, BadEnvironment, EngineFailed) as error:
            failed.append(f"it could not be rebuilt: {error.message}")
    return Provided(_loaded(engine, archive, record, progress), "stored", "; ".join(failed))


def drop(engine: Engine, record: EnvironmentRecord) -> None:
    """Forget the environment's image in the engine; the archive keeps its copy."""
    engine.drop(tag(record.folder))
    for digest in (record.image.manifest, record.image.config):
        engine.drop(digest)
