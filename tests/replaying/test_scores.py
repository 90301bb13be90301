"""Flips are counted where the metadata says that an output holds class scores; not where it denies it."""

from __future__ import annotations

import numpy as np
import pytest
from support.archive_making import X, fill, metadata_of

from timeproof.compare.verdict import Verdict
from timeproof.engines.protocol import ImageFacts
from timeproof.errors import BadRequest
from timeproof.replaying.flow import replay
from timeproof.replaying.scores import marked, scores_of
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import Witness
from timeproof.testing.archives import IMAGE
from timeproof.testing.fake_engine import FakeEngine, answer, ended, stream

HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
# A winner that leads by half a unit of the last place, and loses by as much: rounding, or a flip at a tie.
ROWS = np.tile(np.array([0.25, 0.5, np.nextafter(np.float32(0.5), np.float32(0))], "<f4"), (20, 1))
MOVED = ROWS.copy()
MOVED[3, 1:] = ROWS[3, :0:-1]


def publish(archive: Archive, scores: bool | None, shape: tuple[int, ...], *, margin: bool) -> Ref:
    outputs = {"y": ROWS.reshape(shape)}
    with writer.draft(archive, 5, "xgboost") as draft:
        files = fill(draft, b"a model", input=X, output=outputs)
        marks = {} if scores is None else {"y": scores}
        specs = reference.specs_of("output", outputs, scores=marks)
        witnesses = [Witness(kind="margin", file=files[2].path, outputs=specs)] if margin else []
        draft.publish(metadata_of(draft, files, outputs=specs, witnesses=witnesses))
        return draft.ref


@pytest.mark.parametrize(
    ("shape", "scores", "flips"),
    [
        ((20, 3), None, 1),
        ((20, 3), True, 1),
        ((20, 3), False, None),
        ((4, 5, 3), None, None),
        ((4, 5, 3), True, 1),
    ],
)
def test_a_replay_counts_flips_as_the_metadata_says(small, shape, scores, flips):
    ref = publish(small, scores, shape, margin=True)
    engine = FakeEngine(
        lambda job, _: (stream(answer(job["artifacts"][0]["id"], {"y": MOVED.reshape(shape)})), ended()),
        [HELD],
    )
    (found,) = replay(small, [ref], engine).replayed
    assert found.diff is not None
    assert found.diff.arrays["y"].flips == flips
    assert found.verdict is (Verdict.drift if flips else Verdict.rounding)
    assert found.witness is not None
    assert found.witness.verdict is found.verdict
    assert scores_of(read_metadata(small, ref).outputs) == ({} if scores is None else {"y": scores})


def test_outputs_are_marked_by_name_and_what_is_no_output_is_named():
    outputs = {"label": 0, "p": 1, "map": 2}
    assert marked(["map"], outputs, {"p": True, "gone": True}) == {"p": True, "map": True}
    assert marked(["p"], outputs, {"p": False}) == {"p": True}
    with pytest.raises(BadRequest, match="--scores x: the model gives no such output") as caught:
        marked(["p", "x"], outputs, {})
    assert caught.value.advice == "its outputs are: label, p, map"
