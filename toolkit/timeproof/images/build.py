"""From a lock to an environment in the archive: base, recipe, image, `image.json` last."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.clock import utc_now
from timeproof.base.digests import Digest
from timeproof.base.paths import list_tree
from timeproof.base.progress import SILENT, Progress
from timeproof.environments.fetch import fetch_packages
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.lock.reading import read_lock
from timeproof.errors import BadRequest, LockFailed, StorageFailed, WrongImage, WrongPlatform
from timeproof.images import buildx, recipe
from timeproof.images.base_rootfs import one_base
from timeproof.images.conda_layer import conda_layer
from timeproof.images.probe_files import present_probe
from timeproof.images.replay_instructions import replay_md
from timeproof.images.resources import image_file
from timeproof.images.tags import tag
from timeproof.store import oci_layout, publish
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.schema.v1 import EnvironmentRecord, ImageIdentity, PackageEntry
from timeproof.store.verify import package_claims, read_environment
from timeproof.version import VERSION

PLATFORMS = {"linux-64": "linux/amd64", "linux-aarch64": "linux/arm64"}


# What a folder, a bake target and an image's name in an engine can all be called.
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


def check_name(name: str) -> str:
    """Return `name` if an environment can be called so. Raises BadRequest."""
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise BadRequest(
            f"{name!r} can't be an environment's name",
            advice="rename its folder: small letters and digits, with single dots, dashes or underscores",
        )
    return name


def _entry(store: PackageStore, package: Package) -> PackageEntry:
    return PackageEntry(
        kind="wheel" if package.manager == "pip" else "conda",
        name=package.name,
        version=package.version,
        file=package.file_name,
        size=store.path(package.sha256, package.file_name).stat().st_size,
        sha256=package.sha256.hex,
    )


def _base(store: PackageStore, lock: Lock, progress: Progress) -> PackageEntry:
    """The base that the lock names, which the store must hold; or a new one where it names none."""
    if lock.base is None:
        return one_base(store, progress)
    digest, name = lock.base
    with store.open_verified(digest, name) as stream:
        size = stream.seek(0, 2)
    return PackageEntry(
        kind="base", name=name.rsplit(".", 1)[0], version="", file=name, size=size, sha256=digest.hex
    )


def locate_environment(archive: Archive, name: str, lock: Lock) -> EnvironmentRecord | None:
    """The newest environment of that name whose lock differs from `lock` by no package.

    One with an older probe is another: what is archived from now on may need the present one.
    """
    wanted = (lock.packages, lock.platforms)
    probe = Digest.of(present_probe(lock))
    same = []
    for folder in archive.environment_names():
        if folder.rpartition("-")[0] != name:
            continue
        path = archive.environments / folder / "conda-lock.yml"
        known = read_lock(path.read_bytes(), path)
        if (known.packages, known.platforms) != wanted or known.probe != probe:
            continue
        if lock.base in (None, known.base):
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
        if there := locate_environment(archive, name, lock):
            return there
        chosen = lock.for_platform(platform)
        if not any(p.manager == "conda" and p.name == "python" for p in chosen):
            raise LockFailed(f"the lock of {name} holds no python for {platform}")
        store = PackageStore(archive.packages)
        base = _base(store, lock, progress)
        probe = present_probe(lock)
        lock = lock.with_base(Digest(base.sha256), base.file).with_probe(Digest.of(probe))
        for parent in (archive.images, archive.packages, archive.environments):
            if parent.is_dir():
                atomic.sweep(parent)  # what killed builders left
        with atomic.lock(archive.environments):
            staging = atomic.Staging(archive.environments, name)
        with staging:
            packages = [_entry(store, p) for p in chosen]
            part = conda_layer(store, packages, base, progress)
            wheels = tuple(p for p in packages if p.kind == "wheel")
            recipe.write(staging.path / "recipe", recipe.Ingredients(base, part, wheels, probe))
            (staging.path / "environment.yml").write_text(environment_yml, encoding="utf-8")
            (staging.path / "conda-lock.yml").write_bytes(lock.to_bytes())
            everything = [base, part, *packages]
            image = _first_build(
                archive, staging.path / "recipe", everything, name, PLATFORMS[platform], progress
            )
            folder = f"{name}-{lock.digest.hex[:12]}"
            (staging.path / "REPLAY.md").write_text(replay_md(folder, image, everything), encoding="utf-8")
            files = [
                publish.entry(staging.path, p, _role(p), p.rsplit(".", 1)[-1])
                for p in list_tree(staging.path)
            ]
            record = EnvironmentRecord(
                schema=1,
                name=name,
                created=utc_now(),
                lock_sha256=lock.digest.hex,
                image=image,
                packages=everything,
                files=files,
                builder={"timeproof": VERSION, "engine": engine_version, **buildx.builder_versions()},
                left_out=[list(x) for x in left_out],
            )
            publish.publish_environment(archive, staging.path, record)
    return record


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
        known = [read_environment(archive, n).image for n in archive.environment_names()]
        image = oci_layout.add(archive.images, exported, baked.manifest, known)
    if image.config != baked.config:
        raise WrongImage("config", baked.config, image.config)
    if image.platform != platform:
        raise WrongPlatform(platform, image.platform)
    return image


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
    base = _base(store, lock, progress)
    packages = [_entry(store, p) for p in lock.for_platform(platform)]
    part = conda_layer(store, packages, base, progress)
    wheels = tuple(p for p in packages if p.kind == "wheel")
    for old in (context, context.parent / "base"):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="timeproof-recipe-") as scratch:
        frozen = Path(scratch)
        recipe.write(frozen, recipe.Ingredients(base, part, wheels, present_probe(lock)))
        recipe.stage(frozen, [base, part, *wheels], store, context)
    bare = context.parent / "base"
    bare.mkdir(parents=True)
    dockerfile = image_file("base/Dockerfile").read_text(encoding="utf-8")
    (bare / "Dockerfile").write_text(dockerfile.replace("base.tar", f"{base.sha256}.tar"), encoding="utf-8")
    shutil.copyfile(store.verified(Digest(base.sha256), base.file), bare / f"{base.sha256}.tar")
    return context


@contextmanager
def _workplace(archive: Archive) -> Iterator[Path]:
    """A folder for a build context: in the archive, so that packages are linked; else somewhere, copied."""
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
    with _workplace(archive) as contexts:
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
