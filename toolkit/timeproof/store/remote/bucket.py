"""A bucket that is written to: an object is created only where there is none, and replaced only unchanged.

Knows no archive. What an object means, and in which order they are written, `bucket_storage` knows.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import (
    AccessDenied,
    BadRequest,
    Exists,
    Limit,
    RemoteFailed,
    StorageFailed,
    TimeproofError,
)
from timeproof.store.remote.address import nothing_there
from timeproof.store.remote.transfer import Bounded

_T = TypeVar("_T")
_PART = 8 * 2**20  # bytes of one part of a large upload
_PARTS = 2  # of one file, in flight
_NOT_MET = {"PreconditionFailed", "412"}
_AGAIN = {"ConditionalRequestConflict", "OperationAborted", "409"}  # another writer was there at that moment


@dataclass(frozen=True, slots=True)
class Listed:
    """An object, as a listing has it."""

    size: int  # bytes
    modified: datetime  # by the server's clock


class Bucket(Protocol):
    """The objects below one address, by their paths below it.

    Laws:
        Of several `create` of one path, exactly one gives True.
        An object is read whole, as it was before a write or after it.
    """

    address: str

    def create(self, path: str, source: Path | bytes) -> bool:
        """Write an object that is not there. False, and nothing is written, where there is one."""

    def replace(self, path: str, data: bytes, tell: str) -> bool:
        """Write an object while it is still the one that `tell` stands for. False where it is not."""

    def overwrite(self, path: str, source: Path) -> None:
        """Write an object, whatever is there."""

    def read(self, path: str, limit: int = LIMITS.json_bytes) -> tuple[bytes, str] | None:
        """An object's bytes and its `tell`; None where there is none. Raises Limit."""

    def size(self, path: str) -> int | None:
        """How many bytes an object has; None where there is none."""

    def digest(self, path: str) -> Digest | None:
        """The SHA-256 of an object's bytes, read anew; None where there is none."""

    def listed(self, folder: str) -> dict[str, Listed]:
        """What a listing has below a folder, by the path below that. It may be some moments old."""

    def remove(self, path: str) -> None:
        """Remove an object; where there is none, nothing is done."""


class S3Bucket:
    """Objects in S3, or in what speaks S3, through fsspec.

    Args:
        files: an s3fs file system. base: the bucket, and the folder in it.
    """

    def __init__(self, address: str, files: Any, base: str) -> None:
        self.address, self._files, self._base = address, files, base.rstrip("/")

    def create(self, path: str, source: Path | bytes) -> bool:
        return self._put(path, source, mode="create")

    def replace(self, path: str, data: bytes, tell: str) -> bool:
        return self._put(path, data, IfMatch=tell)

    def overwrite(self, path: str, source: Path) -> None:
        self._put(path, source)

    def _put(self, path: str, source: Path | bytes, **condition: str) -> bool:
        at = f"{self._base}/{path}"

        def put() -> None:
            if isinstance(source, bytes):
                self._files.pipe_file(at, source, **condition)
            else:
                self._files.put_file(str(source), at, chunksize=_PART, max_concurrency=_PARTS, **condition)

        with writing(f"{self.address}/{path}", self.address):
            return _conditionally(put)

    def read(self, path: str, limit: int = LIMITS.json_bytes) -> tuple[bytes, str] | None:
        where = f"{self.address}/{path}"

        def read(stream: Any) -> tuple[bytes, str]:
            return stream.read(limit + 1), str(stream.details["ETag"])

        content = self._open(path, read)
        if content is not None and len(content[0]) > limit:
            raise Limit(where, f"more than {limit} bytes")
        return content

    def digest(self, path: str) -> Digest | None:
        return self._open(path, lambda stream: Digest.of_stream(Bounded(stream, None))[0])  # type: ignore[arg-type]  # it has readinto

    def _open(self, path: str, read: Callable[[Any], _T]) -> _T | None:
        """Read an object; where it is replaced meanwhile, the new one."""
        with writing(f"{self.address}/{path}", self.address):
            for attempt in range(1, LIMITS.remote_tries + 1):
                try:
                    with self._files.open(f"{self._base}/{path}", "rb") as stream:
                        return read(stream)
                except FileNotFoundError:
                    return None
                except OSError as error:
                    if error_code(error) not in _NOT_MET or attempt == LIMITS.remote_tries:
                        raise
        return None

    def size(self, path: str) -> int | None:
        with writing(f"{self.address}/{path}", self.address):
            try:
                return int(self._files.info(f"{self._base}/{path}")["size"])
            except FileNotFoundError:
                return None

    def listed(self, folder: str) -> dict[str, Listed]:
        with writing(f"{self.address}/{folder}", self.address):
            try:
                entries = self._files.find(f"{self._base}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
        begin = f"{self._base}/{folder}/"
        return {
            name.removeprefix(begin): Listed(
                int(facts.get("size") or 0), facts.get("LastModified") or datetime.now(UTC)
            )
            for name, facts in entries.items()
            if name.startswith(begin)
        }

    def remove(self, path: str) -> None:
        with writing(f"{self.address}/{path}", self.address):
            try:
                self._files.rm_file(f"{self._base}/{path}")
            except FileNotFoundError:
                return


def _conditionally(put: Callable[[], object]) -> bool:
    """Write on a condition; whether it held. Where two writers met, it is tried again."""
    for attempt in range(1, LIMITS.remote_tries + 1):
        try:
            put()
            return True
        except OSError as error:
            code = error_code(error)
            if code in _NOT_MET or isinstance(error, FileExistsError):
                return False
            if code not in _AGAIN or attempt == LIMITS.remote_tries:
                raise
        time.sleep(0.1 * attempt)
    return False


def error_code(error: BaseException) -> str:
    """The server's own word for a failure; empty where it has none."""
    response = getattr(error.__cause__, "response", None)
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    return str(code)


@contextmanager
def writing(place: str, address: str) -> Iterator[None]:
    """Give what fails while `place` is written to a type of ours; FileNotFoundError is: no such bucket.

    Args:
        address: of the whole archive.
    """
    try:
        yield
    except (TimeproofError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise nothing_there(address) from error
    except PermissionError as error:
        raise AccessDenied(
            place,
            f"our credentials are refused, or may not write this: {error}",
            advice="nothing was published; check them: for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
            " or AWS_PROFILE, with the right to put, get, list and delete",
        ) from error
    except Exception as error:  # whatever a cloud's own library raises
        failed = StorageFailed(place, f"{error_code(error) or type(error).__name__}: {error}")
        failed.advice = (
            "nothing was published; see that the bucket answers and has room, and run the same command again"
        )
        raise failed from error


def bucket_at(address: str, files: Any, base: str) -> Bucket:
    """The bucket at an address. Raises BadRequest where writing there is not known to be safe."""
    if not address.startswith("s3://"):
        raise BadRequest(
            f"{address} can only be read: two writers would not be kept apart there",
            advice="archive into s3://BUCKET/FOLDER, or into a folder that is copied there as it is",
        )
    return S3Bucket(address, files, base)


def require_conditions(bucket: Bucket) -> None:
    """See that a bucket keeps to the conditions of writes. Raises BadRequest: some servers ignore them."""
    probe = f"{atomic.STAGING}{secrets.token_hex(8)}"
    try:
        bucket.create(probe, b"1")
        ignored = bucket.create(probe, b"2") or bucket.replace(probe, b"3", f'"{"0" * 32}"')
    finally:
        with suppress(StorageFailed, RemoteFailed):
            bucket.remove(probe)
    if ignored:
        raise BadRequest(
            f"{bucket.address} can only be read: its server ignores the conditions of writes (If-None-Match,"
            " If-Match), so two writers would not be kept apart",
            advice="archive into a folder and copy that there, or use a server that keeps to them",
        )


def create(bucket: Bucket, path: str, source: Path) -> bool:
    """Create an object; False where it was there already, the same to the byte. Raises Exists otherwise.

    The answer to a write can be lost, and the write is then tried again: what is there may be our own.
    """
    if bucket.create(path, source):
        return True
    if bucket.size(path) == source.stat().st_size and bucket.digest(path) == digest_of(source):
        return False
    raise Exists(f"{bucket.address}/{path}")


def digest_of(path: Path) -> Digest:
    with path.open("rb", buffering=0) as stream:
        return Digest.of_stream(stream)[0]
