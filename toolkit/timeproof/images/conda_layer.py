"""The conda packages of an environment as one layer in the package store, made once a process."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from timeproof.base.digests import Digest
from timeproof.base.progress import Progress
from timeproof.environments.conda.layer import BaseRoot, conda_part
from timeproof.store.packages import PackageStore
from timeproof.store.schema.v1 import PackageEntry

_layers: dict[tuple[str, ...], PackageEntry] = {}


def conda_layer(
    store: PackageStore, packages: Sequence[PackageEntry], base: PackageEntry, progress: Progress
) -> PackageEntry:
    """Lay out the conda packages among `packages`, in a container on `base`; return what the store has then.

    The same packages give the same bytes, so once a process is enough.

    Raises what `conda.layer` raises; Missing / DigestMismatch: the base in the store is not the recorded one.
    """
    conda = [p for p in packages if p.kind == "conda"]
    key = (str(store.root.resolve()), *sorted(p.sha256 for p in conda))
    layer = _layers.get(key)
    if layer is None or not store.has(Digest(layer.sha256), layer.file):
        layer = _layers[key] = _make(store, conda, base, progress)
    return layer


def _make(
    store: PackageStore, conda: Sequence[PackageEntry], base: PackageEntry, progress: Progress
) -> PackageEntry:
    progress.step("Installing the interpreter into its layer")
    root = BaseRoot(store.verified(Digest(base.sha256), base.file), Digest(base.sha256))
    digests = [Digest(p.sha256) for p in conda]  # checked while the files are copied
    paths = [store.path(digest, p.file) for digest, p in zip(digests, conda, strict=True)]
    with tempfile.TemporaryDirectory(prefix="timeproof-conda-") as scratch:
        tar = Path(scratch) / "conda-part.tar"
        digest = conda_part(paths, tar, root, digests=digests)
        store.add_file(tar, tar.name, expected=digest)
        return PackageEntry(
            kind="conda-part",
            name="conda-part",
            version="",
            file=tar.name,
            size=tar.stat().st_size,
            sha256=digest.hex,
        )
