"""An environment's image, built again from its frozen recipe: the result must be the recorded one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import StorageFailed, WrongImage
from timeproof.images import buildx, recipe
from timeproof.images.tags import tag
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import package_claims
from timeproof.store.schema.v1 import EnvironmentRecord


@contextmanager
def _context_folder(archive: Archive) -> Iterator[Path]:
    """A folder for a build context: in the archive, so that packages are linked; else a temporary one."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(atomic.Staging(archive.images, "rebuild")).path
        except StorageFailed as error:
            if Path(error.path) != archive.images:
                raise
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="timeproof-rebuild-")))


def rebuild(
    archive: Archive, record: EnvironmentRecord, *, no_cache: bool = False, progress: Progress = SILENT
) -> None:
    """Build an environment's image again, into the engine, from the recipe and the package store alone.

    The environment's own files were checked by the caller; every package is hashed as it is staged.

    Raises:
        WrongImage: the result is not the recorded one: which of the digests, and both values.
        and what `build_environment` raises.
    """
    archive.fetch(package_claims(record))
    with _context_folder(archive) as contexts:
        progress.step("Rebuilding the image from its recipe, without a network")
        frozen = archive.environments / record.folder / "recipe"
        recipe.stage(frozen, record.packages, PackageStore(archive.packages), contexts / record.name)
        baked = buildx.bake(
            contexts,
            record.name,
            output=buildx.to_engine(tag(record.folder)),
            platform=record.image.platform,
            no_cache=no_cache,
            progress=progress,
        )
    if baked.config != record.image.config:
        raise WrongImage("config digest", record.image.config, baked.config)
    if baked.manifest != record.image.manifest:
        raise WrongImage(
            "manifest digest",
            record.image.manifest,
            baked.manifest,
            advice="the content is the same (equal config digest), but this builder compresses otherwise",
        )
