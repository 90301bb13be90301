"""What a registry answers: read within bounds, and its refusals given types of ours. Knows no image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from timeproof.errors import AccessDenied, Limit, RemoteFailed
from timeproof.store.registry import auth as login

if TYPE_CHECKING:
    import requests


class Cut(Exception):
    """A transfer ended before its end."""


class Body:
    """The bytes of an answer, as a stream that never gives more than was declared."""

    def __init__(self, answer: requests.Response, where: str, limit: int) -> None:
        self._raw, self._where, self._limit, self._count = answer.raw, where, limit, 0
        length = answer.headers.get("Content-Length", "")
        self._expected = int(length) if length.isdecimal() and len(length) < 20 else None

    def readinto(self, buffer: memoryview) -> int:
        from urllib3.exceptions import HTTPError

        try:
            data = self._raw.read(len(buffer), decode_content=False)
        except (HTTPError, OSError) as error:
            raise Cut(str(error)) from error
        if not data and self._expected is not None and self._count < self._expected:
            raise Cut(f"{self._count} of {self._expected} bytes came")
        self._count += len(data)
        if self._count > self._limit:
            raise Limit(self._where, f"the registry sends more than the {self._limit} bytes declared")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def speaking(where: str) -> Iterator[None]:
    import requests

    try:
        yield
    except requests.RequestException as error:
        why = "it speaks no TLS" if "WRONG_VERSION_NUMBER" in str(error) else "it does not answer"
        raise RemoteFailed(
            where, f"{why}: {error}", advice="check the address; without TLS write http://HOST/NAME"
        ) from error


def require(answer: requests.Response, where: str, status: int) -> None:
    if answer.status_code == status:
        return
    text = answer.raw.read(2000, decode_content=True).decode("utf-8", "replace") if answer.raw else ""
    text = text or answer.reason or ""
    if answer.status_code in {401, 403}:
        raise AccessDenied(
            where,
            f"the registry refuses our name or password, or may not give this (status {answer.status_code})",
            advice=f"run 'docker login', or set {login.USER} and {login.PASSWORD}",
        )
    raise RemoteFailed(where, f"the registry answered with status {answer.status_code}: {text[:300]}")
