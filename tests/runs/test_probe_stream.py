"""Which frames are outputs, which only fail their own artifact, and which end the reading of the stream."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from timeproof.base.limits import LIMITS
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import RunResult
from timeproof.runs.probe_stream import Outcome, ProbeRun, ProtocolViolation, Reader
from timeproof.testing.fake_engine import DONE, HELLO, frame, output
from timeproof.testing.fake_engine import result_frame as finish

LIMIT, HEADER = 1 << 16, 1 << 15
SMALL = replace(LIMITS, output_bytes=LIMIT, frame_header_bytes=HEADER)
ALL_BYTES = LIMIT + HEADER  # outputs with their headers


class Stream:
    """A reader of two artifacts' frames: `a` has a copy called onnx, `b` has none."""

    def __init__(self) -> None:
        self.done: list[str] = []
        hello: dict[str, Any] = {}
        outcomes = {name: Outcome(name) for name in ("a", "b")}
        self.run = ProbeRun(outcomes, hello, RunResult(None, False, False, "", 0.0))
        runners = {"a": {"native", "onnx"}, "b": {"native"}}
        self.reader = Reader(self.run, runners, SMALL, lambda outcome: self.done.append(outcome.id))

    def read(self, *frames: bytes) -> Stream:
        source = io.BytesIO(b"".join(frames) + DONE)

        def exactly(size: int) -> bytes:
            data = source.read(size)
            assert len(data) == size, "the reader asks for more bytes than the frames hold"
            return data

        self.reader(exactly)
        assert not source.read(), "the reader stops before the end"
        return self


def odd(**changed: object) -> bytes:
    """An output of `a` whose header holds other values; 16 bytes follow unless `size` says otherwise."""
    size = changed.pop("size", 16)
    assert isinstance(size, int)
    header = {"kind": "output", "id": "a", "runner": "native", "name": "y", "dtype": "<f8", "shape": [2]}
    return frame({**header, **changed}, bytes(size))


def test_outputs_are_kept_by_runner_and_name():
    run = Stream().read(output("a", "y", [1.0]), output("a", "y", [2.0], "onnx"), finish("a")).run
    assert run.outcomes["a"].failure is None
    assert run.outcomes["a"].native["y"].tolist() == [1.0]
    assert run.outcomes["a"].outputs["onnx"]["y"].tolist() == [2.0]
    assert run.outcomes["b"].failure is Verdict.lost


INVALID = {
    "a negative length": (odd(shape=[-2], size=0), "shape [-2]"),
    "two negative lengths, whose product is right": (odd(shape=[-1, -2]), "shape [-1, -2]"),
    "a length beyond the largest integer": (odd(shape=[2**53 + 1, 0], size=0), "shape"),
    "true as a length": (odd(shape=[True, 2]), "shape [True, 2]"),
    "a float as a length": (odd(shape=[2.0]), "shape [2.0]"),
    "fewer bytes than its shape": (odd(size=8), "8 bytes"),
    "more bytes than its shape": (odd(size=24), "24 bytes"),
    "an unknown dtype": (odd(dtype="<q9"), "<q9"),
    "Python objects": (odd(dtype="|O"), "Python objects"),
    "another runner": (odd(runner="torch"), "'torch', which is not in the job"),
    "no name": (odd(name=None), "without name, runner or shape"),
    "no runner": (odd(runner=7), "without name, runner or shape"),
    "no shape": (odd(shape=2), "without name, runner or shape"),
    "the same output twice": (odd() + odd(), "'y' twice"),
    "a shape that NumPy has no array of": (odd(shape=[0, 2**53, 2**53], size=0), "shape"),
}


@pytest.mark.parametrize("what", INVALID)
def test_an_invalid_output_fails_only_its_own_artifact(what):
    frames, reason = INVALID[what]
    stream = Stream().read(frames, finish("a"), output("b", "y", [1.0]), finish("b"))
    assert stream.run.outcomes["a"].failure is Verdict.crashed
    assert reason in stream.run.outcomes["a"].reason
    assert stream.run.outcomes["a"].outputs == {}
    assert stream.run.outcomes["b"].failure is None
    assert stream.done == ["a", "b"]


def test_after_an_invalid_output_the_artifacts_later_outputs_are_skipped():
    outcome = Stream().read(odd(shape=[-2], size=0), output("a", "z", [1.0]), finish("a")).run.outcomes["a"]
    assert outcome.failure is Verdict.crashed
    assert "shape [-2]" in outcome.reason, "the first invalid output is the reason"
    assert outcome.outputs == {}


def test_an_artifact_that_failed_by_itself_is_crashed_where_an_output_was_invalid():
    outcome = Stream().read(odd(size=8), finish("a", "refused", reason="no")).run.outcomes["a"]
    assert outcome.failure is Verdict.crashed
    assert "invalid output" in outcome.reason


def flood(count: int, array: Any, runner: str = "native") -> list[bytes]:
    return [output("a", f"y{k}", array, runner) for k in range(count)]


def test_the_outputs_of_one_runner_are_summed():
    """Each is below the limit, and so are the two of either runner; three of one are not."""
    half = np.zeros(ALL_BYTES // 2 - 512, np.uint8)
    outcome = Stream().read(*flood(2, half), *flood(2, half, "onnx"), finish("a")).run.outcomes["a"]
    assert outcome.failure is None
    outcome = Stream().read(*flood(3, half), finish("a")).run.outcomes["a"]
    assert outcome.failure is Verdict.crashed
    assert f"more than {LIMIT} bytes" in outcome.reason


def test_outputs_without_bytes_count_by_their_headers():
    outcome = Stream().read(*flood(ALL_BYTES // 64, np.zeros(0)), finish("a")).run.outcomes["a"]
    assert outcome.failure is Verdict.crashed
    assert f"more than {LIMIT} bytes" in outcome.reason


def test_elements_without_bytes_count_by_their_number():
    few, many = (odd(dtype="|S0", shape=[n], size=0) for n in (LIMIT, ALL_BYTES + 1))
    assert Stream().read(few, finish("a")).run.outcomes["a"].failure is None
    outcome = Stream().read(many, finish("a")).run.outcomes["a"]
    assert outcome.failure is Verdict.crashed
    assert f"more than {LIMIT} bytes" in outcome.reason


STATUSES = ["refused", "altered", "crashed", "timeout", "out_of_memory", "too_large"]


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_is_the_verdict_of_its_name(status):
    outcome = Stream().read(output("a", "y", [1.0]), finish("a", status, reason="why")).run.outcomes["a"]
    assert outcome.failure is Verdict(status)
    assert (outcome.reason, outcome.outputs) == ("why", {})


VIOLATIONS = {
    "an unknown status": (finish("a", "splendid"), "a result of status 'splendid'"),
    "a verdict that no probe gives": (finish("a", "identical"), "a result of status 'identical'"),
    "the verdict of what never came": (finish("a", "lost"), "a result of status 'lost'"),
    "no status": (frame({"kind": "result", "id": "a"}), "a result of status None"),
    "a status that is a list": (frame({"kind": "result", "id": "a", "status": ["ok"]}), "status"),
    "an unknown artifact": (finish("c"), "'c', which is not in the job or is done"),
    "no artifact": (frame({"kind": "result", "status": "ok"}), "None, which is not in the job"),
    "a second result": (finish("a") + finish("a"), "'a', which is not in the job or is done"),
    "an output behind its result": (finish("a") + output("a", "y", [1.0]), "is done"),
    "an unknown kind": (frame({"kind": "please"}), "a frame of kind 'please'"),
    "a second greeting": (frame(HELLO) + frame(HELLO), "a frame of kind 'hello'"),
    "a result with a payload": (frame({"kind": "result", "id": "a", "status": "ok"}, b"x"), "a payload"),
    "an output beyond the limit": (odd(dtype="|u1", shape=[LIMIT + 1], size=LIMIT + 1), f"{LIMIT} bytes"),
}


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_frame_that_no_probe_writes_ends_the_reading(what):
    frames, reason = VIOLATIONS[what]
    stream = Stream()
    with pytest.raises(ProtocolViolation) as caught:
        stream.read(frames, output("b", "y", [1.0]), finish("b"))
    assert reason in str(caught.value)
    assert stream.run.outcomes["b"].failure is Verdict.lost, "nothing behind it is read"


def test_the_greeting_is_kept():
    assert Stream().read(frame(HELLO), finish("a")).run.hello["machine"] == {"cpu": "a CPU"}


@pytest.mark.parametrize(
    ("field", "facts"),
    [
        ({"status": "identical"}, {"status": "identical"}),
        ({"status": "failed", "reason": "r" * 900}, {"status": "failed", "reason": "r" * 300}),
        (
            {"status": "differs", "differences": ["d" * 900] * 20},
            {"status": "differs", "differences": ["d" * 300] * 9},
        ),
        ({"status": "differs", "differences": [5]}, {"status": "differs", "differences": ["5"]}),
        ({"status": "differs", "reason": 5, "differences": "x", "more": 1}, {"status": "differs"}),
        ({"status": "splendid", "reason": "r"}, {}),
        ({}, {}),
        ([], {}),
        (None, {}),
    ],
)
def test_the_report_of_a_file_saved_again_is_bounded(field, facts):
    outcome = Stream().read(finish("a", round_trip=field)).run.outcomes["a"]
    assert outcome.round_trip == facts


@pytest.mark.parametrize(
    ("seconds", "kept"), [(1.5, 1.5), (0, 0.0), (-1, 0.0), (1e9, 0.0), ("1", 0.0), (None, 0.0)]
)
def test_seconds_are_a_number_that_is_possible(seconds, kept):
    assert Stream().read(finish("a", seconds=seconds)).run.outcomes["a"].seconds == kept


def test_frames_are_json_with_a_length():
    """What `faking.frame` writes is what a probe writes: these tests then read real frames."""
    data = frame({"kind": "done"})
    assert data[:4] == b"TPF1"
    assert json.loads(data[8:]) == {"kind": "done", "payload": 0}
