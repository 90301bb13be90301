"""A build context for stock `docker buildx bake`, from a lock: nothing is built, and nothing is published."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from timeproof.base.digests import Digest
from timeproof.base.progress import SILENT, Progress
from timeproof.environments.fetch import fetch_packages
from timeproof.environments.lock.document import Lock
from timeproof.images import recipe
from timeproof.images.ingredients import base_entry, make_ingredients
from timeproof.images.probe_files import present_probe
from timeproof.images.resources import image_file
from timeproof.images.tags import check_name
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.schema.v1 import PackageEntry


def stage_context(
    archive: Archive,
    lock: Lock,
    context: Path,
    *,
    folder: Path | None = None,
    platform: str = "linux-64",
    progress: Progress = SILENT,
) -> Path:
    """Fetch a lock's packages, and lay out a build context for stock `docker buildx bake`.

    The base's own context is made beside it. Nothing is built, and no environment is published; the
    conda packages are laid out in a container, so an engine must answer.

    Args:
        folder: where the lock lies, for the advice of errors.
    """
    check_name(context.name)
    store = PackageStore(archive.packages)
    progress.step(f"Fetching the packages of {context.name}")
    fetch_packages(lock, store, progress, folder=folder)
    base = base_entry(store, lock, progress)
    ingredients, packages = make_ingredients(store, lock, platform, base, present_probe(lock), progress)
    for old in (context, context.parent / "base"):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="timeproof-recipe-") as scratch:
        frozen = Path(scratch)
        recipe.write(frozen, ingredients)
        recipe.stage(frozen, packages, store, context)
    _stage_base(base, store, context.parent / "base")
    return context


def _stage_base(base: PackageEntry, store: PackageStore, context: Path) -> None:
    """Lay out a context that builds the base alone."""
    context.mkdir(parents=True)
    dockerfile = image_file("base/Dockerfile").read_text(encoding="utf-8")
    (context / "Dockerfile").write_text(
        dockerfile.replace("base.tar", f"{base.sha256}.tar"), encoding="utf-8"
    )
    shutil.copyfile(store.verified(Digest(base.sha256), base.file), context / f"{base.sha256}.tar")
