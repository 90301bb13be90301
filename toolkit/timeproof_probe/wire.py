"""The stream between the probe and the host: frames of a JSON header and raw bytes.

One frame is `TPF1`, the header's length (32 bits, big endian), the header (UTF-8 JSON, an object with
at least `kind` and `payload`), then `payload` raw bytes. Knows nothing of what the frames mean.
"""

import json
import struct
from typing import Any, BinaryIO, Callable, Dict, List, Tuple

CONTRACT = 1
MAGIC = b"TPF1"
HEADER_LIMIT = 4 * 2**20  # bytes
REASON_LIMIT = 4096  # characters of a result's `reason`
LOG_LIMIT = 8192  # bytes kept of what a child printed
PAYLOAD_LIMIT = 2**53  # the largest integer that every JSON reader holds exactly

WITNESSES = ("float64",)  # other ways to run a model than natively; listed in the first frame
NO_LOADER = "the probe has no loader for"  # and the framework; so begins the reason of such a refusal
STATUSES = ("ok", "refused", "altered", "crashed", "timeout", "out_of_memory", "too_large")

_PREFIX = struct.Struct(">4sI")


class WireError(Exception):
    """The stream is not what `write_frame` writes."""


def plain(text: object, limit: int = REASON_LIMIT) -> str:
    """Give `text` as a string that UTF-8 can hold, at most `limit` characters of it."""
    clean = str(text).encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def encode_header(header: Dict[str, Any]) -> bytes:
    """Spell a frame's beginning, up to its payload. Raises ValueError for NaN and lone surrogates."""
    data = json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    return _PREFIX.pack(MAGIC, len(data)) + data


def write_all(stream: BinaryIO, data: Any) -> None:
    """Write all of `data`, also to a raw stream that takes less than it is given."""
    view = memoryview(data).cast("B") if len(data) else memoryview(b"")
    while len(view):
        written = stream.write(view)
        view = view[len(view) if written is None else written :]


def write_frame(stream: BinaryIO, header: Dict[str, Any], payload: Any = b"") -> None:
    """Write one frame; `header["payload"]` is set to the payload's length in bytes.

    Args:
        payload: any C-contiguous buffer.
    """
    size = memoryview(payload).nbytes
    write_all(stream, encode_header(dict(header, payload=size)))
    if size:
        write_all(stream, payload)
    stream.flush()


def _pairs(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return mapping


def _constant(name: str) -> Any:
    raise ValueError(name + " is not JSON")


def parse_header(data: bytes) -> Dict[str, Any]:
    """Read a header strictly: an object with the string `kind` and the size `payload`.

    Raises WireError.
    """
    try:
        header = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_constant)
        json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise WireError("a header is not strict JSON: {}".format(plain(error, 200)))
    if not isinstance(header, dict) or not isinstance(header.get("kind"), str):
        raise WireError("a header has no kind")
    payload = header.get("payload")
    if type(payload) is not int or not 0 <= payload <= PAYLOAD_LIMIT:
        raise WireError("a header's payload is not a size")
    return header


def read_frame(read_exactly: Callable[[int], bytes], header_limit: int = HEADER_LIMIT) -> Dict[str, Any]:
    """Read one frame's header; the caller then reads `header["payload"]` bytes, within its own bound.

    Args:
        read_exactly: gives exactly that many bytes, or raises; its exceptions pass through.
        header_limit: bytes; a longer header is refused before it is read.

    Raises:
        WireError: wrong magic, too long, or not a strict header.
    """
    prefix = read_exactly(_PREFIX.size)
    if len(prefix) != _PREFIX.size:
        raise WireError("the stream ends within a frame")
    magic, length = _PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise WireError("a frame starts with {!r}, not {!r}".format(magic, MAGIC))
    if length > header_limit:
        raise WireError("a header of {} bytes, at most {}".format(length, header_limit))
    return parse_header(read_exactly(length))
