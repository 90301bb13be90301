"""Where a package lies in the package store, and which file names it may have. Text in, text out."""

from __future__ import annotations

from timeproof.base.digests import Digest
from timeproof.base.paths import check_relative
from timeproof.errors import UnsafePath

PACKAGES = "packages"  # the package store's folder in an archive


def check_file_name(name: str) -> str:
    """Return `name` unchanged if it is one safe component. Raises UnsafePath."""
    if "/" in check_relative(name):
        raise UnsafePath(name, "a package's file name has no folder in it")
    if name.startswith((".", "-")):
        raise UnsafePath(name, f"a package's file name does not start with {name[0]!r}")
    return name


def package_path(digest: Digest, file_name: str) -> str:
    """Where a package lies, relative to the store. Raises UnsafePath for a name that is not one component."""
    return f"sha256/{digest.hex[:2]}/{digest.hex}/{check_file_name(file_name)}"


def path_in_archive(digest: Digest, file_name: str) -> str:
    """Where a package lies, relative to the archive. Raises UnsafePath as `package_path` does."""
    return f"{PACKAGES}/{package_path(digest, file_name)}"
