"""Addresses of archives that lie elsewhere: which text is one, and what is called after it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from timeproof.base.digests import Digest
from timeproof.errors import NotFound
from timeproof.store.layout import Archive, is_address


def address_of(text: str | Path) -> str | None:
    """The remote address that `text` is; None for a folder's path. pathlib halves an address's slashes."""
    text = os.fspath(text)
    if not is_address(text):
        return None
    kind, _, rest = text.partition(":")
    return f"{kind}://{'/' if kind == 'file' else ''}{rest.strip('/')}"


def folder_name(address: str) -> str:
    """A folder for a mirror, in which people recognise the address."""
    plain = re.sub(r"[^a-z0-9.-]+", "-", address.lower()).strip("-.")[:60]
    return f"{plain}-{Digest.of(address.encode()).hex[:12]}"


def nothing_there(address: str) -> NotFound:
    return NotFound(
        f"there is no archive at {address}: no such bucket or folder, or it is empty",
        advice="check the address, and the endpoint that your configuration names",
    )


class Copy(Archive):
    """A whole copy of a remote archive: people know its files by their addresses."""

    def __init__(self, root: Path, address: str) -> None:
        super().__init__(root)
        self._address = address

    @property
    def name(self) -> str:
        return self._address

    def public_path(self, path: str) -> str:
        if not Path(path).is_relative_to(self.root):
            return path
        relative = Path(path).relative_to(self.root).as_posix()
        return self._address if relative == "." else f"{self._address}/{relative}"
