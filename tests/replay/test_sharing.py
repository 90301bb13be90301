"""Many artifacts shared out among containers: each is asked once, and heard one at a time."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from faking import FakeEngine, answer, ended, stream

from timeproof.archive.model import FileEntry
from timeproof.engine.base import RunResult, RunSpec
from timeproof.errors import EngineLost
from timeproof.replay.outcome import Outcome
from timeproof.replay.probing import Task
from timeproof.replay.profile import profile_named
from timeproof.replay.sharing import containers_for, run_shared

PORTABLE = profile_named("portable")


@pytest.fixture
def tasks(tmp_path) -> list[Task]:
    (tmp_path / "m.onnx").write_bytes(b"model")
    (tmp_path / "r.npz").write_bytes(b"reference")
    file = FileEntry(path="m.onnx", role="model", format="onnx", size=5, sha256="0" * 64)
    return [
        Task(f"grid-size-1/onnx/v{k}", "onnx", tmp_path, (file,), "m.onnx", "r.npz", ("x",), {})
        for k in range(1, 12)
    ]


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
        run_shared(FakeEngine(dying), "sha256:x", tasks, PORTABLE, containers=3)
    assert len(seen) == 3


def test_an_interruption_while_one_is_heard_stops_the_others(tasks):
    heard: list[str] = []

    def hear(outcome: Outcome) -> None:
        heard.append(outcome.id)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_shared(FakeEngine(answering([])), "sha256:x", tasks, PORTABLE, on_outcome=hear, containers=2)
    assert len(heard) < len(tasks)
