"""Many artifacts shared out among containers: each is asked once, and heard one at a time."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from timeproof.engines.protocol import RunResult, RunSpec
from timeproof.errors import EngineLost
from timeproof.runs.container_run import Task
from timeproof.runs.parallel import _COPIED, containers_for, groups_of, run_shared
from timeproof.runs.probe_stream import Outcome
from timeproof.runs.profiles import profile_named
from timeproof.store import publish, reference
from timeproof.testing.fake_engine import DONE, HELLO, FakeEngine, answer, ended, frame, stream

PORTABLE = profile_named("portable")


@pytest.fixture
def tasks(tmp_path) -> list[Task]:
    return [task_in(tmp_path, f"grid-size-1/onnx/v{k}") for k in range(1, 12)]


def task_in(folder: Path, name: str, framework: str = "onnx") -> Task:
    """A task whose files lie in `folder`."""
    (folder / "m.onnx").write_bytes(b"model")
    with (folder / "r.npz").open("wb") as stream_:
        reference.write(stream_, input={"x": np.arange(3)})
    files = tuple(
        publish.entry(folder, f, role, "f") for f, role in (("m.onnx", "model"), ("r.npz", "reference"))
    )
    return Task(name, framework, folder, files, "m.onnx", "r.npz", ("x",), {})


def answering(seen: list[list[str]]):
    def script(job, spec: RunSpec) -> tuple[bytes, RunResult]:
        ids = [a["id"] for a in job["artifacts"]]
        seen.append(ids)
        return stream(*(answer(i, {"y": np.arange(3)}) for i in ids)), ended()

    return script


@pytest.mark.parametrize("containers", [1, 2, 3, 50])
def test_every_task_is_asked_once_whatever_the_number_of_containers(tasks, containers):
    seen: list[list[str]] = []
    heard: list[str] = []
    inside = threading.Lock()

    def hear(outcome: Outcome) -> None:
        assert inside.acquire(blocking=False)  # one at a time
        heard.append(outcome.id)
        inside.release()

    hello: dict[str, object] = {}
    runs = run_shared(
        FakeEngine(answering(seen)),
        "sha256:x",
        tasks,
        PORTABLE,
        on_outcome=hear,
        hello=hello,
        containers=containers,
    )
    assert len(runs) == len(seen) == min(containers, len(tasks))
    assert sorted(i for ids in seen for i in ids) == sorted(heard) == sorted(t.id for t in tasks)
    assert hello["machine"] == {"cpu": "a CPU"}
    assert max(map(len, seen)) - min(map(len, seen)) <= 1


def test_a_few_artifacts_are_worth_one_container_and_many_as_many_as_there_are_cores():
    assert [containers_for(n, cores=4) for n in (0, 1, 79, 80, 130, 10_000)] == [1, 1, 1, 2, 3, 4]
    assert containers_for(10_000, cores=1) == 1


def test_one_lost_engine_ends_them_all(tasks):
    seen: list[list[str]] = []

    def dying(job, spec: RunSpec) -> tuple[bytes, RunResult]:
        seen.append([a["id"] for a in job["artifacts"]])
        raise EngineLost("gone")

    with pytest.raises(EngineLost):
        run_shared(FakeEngine(dying), "sha256:x", tasks, PORTABLE, containers=3, width=3)
    assert 1 <= len(seen) <= 3, "who is not under way by then is not begun"


def test_an_interruption_while_one_is_heard_stops_the_others(tasks):
    heard: list[str] = []

    def hear(outcome: Outcome) -> None:
        heard.append(outcome.id)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_shared(
            FakeEngine(answering([])), "sha256:x", tasks, PORTABLE, on_outcome=hear, containers=2, width=2
        )
    assert len(heard) < len(tasks)


def test_what_runs_code_of_its_own_has_a_container_of_its_own(tasks, tmp_path):
    nets = [task_in(tmp_path, f"grid-size-1/pytorch/v{k}", "pytorch") for k in (1, 2, 3)]
    copied = replace(tasks[0], id="a copy", copies=({"name": "torch", "framework": "pytorch"},))
    seen: list[list[str]] = []
    mixed = [nets[0], *tasks[:4], nets[1], copied, *tasks[4:], nets[2]]
    run_shared(FakeEngine(answering(seen)), "sha256:x", mixed, PORTABLE)
    alone = [["grid-size-1/pytorch/v1"], ["grid-size-1/pytorch/v2"], ["a copy"], ["grid-size-1/pytorch/v3"]]
    assert sorted(ids for ids in seen if len(ids) == 1) == sorted(alone)
    assert [ids for ids in seen if len(ids) > 1] == [[t.id for t in tasks]]


def test_each_outcome_carries_what_its_own_container_said_of_itself(tasks, tmp_path):
    """A container that lies about its machine lies about its own artifacts alone."""
    net = task_in(tmp_path, "grid-size-1/pytorch/v1", "pytorch")
    heard: dict[str, object] = {}

    def script(job, spec: RunSpec) -> tuple[bytes, RunResult]:
        ids = [a["id"] for a in job["artifacts"]]
        cpu = "a forged CPU" if net.id in ids else "a CPU"
        frames = [
            frame({**HELLO, "machine": {"cpu": cpu}}),
            *(answer(i, {"y": np.arange(3)}) for i in ids),
            DONE,
        ]
        return b"".join(frames), ended()

    def hear(outcome: Outcome) -> None:
        heard[outcome.id] = outcome.hello["machine"]

    run_shared(FakeEngine(script), "sha256:x", [net, *tasks], PORTABLE, on_outcome=hear)
    assert heard.pop(net.id) == {"cpu": "a forged CPU"}
    assert set(heard) == {t.id for t in tasks}
    assert all(said == {"cpu": "a CPU"} for said in heard.values())


def test_one_containers_copies_take_a_bounded_room(tasks):
    half = _COPIED // 2
    large = [replace(t, files=(t.files[0].model_copy(update={"size": half}),)) for t in tasks[:5]]
    assert [len(group) for group in groups_of(large)] == [2, 2, 1]
    alone = [replace(large[0], files=(large[0].files[0].model_copy(update={"size": 3 * _COPIED}),))]
    assert groups_of(alone) == [alone]
