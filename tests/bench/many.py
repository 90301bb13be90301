"""Many artifacts in one container: what a further one costs, and how long the ONNX project's cases take."""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from typing import TYPE_CHECKING

from support.fetching import fetched
from timing import Measure, repeat, seconds

from timeproof.engines.docker import connect
from timeproof.importing.flow import Request, import_models
from timeproof.replaying.flow import replay
from timeproof.replaying.grading import task_of
from timeproof.runs import image_provider
from timeproof.runs.container_run import run_probe
from timeproof.runs.probe_stream import Outcome
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata

if TYPE_CHECKING:
    from bench import Bench


_MORE = 40


def marginal(bench: Bench) -> list[Measure]:
    """What each of 40 further artifacts adds to a running container: the median, from result to result."""
    found = []
    for framework, name in (("xgboost", "XGBoost"), ("lightgbm", "LightGBM"), ("onnx", "ONNX")):
        first = Ref(8, framework, 1)
        archive = Archive(bench.clone(f"many-{framework}", [(first, _MORE + 1)]))
        metadata = read_metadata(archive, first)
        assert bench.record is not None
        image = image_provider.locate(bench.engine, bench.record.image)
        assert image is not None
        refs = [Ref(8, framework, v) for v in range(1, _MORE + 2)]
        tasks = [task_of(archive, ref, read_metadata(archive, ref)) for ref in refs]

        def once(image: str = image, tasks: list = tasks, metadata: object = metadata) -> float:
            marks: list[float] = []

            def heard(outcome: Outcome) -> None:
                assert outcome.failure is None, outcome.reason
                marks.append(time.perf_counter())

            run_probe(bench.engine, image, tasks, metadata.profile, on_outcome=heard)  # type: ignore[attr-defined]
            return statistics.median(b - a for a, b in itertools.pairwise(marks))

        measured = repeat("a further artifact in a running container", name, 0.04, once, rounds=bench.rounds)
        found.append(Measure(measured.section, measured.name, "ms", measured.values, measured.target))
    return found


def corpus(bench: Bench) -> list[Measure]:
    """Import ONNX's own cases into an archive whose image is there, and replay them all."""
    source = fetched() / "onnx"
    root = bench.clone("corpus", [])
    assert bench.record is not None
    request = Request(source, 1, bench.record.folder)
    parts: list[tuple[float, float]] = []

    def once() -> float:
        shutil.rmtree(root / "grid-size-1", ignore_errors=True)
        archive = Archive(root)
        taken = seconds(lambda: import_models(archive, request, connect))
        refs = list(archive.refs())
        assert len(refs) >= 1800
        parts.append((taken, seconds(lambda: replay(archive, refs, connect()))))
        return sum(parts[-1])

    measured = repeat("the 1,905 cases of onnx 1.22", "imported and replayed", 60.0, once, rounds=3)
    each = [
        Measure(measured.section, n, "s", [p[k] for p in parts[1:]], None)
        for k, n in enumerate(("imported", "replayed"))
    ]
    return [measured, *each]
