"""What all transfers from elsewhere share: bounds, types for their failures, several at once.

Knows neither archives nor images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from timeproof.base import atomic
from timeproof.errors import AccessDenied, BadRequest, RemoteFailed, TimeproofError

_T = TypeVar("_T")
_NAMELESS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError"}
_AT_ONCE = 8  # transfers in flight


class Bounded:
    """A stream that gives no more than one byte beyond a limit: enough to see that it was passed."""

    def __init__(self, remote: Any, limit: int | None) -> None:
        self._remote, self._remaining = remote, None if limit is None else limit + 1

    def readinto(self, buffer: memoryview) -> int:
        size = len(buffer) if self._remaining is None else min(len(buffer), self._remaining)
        data = self._remote.read(size) if size else b""
        if self._remaining is not None:
            self._remaining -= len(data)
        buffer[: len(data)] = data
        return len(data)


class Sink:
    """A file of ours that is written to while a remote one is read: its failures are storage's."""

    def __init__(self, file: BinaryIO, target: Path) -> None:
        self._file, self._target = file, target

    def write(self, data: memoryview, /) -> object:
        with atomic.storage(self._target):
            return self._file.write(data)


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Give what a file system of fsspec raises a type of ours; FileNotFoundError goes on."""
    try:
        yield
    except (TimeproofError, FileNotFoundError, MemoryError):
        raise
    except ImportError as error:
        raise BadRequest(
            f"{address} can't be read here: {error}",
            advice="install what speaks that protocol: pip install 'timeproof[s3]', gcsfs, adlfs, …",
        ) from error
    except PermissionError as error:
        raise AccessDenied(
            address,
            f"our credentials are refused, or may not read this: {error}",
            advice="check them: for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        ) from error
    except Exception as error:  # whatever a cloud's own library raises
        if isinstance(error, ValueError) and "rotocol not known" in str(error):
            raise BadRequest(f"{address} can't be read: {error}") from error
        if type(error).__name__ in _NAMELESS:
            raise AccessDenied(
                address,
                f"no credentials are configured: {error}",
                advice="for S3 set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            ) from error
        raise RemoteFailed(address, f"{type(error).__name__}: {error}") from error


def several(act: Callable[[_T], None], things: Iterable[_T]) -> None:
    """Do something for each, several at once; the first failure is raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        started = [pool.submit(act, thing) for thing in things]
        try:
            for future in started:
                future.result()
        except BaseException:
            for future in started:
                future.cancel()
            raise
