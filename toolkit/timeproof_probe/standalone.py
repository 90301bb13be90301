"""Without a toolkit on the host: run one artifact, named by its metadata file, and give its outputs as a tar.

The members `output_0`, `output_1`, … hold the bytes of the arrays in C order, and nothing else: their
SHA-256 are those that the metadata lists, in the same order.
"""

import io
import json
import os
import sys
import tarfile
import tempfile
from typing import Any, BinaryIO, Callable, Dict, List

from timeproof_probe import job as jobs
from timeproof_probe import wire

SECONDS = 3600.0  # for the whole of it
OUTPUT_BYTES = 2 * 2**30  # of the outputs

Run = Callable[[BinaryIO], Dict[str, Any]]


def read_metadata(path: str) -> Dict[str, Any]:
    """Read the part of a metadata file that a job needs. Raises BadJob and OSError."""
    with open(path, "rb") as stream:
        data = stream.read(jobs.JOB_LIMIT)
    try:
        document = json.loads(data.decode("utf-8"))
        metadata = {
            "framework": document["framework"]["name"],
            "model": document["model"]["file"],
            "options": document["model"]["options"],
            "files": [f for f in document["files"] if f["role"] not in ("optional", "witness")],
            "reference": [f["path"] for f in document["files"] if f["role"] == "reference"][0],
            "names": [i["name"] for i in document["inputs"]],
            "threads": document["profile"]["threads"],
            "variables": {str(k): str(v) for k, v in document["profile"]["variables"].items()},
        }
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise jobs.BadJob("it is no artifact's metadata: {!r}".format(error))
    return metadata


def enter_profile(metadata: Dict[str, Any]) -> None:
    """Start this program again under the recorded profile's variables, where it is not under them yet."""
    if all(os.environ.get(name) == value for name, value in metadata["variables"].items()):
        return
    with open("/proc/self/cmdline", "rb") as stream:
        words = [word for word in stream.read().split(b"\0") if word]
    os.execve(sys.executable, words, dict(os.environ, **metadata["variables"]))  # noqa: S606  no shell is wanted


def job_of(metadata: Dict[str, Any], directory: str) -> Dict[str, Any]:
    """Make the job that runs this one artifact, and its native model alone. Raises BadJob."""
    return jobs.check(
        {
            "contract": wire.CONTRACT,
            "threads": metadata["threads"],
            "seconds": SECONDS,
            "artifacts": [
                {
                    "id": "artifact",
                    "framework": metadata["framework"],
                    "directory": directory,
                    "files": metadata["files"],
                    "model": metadata["model"],
                    "inputs": {"file": metadata["reference"], "names": metadata["names"]},
                    "options": metadata["options"],
                    "timeout": SECONDS,
                    "output_bytes": OUTPUT_BYTES,
                }
            ],
        }
    )


def give(run: Run, out: BinaryIO) -> int:
    """Run the artifact, and write its outputs to `out` if it succeeds; else write nothing.

    Returns the exit code: 0, or 1 where there are no outputs; stderr then says why.
    """
    with tempfile.TemporaryFile() as frames:
        outcome = run(frames)
        if outcome["status"] != "ok":
            if outcome["log"]:
                print(outcome["log"], file=sys.stderr)
            print("{}: {}".format(outcome["status"], outcome["reason"]), file=sys.stderr)
            return 1
        end = frames.tell()
        frames.seek(0)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
            while frames.tell() < end:
                _add(tar, frames)
    out.flush()
    return 0


def _add(tar: tarfile.TarFile, frames: BinaryIO) -> None:
    header = wire.read_frame(frames.read)
    info = tarfile.TarInfo("output_{}".format(header["index"]))
    info.size, info.mode = header["payload"], 0o644
    tar.addfile(info, _Part(frames, info.size))
    words: List[Any] = [info.name, header["name"], header["dtype"], header["shape"]]
    print("{}: {}, {} {}".format(*words), file=sys.stderr)


class _Part(io.RawIOBase):
    """The next bytes of a stream, as a file of their own."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        io.RawIOBase.__init__(self)
        self._stream = stream
        self._remaining = size

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self._remaining if size < 0 else min(size, self._remaining))
        self._remaining -= len(data)
        return data
