"""Publishing an artifact or an environment: whole, once, and never over another.

A version is reserved by a staging folder that carries it (`.staging-v3-…`) and is held by its maker's
lock; the metadata is linked into place last, so an artifact exists once its metadata does. What a
killed maker left is removed by the next one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import check_collisions, check_relative, open_regular
from timeproof.errors import Exists, Malformed
from timeproof.store.layout import TAG, Archive, Ref, implied_tag
from timeproof.store.schema.v1 import Document, EnvironmentRecord, FileEntry, Metadata

_STAGED = re.compile(rf"{re.escape(atomic.STAGING)}v(\d+)(?:to(\d+))?-")
OWNED = re.compile(rf"(?:metadata|model|reference|source|witness)_({TAG.pattern})_v([1-9]\d*)(?:[._].*)?")
LOCK = ".lock"


def entry(folder: Path, path: str, role: str, form: str) -> FileEntry:
    """Hash `folder/path` into its entry."""
    with open_regular(folder, path) as stream:
        digest, size = Digest.of_stream(stream)
    return FileEntry(path=path, role=role, format=form, size=size, sha256=digest.hex)


def spelled(document: Document, path: Path) -> bytes:
    """Spell a document, and see that it reads back: what nobody can read again must not be published.

    Some of it comes from a container, and some from the user. Raises Malformed and Limit.
    """
    try:
        data = document.to_bytes()
    except ValueError as error:
        raise Malformed(path, [str(error)]) from error
    document.parse(data, path)
    return data


class Draft:
    """An artifact that is being made: a staging folder, and the version that is kept free for it."""

    def __init__(self, archive: Archive, ref: Ref, staging: atomic.Staging) -> None:
        self.archive, self.ref = archive, ref
        self._staging = staging

    @property
    def folder(self) -> Path:
        return self._staging.path

    def publish(self, metadata: Metadata) -> Path:
        """Move the files into place, metadata last. Returns the metadata's path.

        Raises:
            Exists: a version of that number was published meanwhile.
            Malformed / Limit: the metadata could not be read back.
            UnsafePath: a file's name can't be held by every platform.
            StorageFailed: the disk refuses; nothing was published.
        """
        target = self.archive.root / self.ref.folder
        final = self.archive.root / self.ref.metadata
        data = spelled(metadata, final)
        names = [f.path for f in metadata.files]
        for name in names:
            check_relative(name)
        check_collisions([*names, final.name])
        with atomic.storage(final), atomic.lock(target, LOCK):
            if final.exists():
                raise Exists(final)
            tops = sorted({name.split("/")[0] for name in names})
            for top in tops:
                if os.path.lexists(target / top):
                    raise Exists(target / top)
            for here, folders, files in os.walk(self.folder):
                for folder in folders:
                    os.chmod(os.path.join(here, folder), 0o755)  # noqa: S103  the container's user reads it
                for file in files:
                    os.chmod(os.path.join(here, file), 0o644)
            atomic.sync_tree(self.folder)
            moved = []
            try:
                for top in tops:
                    os.rename(self.folder / top, target / top)
                    moved.append(top)
                atomic.sync_folder(target)
                atomic.write(final, data, replace=False)
            except BaseException:
                if not os.path.lexists(final):
                    for top in moved:
                        with suppress(OSError):
                            os.rename(target / top, self.folder / top)
                raise
        return final


def staged_versions(name: str) -> range:
    """The versions that a staging folder of that name stands for; none where it is no such name."""
    found = _STAGED.match(name)
    return range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)


def _remove_interrupted(folder: Path, tag: str, versions: set[int]) -> None:
    """Remove what a killed `publish` had moved into place already. Call it under the lock."""
    left = {v for v in versions if not (folder / f"metadata_{tag}_v{v}.json").exists()}
    for path in sorted(folder.iterdir()) if left else ():
        found = OWNED.fullmatch(path.name)
        if found and found[1] == tag and int(found[2]) in left:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def draft(
    archive: Archive, grid_size: int, framework: str, version: int | None = None, *, tag: str = ""
) -> Iterator[Draft]:
    """Reserve the next free version (or the one asked for) and give the folder to fill.

    Args:
        tag: what the files' names carry; empty for what the framework's name implies.

    Leaving the block without `publish` frees the version and removes every file.

    Raises Exists where the version asked for is published, or being made by another process.
    """
    with reserved(archive, grid_size, framework, version, tag=tag) as (first, staging):
        yield Draft(archive, Ref(grid_size, framework, first, tag), staging)


@contextmanager
def reserved(
    archive: Archive,
    grid_size: int,
    framework: str,
    version: int | None = None,
    count: int = 1,
    *,
    tag: str = "",
) -> Iterator[tuple[int, atomic.Staging]]:
    """Reserve `count` versions in a row, and give the first of them and a staging folder for all."""
    folder = archive.root / f"grid-size-{grid_size}" / framework
    with atomic.storage(folder), atomic.lock(folder, LOCK):
        live = atomic.live_staging(folder)
        staged = {p.name: versions for p in folder.iterdir() if (versions := staged_versions(p.name))}
        dead = {v for n, versions in staged.items() if n.removesuffix(".guard") not in live for v in versions}
        _remove_interrupted(folder, tag or implied_tag(framework), dead)
        atomic.sweep(folder)
        taken = {v for n, versions in staged.items() if n in live for v in versions}
        taken |= {int(f[2]) for p in folder.iterdir() if (f := OWNED.fullmatch(p.name))}
        if version is None:
            version = max(taken, default=0) + 1
        elif version in taken:
            raise Exists(archive.root / Ref(grid_size, framework, version, tag).metadata)
        last = version + count - 1
        staging = atomic.Staging(folder, f"v{version}" if count == 1 else f"v{version}to{last}")
    with staging:
        yield version, staging


def publish_environment(archive: Archive, staged: Path, record: EnvironmentRecord) -> Path:
    """Move a complete environment folder into place; if another made it meanwhile, keep theirs."""
    final = archive.environments / record.folder
    data = spelled(record, final / "image.json")
    with atomic.storage(final), atomic.lock(archive.environments, LOCK):
        if (final / "image.json").is_file():
            return final
        atomic.write(staged / "image.json", data, replace=False)
        atomic.sync_tree(staged)
        os.rename(staged, final)
        atomic.sync_folder(archive.environments)
    return final
