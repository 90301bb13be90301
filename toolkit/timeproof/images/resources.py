"""The files of `images/` and `docker-bake.hcl`: in the installed package, or in a checkout."""

from __future__ import annotations

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
