"""Where images and artifacts lie in a registry: `HOST[:PORT]/NAME`. Text in, text out."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from timeproof.errors import BadRequest

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"  # OCI distribution 1.1, "Pulling manifests"
_NAME = re.compile(rf"(https?://)?([a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(:\d{{1,5}})?/({_PART}(?:/{_PART})*)")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")  # likewise
_REFERENCE = re.compile(rf"(.+/[^:@/]+)(?::({TAG.pattern})|@(sha256:[0-9a-f]{{64}}))")
_API = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True)
class Repository:
    """A place for images: `HOST[:PORT]/NAME`."""

    host: str
    name: str
    scheme: str = "https"

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{_API.get(self.host, self.host)}/v2/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read `HOST/NAME`; `http://` in front, or a loopback host, means no TLS. Raises BadRequest."""
        match = _NAME.fullmatch(text)
        if not match or len(text) > 512:
            raise BadRequest(
                f"{text!r} is no repository of a registry",
                advice="write HOST[:PORT]/NAME, the name in lower case: registry.example.org/models",
            )
        scheme = match[1] or ("http://" if _loopback(match[2]) else "https://")
        return cls(match[2] + (match[3] or ""), match[4], scheme.removesuffix("://"))


def parse_reference(text: str) -> tuple[Repository, str]:
    """Read `HOST/NAME:TAG` or `HOST/NAME@sha256:…`: repository, and tag or digest. Raises BadRequest."""
    match = _REFERENCE.fullmatch(text)
    if not match or len(text) > 1024:
        raise BadRequest(
            f"{text!r} names nothing in a registry",
            advice="write HOST[:PORT]/NAME:TAG, or HOST[:PORT]/NAME@sha256:DIGEST",
        )
    return Repository.parse(match[1]), match[2] or match[3]


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
