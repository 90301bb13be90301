"""Where a package lies in the package store, and which file names it may have. Text in, text out."""

from __future__ import annotations

import re

from timeproof.base.digests import Digest
from timeproof.base.paths import check_relative
from timeproof.errors import UnsafePath

PACKAGES = "packages"  # the package store's folder in an archive
_IN_ARCHIVE = re.compile(rf"{PACKAGES}/sha256/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})/([^/]+)")


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


def digest_in_path(path: str) -> Digest | None:
    """The digest that a path of the archive promises, where it is a package's place; else None.

    `digest_in_path(path_in_archive(d, name)) == d`.
    """
    match = _IN_ARCHIVE.fullmatch(path)
    if match is None:
        return None
    try:
        check_file_name(match[3])
    except UnsafePath:
        return None
    return Digest(match[2])
