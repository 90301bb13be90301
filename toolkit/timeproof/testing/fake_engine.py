"""An engine without containers, whose failures are real ones; and the frames that a probe writes."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.engines.protocol import ImageFacts, ReadExactly, RunResult, RunSpec
from timeproof.store.reference import describe
from timeproof_probe import wire

HELLO = {"kind": "hello", "contract": 1, "python": "3.11.7", "machine": {"cpu": "a CPU"}}


def frame(header: Mapping[str, Any], payload: bytes = b"") -> bytes:
    stream = io.BytesIO()
    wire.write_frame(stream, dict(header), payload)
    return stream.getvalue()


def raw(header: bytes, payload: bytes = b"") -> bytes:
    """A frame whose header is whatever bytes are given."""
    return b"TPF1" + len(header).to_bytes(4, "big") + header + payload


def output(id: str, name: str, array: Any, runner: str = "native") -> bytes:
    array = np.asarray(array)
    header = {
        "kind": "output",
        "id": id,
        "runner": runner,
        "name": name,
        "dtype": describe(array.dtype),
        "shape": list(array.shape),
    }
    return frame(header, array.tobytes())


def result_frame(id: str, status: str = "ok", **more: Any) -> bytes:
    header = {"kind": "result", "id": id, "status": status, "reason": "", "signal": None, "seconds": 0.1}
    return frame({**header, "log": "", "versions": {}, "copies": {}, **more})


def answer(id: str, outputs: Mapping[str, Any]) -> bytes:
    """All that a probe writes for one artifact that went well."""
    return b"".join([*(output(id, n, a) for n, a in outputs.items()), result_frame(id)])


DONE = frame({"kind": "done"})


def stream(*frames: bytes, done: bool = True) -> bytes:
    return frame(HELLO) + b"".join(frames) + (DONE if done else b"")


def on_host(spec: RunSpec, inside: str) -> Path:
    """Where on this machine lies what a container has at `inside`."""
    for mount in spec.mounts:
        if inside == mount.target or inside.startswith(f"{mount.target}/"):
            return Path(mount.source, inside.removeprefix(mount.target).lstrip("/"))
    raise LookupError(inside)


Script = Callable[[dict[str, Any], RunSpec], tuple[bytes, RunResult]]


def ended(**how: Any) -> RunResult:
    facts: dict[str, Any] = {
        "exit_code": 0,
        "oom_killed": False,
        "timed_out": False,
        "log": "",
        "seconds": 0.2,
    }
    return RunResult(**(facts | how))


class FakeEngine:
    """Holds images by id, and answers a job with the bytes that its script gives."""

    name = "fake"
    builds = True

    def __init__(self, script: Script | None = None, images: Iterable[ImageFacts] = ()) -> None:
        self.script = script
        self.images = {i.id: i for i in images}
        self.calls: list[str] = []
        self.specs: list[RunSpec] = []
        self.jobs: list[dict[str, Any]] = []
        self.loads: Callable[[bytes], ImageFacts | None] = lambda _: None
        self.lost: BaseException | None = None

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if self.lost is not None:
            raise self.lost

    def version(self) -> dict[str, str]:
        self._called("version")
        return {"engine": "fake", "version": "1", "arch": "amd64"}

    def caveats(self) -> tuple[str, ...]:
        return ()

    def reap(self) -> int:
        return 0

    def inspect(self, image: str) -> ImageFacts | None:
        self._called(f"inspect {image}")
        return self.images.get(image)

    def load(self, archive: Iterable[bytes]) -> None:
        data = b"".join(archive)
        self._called("load")
        if (facts := self.loads(data)) is not None:
            self.images[facts.id] = facts

    def drop(self, image: str) -> None:
        self._called(f"drop {image}")
        self.images.pop(image, None)

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        self._called("run")
        self.specs.append(spec)
        job = next(m.source for m in spec.mounts if m.target == "/job/job.json")
        self.jobs.append(json.loads(Path(job).read_bytes()))
        assert self.script is not None
        data, result = self.script(self.jobs[-1], spec)
        stdout = io.BytesIO(data)

        def read_exactly(size: int) -> bytes:
            part = stdout.read(size)
            if len(part) < size:
                raise EOFError(f"{size} bytes awaited, {len(part)} came")
            return part

        with contextlib.suppress(EOFError):
            consume(read_exactly)
        return result


def answering(answers: Mapping[str, Mapping[str, Any]]) -> Script:
    """A script that answers every artifact of the job as given, by id."""

    def script(job: dict[str, Any], _: RunSpec) -> tuple[bytes, RunResult]:
        return stream(*(answer(a["id"], answers[a["id"]]) for a in job["artifacts"])), ended()

    return script


def saying(data: bytes, **how: Any) -> Script:
    """A script that writes `data`, whatever was asked."""
    return lambda _job, _spec: (data, ended(**how))
