"""An image with nothing in it, in which the toolkit's own programs run from mounts alone."""

from __future__ import annotations

import io
import os
import tarfile

from timeproof.base.digests import Digest
from timeproof.engines import platforms, single_layer_image
from timeproof.engines.protocol import Engine
from timeproof.environments.conda.package_format import tar_entry
from timeproof.environments.toolbox.frames import PLACE
from timeproof.environments.toolbox.host_runtime import libraries, own_interpreter


def empty_layer() -> bytes:
    """A tar with nothing but /tmp, and the name by which programs ask for their loader."""
    loader, _ = libraries((own_interpreter(),))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tmp = tar_entry("tmp", kind=tarfile.DIRTYPE)
        tmp.mode = 0o1777  # Docker gives what it mounts there the same mode
        tar.addfile(tmp)
        *folders, name = loader.strip("/").split("/")
        for depth in range(1, len(folders) + 1):
            tar.addfile(tar_entry("/".join(folders[:depth]), kind=tarfile.DIRTYPE))
        link = tar_entry(loader.strip("/"), kind=tarfile.SYMTYPE)
        link.linkname = f"{PLACE}/lib/{name}"
        tar.addfile(link)
    return out.getvalue()


def provide_empty_image(engine: Engine) -> str:
    """See that the engine holds the empty image; return its id. Raises EngineFailed, EngineLost."""
    layer = empty_layer()
    platform = f"linux/{platforms.architecture(os.uname().machine)}"
    return single_layer_image.provide(engine, "timeproof/empty", layer, Digest.of(layer), platform)
