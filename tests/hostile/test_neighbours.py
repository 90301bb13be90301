"""What an artifact's own code does to the artifacts beside it, and to the answers recorded of it.

Two walls, each tested by itself: what runs code is alone in its container, where no recorded answer is; and
where a probe is given several all the same, nothing that one leaves is there when the next one is asked.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import strays
from support.archive_making import reseal
from support.grafting import graft, recorded

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.engines.protocol import Engine, ReadExactly, RunResult, RunSpec
from timeproof.regression.batch import Batch, run_batch
from timeproof.regression.report import Cell
from timeproof.replaying.flow import replay, task_of
from timeproof.runs import image_provider
from timeproof.runs.container_run import Task, run_probe
from timeproof.runs.parallel import run_shared
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_environment, read_metadata
from timeproof.store.reference import describe
from timeproof.store.verify import verify
from timeproof_probe import wire

pytestmark = pytest.mark.container

NET = "source_pt_v1/tiny_net.py"
NETWORK, FOREST, GRAPH = (f"grid-size-3/{kind}/v1" for kind in ("pytorch", "xgboost", "onnx"))
LIMITED = replace(LIMITS, artifact_seconds=60.0)


@pytest.fixture
def archive(sealed, copy_of) -> Archive:
    return copy_of(sealed)


@pytest.fixture(params=["docker", "podman", "none"])
def engine(request, engines) -> Engine:
    return engines[request.param]


def image_in(engine: Engine, archive: Archive, sealed: Any) -> str:
    return image_provider.provide(engine, archive, read_environment(archive, sealed.environment)).id


def task(archive: Archive, ref: Ref, **how: Any) -> Task:
    return task_of(archive, ref, read_metadata(archive, ref), **how)


def frames_of(outputs: dict[str, np.ndarray]) -> bytes:
    """What a child writes that answers so."""
    stream = io.BytesIO()
    for k, (name, array) in enumerate(outputs.items()):
        header = {"kind": "output", "name": name, "index": k, "dtype": describe(array.dtype)}
        wire.write_frame(stream, {**header, "shape": list(array.shape)}, array.tobytes())
    wire.write_frame(stream, {"kind": "end", "status": "ok", "reason": "", "versions": {}})
    return stream.getvalue()


def test_an_artifact_can_not_forge_the_recorded_answer_for_the_one_after_it(archive, real_engine):
    """The one after it answers otherwise than was recorded of it, and that is what must be said."""
    truth = recorded(archive, GRAPH)
    forger = graft(archive, NETWORK, {NET: strays.forger()})
    victim = graft(archive, GRAPH, {}, outputs={n: np.full_like(a, 7) for n, a in truth.items()})
    result = replay(archive, [forger, victim], real_engine, limits=LIMITED)
    assert verify(archive).ok, "every digest is right"
    assert str(result.replayed[1].verdict) == "broken", result.replayed[1].sentence()


def test_no_process_that_an_artifact_leaves_writes_for_the_next_one_in_its_container(archive, engine, sealed):
    """As before, in one container, and the forged answer is brought along."""
    truth = recorded(archive, FOREST)
    forged = {n: np.full_like(a, 7) for n, a in truth.items()}
    attacker = graft(archive, NETWORK, {NET: strays.forger({"victim": frames_of(forged)})})
    tasks = [task(archive, attacker), task(archive, Ref.parse(FOREST))]
    profile = read_metadata(archive, attacker).profile
    run = run_probe(engine, image_in(engine, archive, sealed), tasks, profile, limits=LIMITED)
    answer = run.outcomes[FOREST]
    assert answer.failure is None, answer.reason
    assert {n: a.tobytes() for n, a in answer.native.items()} == {n: a.tobytes() for n, a in truth.items()}


def test_what_an_artifact_leaves_is_gone_when_the_next_one_is_asked(archive, engine, sealed):
    """Processes stopped, detached, without a first thread, and in a chain of forks; files; shared memory."""
    litterer = graft(archive, NETWORK, {NET: strays.litterer()})
    finder = graft(archive, NETWORK, {NET: strays.finder(processes=4)})
    tasks = [task(archive, litterer), task(archive, finder), task(archive, Ref.parse(FOREST))]
    profile = read_metadata(archive, litterer).profile
    run = run_probe(engine, image_in(engine, archive, sealed), tasks, profile, limits=LIMITED)
    for one in tasks:
        outcome = run.outcomes[one.id]
        assert outcome.failure is None, f"{outcome.reason}\n{outcome.log}"
    told = run.outcomes[str(finder)]
    assert told.native["output"].tolist() == [1.0], told.log


@pytest.fixture
def reader(archive) -> Ref:
    """Answers as recorded where it finds no recorded answer, nor anything but its own listed files."""
    return graft(archive, NETWORK, {NET: strays.reader()}, outputs={"output": np.ones(1, np.float32)})


def test_no_recorded_answer_is_inside_while_artifacts_are_replayed(archive, reader, real_engine):
    result = replay(archive, [reader, Ref.parse(FOREST), Ref.parse(NETWORK)], real_engine)
    assert [str(r.verdict) for r in result.replayed] == ["identical"] * 3, result.replayed[0].sentence()


def test_no_recorded_answer_is_inside_in_a_regression(archive, reader, real_engine, sealed):
    """Nor a digest of one: of an answer of few bits, it is the answer."""
    cells: list[Cell] = []
    profile = read_metadata(archive, reader).profile
    batch = Batch(sealed.environment, profile, (str(reader), FOREST, NETWORK))
    image = image_in(real_engine, archive, sealed)
    run_batch(archive, batch, image, real_engine, lambda cell, _: cells.append(cell))
    told = {c.artifact: (str(c.verdict), c.reason, c.log) for c in cells}
    assert {v for v, *_ in told.values()} == {"identical"}, told
    assert set(told) == {str(reader), FOREST, NETWORK}


def test_no_recorded_answer_is_inside_while_a_witness_is_asked(archive, reader, real_engine, sealed):
    tasks = [task(archive, ref, witness="float64") for ref in (reader, Ref.parse(GRAPH))]
    profile = read_metadata(archive, reader).profile
    image = image_in(real_engine, archive, sealed)
    outcomes = [o for r in run_shared(real_engine, image, tasks, profile) for o in r.outcomes.values()]
    told = next(o for o in outcomes if o.id == str(reader))
    assert told.failure is None, told.reason
    assert told.native["output"].tolist() == [1.0], told.log


def test_code_that_is_named_and_not_brought_is_alone_too(archive, real_engine):
    """An installed library's function may run whatever text it is given: no source is needed for that."""
    text = "import os; print(sorted(os.listdir('/in')), flush=True)"
    options = {
        "module": "timeit",
        "qualname": "timeit",
        "source": None,
        "init_args": {"stmt": text, "number": 1},
    }
    caller = graft(archive, NETWORK, {})
    reseal(archive.root / caller.metadata, lambda metadata: metadata["model"]["options"].update(options))
    result = replay(archive, [caller, Ref.parse(FOREST)], real_engine)
    assert [str(r.verdict) for r in result.replayed] == ["refused", "identical"]
    assert "['0']" in result.replayed[0].log, "it ran, and saw itself alone"


# --- swapped between the hash and the use ------------------------------------------------------------


class Swapping:
    """The real engine; once its container greets, what was copied for it is exchanged in the archive."""

    def __init__(self, engine: Engine, swap: Callable[[], None]) -> None:
        self.engine, self.swap = engine, swap

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        begun = False

        def heard(read: ReadExactly) -> None:
            def first(size: int) -> bytes:
                nonlocal begun
                data = read(size)
                if not begun:
                    begun = True
                    self.swap()
                return data

            consume(first)

        return self.engine.run(spec, heard)


@pytest.mark.parametrize("how", ["a file", "its folder", "a link", "its bytes"])
def test_what_was_hashed_is_what_is_loaded(archive, real_engine, tmp_path, how):
    folder = archive.root / "grid-size-3/xgboost"
    path = folder / "model_xgb_v1.json"
    other = path.read_bytes().replace(b'"split_conditions":[', b'"split_conditions":[9', 1)
    assert other != path.read_bytes()

    def swap() -> None:
        if how == "its folder":
            copy = shutil.copytree(folder, tmp_path / "theirs")
            (copy / path.name).write_bytes(other)
            folder.rename(tmp_path / "ours")
            copy.rename(folder)
        elif how == "its bytes":
            path.write_bytes(other)
        else:
            theirs = tmp_path / "theirs.json"
            theirs.write_bytes(other)
            path.rename(tmp_path / "ours.json")
            if how == "a link":
                path.symlink_to(theirs)
            else:
                theirs.rename(path)

    expected = recorded(archive, FOREST)
    result = replay(archive, [Ref.parse(FOREST)], Swapping(real_engine, swap))  # type: ignore[arg-type]
    assert Digest.of((folder / path.name).read_bytes()) == Digest.of(other), "the swap took place"
    (one,) = result.replayed
    assert str(one.verdict) == "identical", one.sentence()
    assert one.outputs == len(expected)
    assert [str(r.verdict) for r in replay(archive, [Ref.parse(FOREST)], real_engine).replayed] == ["altered"]
    assert [p for p in Path(archive.root).rglob(".staging-*") if p.is_dir()] == []
