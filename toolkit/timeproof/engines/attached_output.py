"""The stdout and stderr of a container that Docker's SDK is attached to."""

from __future__ import annotations

from collections.abc import Iterator

from timeproof.base.limits import LIMITS


class AttachedOutput:
    """Turns the chunks of an attached stream into `read_exactly`; of stderr it keeps a bounded tail."""

    def __init__(self, chunks: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        self._chunks = chunks  # pairs of (stdout, stderr)
        self._stdout = bytearray()  # what came, and was not read yet
        self._log = bytearray()

    def _pull(self) -> bool:
        for out, err in self._chunks:
            if err:
                self._log += err
                del self._log[: -LIMITS.log_bytes]
            if out:
                self._stdout += out
                return True
        return False

    def read_exactly(self, size: int) -> bytes:
        """Read that many bytes of stdout. Raises EOFError where it ends before."""
        while len(self._stdout) < size:
            if not self._pull():
                raise EOFError(f"{size} bytes awaited, {len(self._stdout)} came")
        data = bytes(memoryview(self._stdout)[:size])
        del self._stdout[:size]
        return data

    def drain(self) -> None:
        """Read to the end, and drop what comes on stdout."""
        while self._pull():
            self._stdout.clear()

    @property
    def log(self) -> str:
        """The tail of stderr."""
        return self._log.decode("utf-8", "replace")
