"""What a container sends is never believed: whatever it writes ends in outcomes, and in bounded memory."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.archive_making import X, Y, publish
from support.laws import examples

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import RunResult, RunSpec
from timeproof.errors import EngineLost
from timeproof.replaying.flow import task_of
from timeproof.runs.container_run import Task, run_probe
from timeproof.runs.probe_stream import Outcome, ProbeRun
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive
from timeproof.store.read import read_metadata
from timeproof.testing.archives import publish_environment
from timeproof.testing.fake_engine import (
    DONE,
    HELLO,
    FakeEngine,
    answer,
    answering,
    ended,
    frame,
    on_host,
    output,
    raw,
    result_frame,
    saying,
    stream,
)

PORTABLE = profile_named("portable")
SMALL = replace(LIMITS, output_bytes=1 << 20, frame_header_bytes=1 << 16)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> list[Task]:
    archive = Archive(tmp_path_factory.mktemp("probing"))
    publish_environment(archive)
    made = []
    for framework in ("lightgbm", "xgboost"):
        ref = publish(archive, framework)
        made.append(task_of(archive, ref, read_metadata(archive, ref)))
    return made


A, B = "grid-size-8/lightgbm/v1", "grid-size-8/xgboost/v1"


def run(tasks: list[Task], data: bytes, limits=SMALL, **how) -> ProbeRun:
    return run_probe(FakeEngine(saying(data, **how)), "sha256:x", tasks, PORTABLE, limits=limits)


def test_outputs_come_back_by_name_and_in_order(tasks):
    done: list[Outcome] = []
    both = {A: {"b": np.arange(3), "a": np.float32(2.5)}, B: Y}
    engine = FakeEngine(answering(both))
    found = run_probe(engine, "sha256:x", tasks, PORTABLE, on_outcome=done.append)
    assert [o.id for o in done] == [A, B]
    assert [o.failure for o in done] == [None, None]
    assert list(found.outcomes[A].native) == ["b", "a"]
    assert found.outcomes[A].native["a"].shape == ()
    assert found.outcomes[B].native["y"].tobytes() == Y["y"].tobytes()
    assert found.hello["machine"] == {"cpu": "a CPU"}


def test_the_container_is_asked_for_exactly_what_was_sealed(tasks):
    answers = answering({A: Y, B: Y})
    inside: dict[str, str] = {}

    def script(job, spec: RunSpec) -> tuple[bytes, RunResult]:
        for path in sorted(p for p in on_host(spec, "/in").rglob("*") if p.is_file()):
            inside[path.relative_to(on_host(spec, "/in")).as_posix()] = Digest.of(path.read_bytes()).hex
        return answers(job, spec)

    engine = FakeEngine(script)
    run_probe(engine, "sha256:x", tasks, PORTABLE, limits=SMALL)
    (spec,), (job,) = engine.specs, engine.jobs
    assert spec.image == "sha256:x"
    assert spec.env == PORTABLE.variables
    assert (spec.memory, spec.pids) == (SMALL.container_memory, SMALL.container_pids)
    assert spec.timeout <= SMALL.container_seconds
    assert [m.target for m in spec.mounts] == ["/job/job.json", "/in"]
    assert [a["directory"] for a in job["artifacts"]] == ["/in/0", "/in/1"]
    assert job["threads"] == 1
    for artifact, task in zip(job["artifacts"], tasks, strict=True):
        assert artifact["output_bytes"] == SMALL.output_bytes
        assert [f["path"] for f in artifact["files"]] == [f.path for f in task.files]
        for entry, recorded in zip(artifact["files"], task.files, strict=True):
            same = (entry["size"], entry["sha256"]) == (recorded.size, recorded.sha256)
            assert same == (recorded.role != "reference"), "of the reference it gets the inputs alone"
    listed = {
        f"{a['directory'].removeprefix('/in/')}/{f['path']}": f["sha256"]
        for a in job["artifacts"]
        for f in a["files"]
    }
    assert inside == listed, "nothing else is inside, and all of it is listed by its own digest"
    assert [m.source for m in spec.mounts if Path(m.source).exists()] == []


@pytest.mark.parametrize(
    ("how", "verdict", "reason"),
    [
        ({"timed_out": True}, Verdict.timeout, "ran out of time"),
        ({"oom_killed": True, "exit_code": 0}, Verdict.out_of_memory, "out of memory"),
        ({"oom_killed": True, "exit_code": 137}, Verdict.out_of_memory, "out of memory"),
        ({"exit_code": 139}, Verdict.crashed, "exit code 139"),
        ({"exit_code": None}, Verdict.crashed, "before this artifact had a result"),
    ],
)
@pytest.mark.parametrize("after", [0, 4, 8, 20, -1])
def test_a_container_that_ends_early_takes_only_what_had_no_result(tasks, how, verdict, reason, after):
    """Cut anywhere in the second artifact's frames; the first one's answer stands."""
    second = output(B, "y", Y["y"]) + result_frame(B)
    found = run(tasks, stream(answer(A, Y), second[:after], done=False), log="last words", **how)
    assert found.outcomes[A].failure is None
    assert found.outcomes[B].failure is verdict
    assert reason in found.outcomes[B].reason
    assert found.outcomes[B].log == "last words"
    assert found.outcomes[B].outputs == {}


def test_a_container_that_writes_nothing_leaves_every_artifact_without_a_result(tasks):
    done: list[Outcome] = []
    engine = FakeEngine(saying(b"", exit_code=1))
    run_probe(engine, "sha256:x", tasks, PORTABLE, on_outcome=done.append)
    assert [o.failure for o in done] == [Verdict.crashed] * 2


HEADER = {"kind": "output", "id": B, "runner": "native", "name": "y", "dtype": "<f8", "shape": [2]}


def spelled(**changed: object) -> bytes:
    return json.dumps({**HEADER, "payload": 16, **changed}).encode()


LIES = {
    "garbage": os.urandom(64).replace(b"TPF1", b"TPF2"),
    "another magic": b"TPF2" + bytes(100),
    "a huge header": b"TPF1\xff\xff\xff\xff",
    "a header that is no JSON": raw(b"{"),
    "NaN in a header": raw(b'{"kind": "result", "payload": 0, "seconds": NaN}'),
    "an overflowing number": raw(b'{"kind": "result", "payload": 0, "seconds": 1e999}'),
    "a key twice": raw(b'{"kind": "done", "kind": "done", "payload": 0}'),
    "a lone surrogate": raw(b'{"kind": "\\ud800", "payload": 0}'),
    "deep nesting": raw(b'{"kind": "done", "payload": 0, "x": ' + b"[" * 30000 + b"]" * 30000 + b"}"),
    "no kind": raw(b'{"payload": 0}'),
    "a list": raw(b"[]"),
    "an unknown kind": frame({"kind": "please"}),
    "a payload where none is": frame({"kind": "result", "id": B, "status": "ok"}, b"x"),
    "a negative payload": raw(spelled(payload=-1)),
    "a payload that is true": raw(spelled(payload=True)),
    "a gigabyte declared": raw(spelled(payload=1 << 30, shape=[1 << 27])),
    "an exabyte declared": raw(spelled(payload=1 << 53, shape=[1 << 50])),
    "another artifact's id": result_frame("grid-size-8/onnx/v9"),
    "no id": frame({"kind": "result", "status": "ok"}),
    "the id of one that is done": result_frame(A),
    "an output of one that is done": output(A, "y", Y["y"]),
    "an unknown status": result_frame(B, "splendid"),
    "a status that is a list": result_frame(B, ["ok"]),  # type: ignore[arg-type]
    "a status that is an object": result_frame(B, {"ok": 1}),  # type: ignore[arg-type]
    "no status": frame({"kind": "result", "id": B}),
    "another size than its shape": frame({**HEADER, "shape": [3]}, bytes(16)),
    "Python objects": frame({**HEADER, "dtype": "|O"}, bytes(16)),
    "a dtype that is none": frame({**HEADER, "dtype": "<q9"}, bytes(16)),
    "a dtype that is a number": frame({**HEADER, "dtype": 5}, bytes(16)),
    "a dtype that is an object": frame({**HEADER, "dtype": {"a": "b"}}, bytes(16)),
    "a dtype of giant fields": frame({**HEADER, "dtype": [["a", "<f8", [2**40]]], "shape": [1]}, bytes(16)),
    "a negative shape": frame({**HEADER, "shape": [-2]}, bytes(16)),
    "a shape that is true": frame({**HEADER, "shape": [True, 2]}, bytes(16)),
    "a shape beyond all numbers": frame({**HEADER, "shape": [2**60, 0]}),
    "a shape of 65 dimensions": frame({**HEADER, "shape": [1] * 65, "dtype": "<f8"}, bytes(8)),
    "an empty array of an impossible shape": frame({**HEADER, "shape": [0, 2**52, 2**52]}),
    "a name that is no string": frame({**HEADER, "name": 5}, bytes(16)),
    "a runner that is no string": frame({**HEADER, "runner": None}, bytes(16)),
    "one output twice": output(B, "y", Y["y"]) + output(B, "y", Y["y"]) + result_frame(B),
    "more than the limit": b"".join(output(B, f"y{k}", np.zeros(1 << 16)) for k in range(3))
    + result_frame(B),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_no_probe_writes_is_a_crash_of_what_is_not_done(tasks, lie):
    found = run(tasks, stream(answer(A, Y), LIES[lie], result_frame(B)))
    assert found.outcomes[A].failure is None, "what was done before the lie stands"
    assert found.outcomes[B].failure is Verdict.crashed, found.outcomes[B]
    assert found.outcomes[B].reason
    assert found.outcomes[B].outputs == {}


OWN_LIES = (
    "another size than its shape",
    "Python objects",
    "a dtype of giant fields",
    "a negative shape",
    "a name that is no string",
    "one output twice",
)


@pytest.mark.parametrize("lie", OWN_LIES)
def test_an_output_that_is_none_condemns_its_artifact_alone(tasks, lie):
    """A model's own code may have written it; the frames around it are the probe's."""
    end = b"" if lie == "one output twice" else result_frame(B)
    found = run(tasks, stream(LIES[lie], end, answer(A, Y)))
    assert found.outcomes[A].failure is None
    assert found.outcomes[B].failure is Verdict.crashed
    assert "it gave an invalid output" in found.outcomes[B].reason


ODD_RESULTS = {
    "seconds of a thousand digits": raw(
        b'{"kind": "result", "payload": 0, "id": "'
        + B.encode()
        + b'", "status": "refused", "seconds": '
        + b"9" * 1000
        + b"}"
    ),
    "seconds that are text": result_frame(B, "refused", seconds="soon"),
    "a signal that is text": result_frame(B, "refused", signal="SIGSEGV"),
    "a signal that is true": result_frame(B, "refused", signal=True),
    "a reason that is a list": result_frame(B, "refused", reason=["no"]),
    "versions that are a list": result_frame(B, "refused", versions=[1]),
    "copies of numbers": result_frame(B, "refused", copies={"onnx": 5}),
    "a log that is null": result_frame(B, "refused", log=None),
}


@pytest.mark.parametrize("odd", ODD_RESULTS)
def test_odd_fields_of_a_result_are_plain_values_or_dropped(tasks, odd):
    found = run(tasks, stream(answer(A, Y), ODD_RESULTS[odd])).outcomes[B]
    assert found.failure in {Verdict.refused, Verdict.crashed}
    assert isinstance(found.seconds, float)
    assert np.isfinite(found.seconds)
    assert found.signal is None
    assert isinstance(found.reason, str)
    assert isinstance(found.log, str)
    assert all(isinstance(c, dict) for c in found.copies.values())


def test_an_endless_row_of_empty_outputs_is_stopped(tasks):
    """They take no bytes of output, and all of the memory."""
    flood = b"".join(output(B, f"y{k}", np.zeros(0)) for k in range(60_000))
    found = run(tasks, stream(answer(A, Y), flood, result_frame(B)))
    assert found.outcomes[B].failure is Verdict.crashed
    assert "more than" in found.outcomes[B].reason


def test_an_endless_greeting_is_stopped(tasks):
    greetings = b"".join(frame({**HELLO, f"key{k}": "x" * 60_000}) for k in range(40))
    found = run(tasks, stream(greetings, answer(A, Y)))
    assert found.outcomes[A].failure is Verdict.crashed
    assert sum(len(str(v)) for v in found.hello.values()) < 1 << 20


def test_a_second_result_is_not_taken(tasks):
    found = run(tasks, stream(answer(A, Y), result_frame(A, "refused"), answer(B, Y)))
    assert found.outcomes[A].failure is None
    assert found.outcomes[B].failure is Verdict.crashed


def test_outputs_of_what_failed_are_dropped(tasks):
    found = run(
        tasks, stream(output(A, "y", Y["y"]), result_frame(A, "timeout", reason="slow"), answer(B, Y))
    )
    assert found.outcomes[A].failure is Verdict.timeout
    assert found.outcomes[A].outputs == {}
    assert found.outcomes[B].failure is None


@given(st.binary(max_size=400))
@examples(60)
def test_no_bytes_at_all_are_worse_than_a_crash(tasks, data):
    for whole in (data, stream(data), stream(answer(A, Y), data), stream(raw(data), DONE)):
        found = run(tasks, whole)
        assert found.outcomes[B].failure is Verdict.crashed


@given(
    st.dictionaries(
        st.sampled_from([*HEADER, "payload", "status", "seconds"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
            ),
            max_leaves=5,
        ),
    )
)
@examples(150)
def test_no_header_at_all_is_worse_than_a_crash(tasks, changed):
    for kind in ("output", "result", "hello", "done"):
        header = {**HEADER, "kind": kind, "payload": 0, "status": "ok", **changed}
        found = run(tasks, stream(raw(json.dumps(header).encode()), bytes(64)))
        for outcome in found.outcomes.values():
            assert outcome.failure is None or isinstance(outcome.failure, Verdict)


def test_an_engine_that_is_lost_is_an_error_not_a_verdict(tasks):
    engine = FakeEngine(answering({A: Y, B: Y}))
    engine.lost = EngineLost("the engine stopped answering")
    with pytest.raises(EngineLost):
        run_probe(engine, "sha256:x", tasks, PORTABLE)


def looked_at(engine: FakeEngine) -> list[bool]:
    """Whether the container's user could read each artifact's files, at the time of the run."""
    seen: list[bool] = []
    script = engine.script

    def look(job, spec):
        for artifact in job["artifacts"]:
            root = on_host(spec, artifact["directory"])
            paths = [root / f["path"] for f in artifact["files"]]
            folders = {root, *(p.parent for p in paths)}
            readable = all(p.stat().st_mode & stat.S_IROTH for p in paths)
            seen.append(readable and all(p.stat().st_mode & stat.S_IXOTH for p in folders))
        return script(job, spec)

    engine.script = look
    return seen


@pytest.mark.parametrize("closed", ["folder", "source", "first", "second", "all"])
def test_files_that_their_modes_keep_from_the_containers_user_are_copied_for_it(tmp_path, closed):
    archive = Archive(tmp_path / "archive")
    refs = [publish(archive, "xgboost", model=b"model %d" % k) for k in range(2)]
    tasks = [task_of(archive, r, read_metadata(archive, r)) for r in refs]
    folder = archive.root / refs[0].folder
    for path, names in (
        (folder, {"folder", "all"}),
        (folder / "source_xgb_v1", {"source", "all"}),
        (folder / "model_xgb_v1.json", {"first", "all"}),
        (folder / "model_xgb_v2.json", {"second", "all"}),
    ):
        if closed in names:
            path.chmod(0o700 if path.is_dir() else 0o600)
    engine = FakeEngine(answering({str(r): Y for r in refs}))
    seen = looked_at(engine)
    found = run_probe(engine, "sha256:x", tasks, PORTABLE)
    assert seen == [True, True]
    assert [o.failure for o in found.outcomes.values()] == [None, None]
    assert [m.source for m in engine.specs[0].mounts if m.source.exists()] == []


def test_inputs_are_part_of_what_is_given(tasks):
    assert all(t.input_names == tuple(X) for t in tasks)
    assert ended().exit_code == 0
