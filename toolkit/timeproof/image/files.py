"""The files of `images/` and `docker-bake.hcl`: in the installed package, or in a checkout."""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from pathlib import Path

from timeproof.errors import NotFound

_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent.parent


def image_file(name: str) -> Path:
    """The path of one of our own image files, such as `base/make.sh`."""
    for root in (_PACKAGE / "_images", _CHECKOUT / "images"):
        if (root / name).exists():
            return root / name
    raise NotFound(f"timeproof's own file images/{name} is missing", advice="install timeproof again")


def bake_file() -> Path:
    """The path of docker-bake.hcl."""
    for path in (_PACKAGE / "_images" / "docker-bake.hcl", _CHECKOUT / "docker-bake.hcl"):
        if path.exists():
            return path
    raise NotFound("timeproof's own docker-bake.hcl is missing", advice="install timeproof again")


def probe_files() -> list[Path]:
    """The probe's own files, sorted by name."""
    return sorted((_PACKAGE / "probe").glob("*.py"))


def installer_zip() -> tuple[str, bytes]:
    """The `installer` package (PyPA), as the zip that a recipe freezes: (file name, bytes).

    It is made of the installed distribution, so that no network is needed; it is pure Python.
    """
    found = importlib.metadata.distribution("installer")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(found.files or (), key=str):
            if file.parts[0] == "installer" and file.suffix != ".pyc":
                info = zipfile.ZipInfo(str(file), (1980, 1, 1, 0, 0, 0))
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, file.read_binary())
    return f"installer-{found.version}.zip", stream.getvalue()
