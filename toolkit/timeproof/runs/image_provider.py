"""Provide the recorded image to the engine: find it there, pull it, rebuild it, or load the stored copy."""

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
    """An image that the engine holds and that is the recorded one."""

    id: str  # what `RunSpec.image` takes
    source: Source
    note: str = ""  # why an earlier source did not give it


def locate(engine: Engine, image: ImageIdentity) -> str | None:
    """Return the id of the recorded image in the engine; None where the engine does not hold it.

    Engines with a containerd image store name an image by its manifest digest, the others by its config
    digest. Raises WrongImage where the image of that name has other layers.
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


def _rebuild(
    engine: Engine, archive: Archive, record: EnvironmentRecord, no_cache: bool, progress: Progress
) -> str:
    if not engine.builds:
        raise BuildFailed(
            f"the engine {engine.name} can't build images", advice="take the stored copy: --image stored"
        )
    from timeproof.images.rebuild import rebuild  # imports all of the builder: only a rebuild needs it

    rebuild(archive, record, no_cache=no_cache, progress=progress)
    return _require(engine, record, "the builder and the engine do not share their images")


def _load_stored(engine: Engine, archive: Archive, record: EnvironmentRecord, progress: Progress) -> str:
    progress.step("Loading the stored copy of the image")
    fetch_image(archive, record.image)
    return _load(engine, archive.images, record)


def _load(engine: Engine, layout: Path, record: EnvironmentRecord) -> str:
    engine.load(oci_layout.as_tar(layout, record.image, tag(record.folder)))
    return _require(engine, record, "the engine loaded the image, but has it under neither of its digests")


def _require(engine: Engine, record: EnvironmentRecord, advice: str) -> str:
    image = locate(engine, record.image)
    if image is None:
        raise WrongImage("place", "the engine", "nowhere", advice=advice)
    return image


def _pull(engine: Engine, registry: str, record: EnvironmentRecord, progress: Progress) -> str:
    """Fetch the image from a registry by its digest into a folder, check it, and only then load it."""
    from timeproof.store.registry.client import Registry
    from timeproof.store.registry.reference import Repository

    with tempfile.TemporaryDirectory(prefix="timeproof-pull-") as name:
        layout = Path(name) / "layout"
        with Registry(Repository.parse(registry)) as remote:
            remote.pull(record.image, layout, progress=progress)
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
    """Make sure that the engine holds the recorded image.

    Args:
        mode: `auto` takes the engine's image, else pulls it (where a registry is named), else rebuilds it,
            else loads the stored copy, and says why in the note. `ready` does the same but never builds.
            `registry`, `rebuild` and `stored` use that source only.
        registry: `HOST/NAME`; images are pulled from it by digest. The engine itself never pulls.
        no_cache: run every step of a rebuild again.

    Raises:
        WrongImage: the image that was pulled, rebuilt, loaded or found is not the recorded one.
        BadArchive: the recipe, a package or a blob is not the recorded one.
        RemoteFailed: `mode` is `registry`, and the registry does not give the image.
        BuildFailed / EngineLost / EngineFailed.
    """
    if mode not in MODES:
        raise BadRequest(f"there is no image source {mode!r}", advice=f"take one of: {', '.join(MODES)}")
    if mode == "registry" and not registry:
        raise BadRequest("no registry is named", advice="give its address: --registry HOST/NAME")
    check_environment(archive, record, packages=False)
    if mode == "rebuild":
        return Provided(_rebuild(engine, archive, record, no_cache, progress), "rebuilt")
    if mode == "registry":
        return Provided(_pull(engine, registry, record, progress), "registry")
    if mode == "stored":
        return Provided(_load_stored(engine, archive, record, progress), "stored")
    if image := locate(engine, record.image):
        return Provided(image, "engine")
    failed: list[str] = []
    if registry:
        try:
            return Provided(_pull(engine, registry, record, progress), "registry")
        except (BadArchive, BadEnvironment, RemoteFailed) as error:
            failed.append(f"it could not be pulled: {error.message}")
    if mode == "auto":
        try:
            image = _rebuild(engine, archive, record, no_cache, progress)
            return Provided(image, "rebuilt", "; ".join(failed))
        except EngineLost:
            raise
        except (BadArchive, BadEnvironment, EngineFailed) as error:
            failed.append(f"it could not be rebuilt: {error.message}")
    return Provided(_load_stored(engine, archive, record, progress), "stored", "; ".join(failed))


def drop(engine: Engine, record: EnvironmentRecord) -> None:
    """Remove the environment's image from the engine; the archive keeps its copy."""
    engine.drop(tag(record.folder))
    for digest in (record.image.manifest, record.image.config):
        engine.drop(digest)
