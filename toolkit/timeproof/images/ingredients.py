"""What one image is made of: a base, the layer of its conda packages, its wheels, and the probe."""

from __future__ import annotations

from dataclasses import dataclass

from timeproof.base.progress import Progress
from timeproof.environments.lock.document import Lock, Package
from timeproof.images.base_rootfs import shared_base
from timeproof.images.conda_layer import conda_layer
from timeproof.store.packages import PackageStore
from timeproof.store.schema.v1 import PackageEntry


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What one image is made of. The packages lie in the package store; `probe` is a tar."""

    base: PackageEntry
    conda_part: PackageEntry
    wheels: tuple[PackageEntry, ...]
    probe: bytes


def base_entry(store: PackageStore, lock: Lock, progress: Progress) -> PackageEntry:
    """The base that the lock names, which the store must hold; or a new one where it names none."""
    if lock.base is None:
        return shared_base(store, progress)
    digest, name = lock.base
    with store.open_verified(digest, name) as stream:
        size = stream.seek(0, 2)
    return PackageEntry(
        kind="base", name=name.rsplit(".", 1)[0], version="", file=name, size=size, sha256=digest.hex
    )


def package_entry(store: PackageStore, package: Package) -> PackageEntry:
    """A locked package as an environment's record lists it. It must be in the store."""
    return PackageEntry(
        kind="wheel" if package.manager == "pip" else "conda",
        name=package.name,
        version=package.version,
        file=package.file_name,
        size=store.path(package.sha256, package.file_name).stat().st_size,
        sha256=package.sha256.hex,
    )


def make_ingredients(
    store: PackageStore, lock: Lock, platform: str, base: PackageEntry, probe: bytes, progress: Progress
) -> tuple[Ingredients, list[PackageEntry]]:
    """Lay out the lock's conda packages in a layer; return the ingredients, and every package of the image.

    Raises what `conda_layer` raises. Every package of the lock must be in the store.
    """
    packages = [package_entry(store, p) for p in lock.for_platform(platform)]
    conda_part = conda_layer(store, packages, base, progress)
    wheels = tuple(p for p in packages if p.kind == "wheel")
    return Ingredients(base, conda_part, wheels, probe), [base, conda_part, *packages]
