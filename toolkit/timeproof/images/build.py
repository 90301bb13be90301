"""From a lock to an environment in the archive: base, recipe, image, `image.json` last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.clock import utc_now
from timeproof.base.digests import Digest
from timeproof.base.paths import list_tree
from timeproof.base.progress import SILENT, Progress
from timeproof.environments.lock.document import Lock
from timeproof.environments.lock.reading import read_lock
from timeproof.errors import LockFailed, WrongImage, WrongPlatform
from timeproof.images import buildx, recipe
from timeproof.images.ingredients import base_entry, make_ingredients
from timeproof.images.probe_files import present_probe
from timeproof.images.replay_instructions import replay_md
from timeproof.images.tags import check_name
from timeproof.store import oci_layout, publish
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import fetch_lock, read_environment
from timeproof.store.schema.v1 import EnvironmentRecord, FileEntry, ImageIdentity, PackageEntry
from timeproof.version import VERSION

PLATFORMS = {"linux-64": "linux/amd64", "linux-aarch64": "linux/arm64"}


def locate_environment(archive: Archive, name: str, lock: Lock) -> EnvironmentRecord | None:
    """The newest environment of that name whose lock has the same packages as `lock`.

    One with an older probe is another: what is archived from now on may need the present one.
    """
    wanted = (lock.packages, lock.platforms)
    probe = Digest.of(present_probe(lock))
    same = []
    for folder in archive.environment_names():
        if folder.rpartition("-")[0] != name:
            continue
        path = archive.environments / folder / "conda-lock.yml"
        fetch_lock(archive, folder)
        present = read_lock(path.read_bytes(), path)
        if (present.packages, present.platforms) != wanted or present.probe != probe:
            continue
        if lock.base in (None, present.base):
            same.append(read_environment(archive, folder))
    return max(same, key=lambda r: r.created, default=None)


def build_environment(
    archive: Archive,
    lock: Lock,
    environment_yml: str,
    name: str,
    *,
    left_out: Sequence[tuple[str, str]] = (),
    platform: str = "linux-64",
    engine_version: str = "",
    progress: Progress = SILENT,
) -> EnvironmentRecord:
    """Build the environment of `lock`, unless it is there, and publish it. Returns its record.

    Every package must be in the archive's store already. Concurrent callers build it once.

    Raises:
        LockFailed: the lock holds nothing for `platform`.
        BadRequest: no environment can be called `name`.
        BuildFailed / EngineMissing / EngineLost / ToolMissing: the build; nothing was recorded.
        Missing / DigestMismatch: a package in the store is not the locked one.
    """
    check_name(name)
    with atomic.lock(archive.environments, f".{name}.lock"):
        if record := locate_environment(archive, name, lock):
            return record
        if not any(p.manager == "conda" and p.name == "python" for p in lock.for_platform(platform)):
            raise LockFailed(f"the lock of {name} holds no python for {platform}")
        store = PackageStore(archive.packages)
        base = base_entry(store, lock, progress)
        probe = present_probe(lock)
        lock = lock.with_base(Digest(base.sha256), base.file).with_probe(Digest.of(probe))
        with _staging(archive, name) as staging:
            ingredients, packages = make_ingredients(store, lock, platform, base, probe, progress)
            recipe.write(staging.path / "recipe", ingredients)
            (staging.path / "environment.yml").write_text(environment_yml, encoding="utf-8")
            (staging.path / "conda-lock.yml").write_bytes(lock.to_bytes())
            frozen = staging.path / "recipe"
            image = _first_build(archive, frozen, packages, name, PLATFORMS[platform], progress)
            folder = f"{name}-{lock.digest.hex[:12]}"
            (staging.path / "REPLAY.md").write_text(replay_md(folder, image, packages), encoding="utf-8")
            record = EnvironmentRecord(
                schema=1,
                name=name,
                created=utc_now(),
                lock_sha256=lock.digest.hex,
                image=image,
                packages=packages,
                files=_file_entries(staging.path),
                builder={"timeproof": VERSION, "engine": engine_version, **buildx.builder_versions()},
                left_out=[list(pair) for pair in left_out],
            )
            return publish.publish_environment(archive, staging.path, record)


def _staging(archive: Archive, name: str) -> atomic.Staging:
    """A folder to make an environment in, once what killed builders left is removed."""
    for parent in (archive.images, archive.packages, archive.environments):
        if parent.is_dir():
            atomic.sweep(parent)
    with atomic.lock(archive.environments):
        return atomic.Staging(archive.environments, name)


def _file_entries(folder: Path) -> list[FileEntry]:
    """The entries of an environment's files, with their roles."""
    return [publish.entry(folder, p, _role(p), p.rsplit(".", 1)[-1]) for p in list_tree(folder)]


def _role(path: str) -> str:
    return {"environment.yml": "environment", "conda-lock.yml": "lock", "REPLAY.md": "instructions"}.get(
        path, "recipe"
    )


def _first_build(
    archive: Archive,
    frozen: Path,
    packages: Sequence[PackageEntry],
    name: str,
    platform: str,
    progress: Progress,
) -> ImageIdentity:
    store = PackageStore(archive.packages)
    with atomic.Staging(archive.images, "build") as work:
        progress.step("Building the image, without a network")
        contexts = work.path / "contexts"
        recipe.stage(frozen, packages, store, contexts / name)
        exported = work.path / "layout"
        baked = buildx.bake(
            contexts, name, output=buildx.to_layout(exported), platform=platform, progress=progress
        )
        published = [read_environment(archive, n).image for n in archive.environment_names()]
        image = oci_layout.add(archive.images, exported, baked.manifest, published)
    if image.config != baked.config:
        raise WrongImage("config", baked.config, image.config)
    if image.platform != platform:
        raise WrongPlatform(platform, image.platform)
    return image
