"""Which witnesses a seal records: those that both runs gave bit for bit, and a note where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import tiny_models

from timeproof.base.limits import LIMITS
from timeproof.engines.protocol import ImageFacts
from timeproof.errors import BadRequest
from timeproof.sealing.flow import Request, archive_model
from timeproof.store.layout import Archive
from timeproof.store.reference import read
from timeproof.store.verify import verify
from timeproof.testing.archives import ENVIRONMENT, IMAGE
from timeproof.testing.fake_engine import DONE, HELLO, FakeEngine, Script, ended, frame, output, result_frame

REF = "grid-size-8/onnx/v1"
NATIVE = {"y": tiny_models.ROWS * 2}
WIDE = {"y": np.nextafter(NATIVE["y"], np.float32(9))}
OTHER = {"y": np.nextafter(WIDE["y"], np.float32(9))}
RUNNER = "witness float64"
HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)


def sealing(*wide: dict[str, Any] | None, status: str = "ok", reason: str = "", known: bool = True) -> Script:
    """Give the native answer in every run; and in each the next of `wide`, the last again and again."""
    given = list(wide)

    def script(job: dict[str, Any], _: Any) -> tuple[bytes, Any]:
        (artifact,) = job["artifacts"]
        frames = [output(artifact["id"], name, array) for name, array in NATIVE.items()]
        copies = {}
        for copy in artifact["copies"]:
            assert copy["witness"] == "float64"
            answer = given.pop(0) if len(given) > 1 else given[0]
            copies[copy["name"]] = {"status": status, "reason": reason, "seconds": 0.25}
            for name, array in (answer or {}).items():
                frames.append(output(artifact["id"], name, array, runner=copy["name"]))
        hello = {**HELLO, **({"witnesses": ["float64"]} if known else {})}
        return frame(hello) + b"".join(frames) + result_frame(artifact["id"], copies=copies) + DONE, ended()

    return script


def ask(archive: Archive, folder: Any, script: Script, **more: Any) -> tuple[Any, FakeEngine]:
    path, inputs = tiny_models.graph(folder)
    engine = FakeEngine(script, [HELD])
    request = Request(model=path, inputs=inputs, grid_size=8, environment=ENVIRONMENT, **more)
    return archive_model(archive, request, lambda: engine), engine


def test_a_witness_that_both_runs_gave_is_recorded_with_the_answers_distance(small, tmp_path):
    done, engine = ask(small, tmp_path, sealing(WIDE))
    (witness,) = done.metadata.witnesses
    assert witness.kind == "float64"
    assert witness.file == "witness_onnx_v1_float64.npz"
    assert witness.facts.distance.verdict == "rounding"
    assert witness.facts.seconds == 0.25
    with (small.root / done.ref.folder / witness.file).open("rb") as stream:
        assert read(stream, witness.outputs, "w")["y"].tobytes() == WIDE["y"].tobytes()
    assert done.metadata.outputs[0].sha256 != witness.outputs[0].sha256
    assert done.metadata.notes == []
    assert done.metadata.copies == [], "it is none"
    assert verify(small).ok
    (asked,) = engine.jobs[0]["artifacts"][0]["copies"]
    artifact = engine.jobs[0]["artifacts"][0]
    assert asked["options"]["work"] == LIMITS.witness_work, "nobody asked for it by name"
    assert asked["timeout"] == artifact["timeout"], "a busy machine takes no witness away"
    assert "work" not in artifact["options"]


def test_who_asks_for_a_witness_by_name_waits_for_it(small, tmp_path):
    _, engine = ask(small, tmp_path, sealing(WIDE), witness="float64")
    (artifact,) = engine.jobs[0]["artifacts"]
    assert artifact["copies"][0]["timeout"] == artifact["timeout"]
    assert "work" not in artifact["copies"][0]["options"]


def test_who_wants_none_gets_none_and_waits_for_none(small, tmp_path):
    done, engine = ask(small, tmp_path, sealing(WIDE), witness="none")
    assert engine.jobs[0]["artifacts"][0]["copies"] == []
    assert done.metadata.witnesses == []
    assert done.metadata.notes == []


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (sealing(WIDE, OTHER), "two runs of it differ"),
        (sealing(None, status="refused", reason="no kernel"), "no kernel"),
        (sealing(None, status="timeout"), "timeout"),
        (sealing(WIDE, known=False), "older"),
        (sealing({"z": WIDE["y"]}), "not those of the reference"),
        (sealing({**WIDE, "z": WIDE["y"]}), "not those of the reference"),
        (sealing({"y": WIDE["y"].astype("<f8")}), "not those of the reference"),
        (sealing({"y": WIDE["y"][:-1]}), "not those of the reference"),
        (sealing(None), "no outputs"),
    ],
    ids=["runs differ", "refused", "late", "old probe", "name", "one more", "dtype", "shape", "nothing"],
)
def test_what_is_no_witness_is_not_recorded_and_a_note_says_why(small, tmp_path, script, why):
    """The artifact itself replays, and is published."""
    done, _ = ask(small, tmp_path, script)
    assert done.metadata.witnesses == []
    (note,) = done.metadata.notes
    assert note.startswith("there is no float64 witness: ")
    assert why in note
    assert not list((small.root / done.ref.folder).glob("witness_*"))
    assert verify(small).ok


def test_thresholds_are_stored_and_grade_what_the_seal_compares(small, tmp_path):
    done, _ = ask(small, tmp_path, sealing(WIDE), thresholds={"rounding": 0.5})
    assert done.metadata.thresholds == {"rounding": 0.5}
    assert done.metadata.witnesses[0].facts.distance.verdict == "drift"


@pytest.mark.parametrize(
    "more",
    [
        {"witness": "a guess"},
        {"thresholds": {"charity": 1}},
        {"thresholds": {"rounding": -1}},
        {"thresholds": {"rounding": float("nan")}},
        {"thresholds": {"rounding": float("inf")}},
        {"thresholds": {"rounding": "many"}},
        {"thresholds": {"drift": 0.1}},  # beyond broken
    ],
    ids=str,
)
def test_what_can_not_be_asked_is_told_before_anything_runs(small, tmp_path, more):
    path, inputs = tiny_models.graph(tmp_path)
    engine = FakeEngine(sealing(WIDE), [HELD])
    with pytest.raises(BadRequest):
        archive_model(
            small,
            Request(model=path, inputs=inputs, grid_size=8, environment=ENVIRONMENT, **more),
            lambda: engine,
        )
    assert engine.calls == []
    assert verify(small).artifacts == 2


@pytest.mark.framework
def test_trees_have_margins_and_nothing_wider(small):
    model, rows = tiny_models.forest()
    with pytest.raises(BadRequest, match="raw margins"):
        archive_model(
            small,
            Request(model=model, inputs=rows, grid_size=8, environment=ENVIRONMENT, witness="float64"),
            lambda: FakeEngine(None, [HELD]),
        )


@pytest.mark.framework
def test_the_margins_of_a_tree_are_its_witness(small):
    model, rows = tiny_models.forest()
    given = {"predict_proba": model.predict_proba(rows), "margin": model.predict(rows, output_margin=True)}

    def script(job: dict[str, Any], _: Any) -> tuple[bytes, Any]:
        (artifact,) = job["artifacts"]
        assert artifact["copies"] == []
        frames = b"".join(output(artifact["id"], n, a) for n, a in given.items())
        return frame(HELLO) + frames + result_frame(artifact["id"]) + DONE, ended()

    done = archive_model(
        small,
        Request(model=model, inputs=rows, grid_size=8, environment=ENVIRONMENT),
        lambda: FakeEngine(script, [HELD]),
    )
    (witness,) = done.metadata.witnesses
    assert (witness.kind, witness.file) == ("margin", "reference_xgb_v2.npz")
    assert [(s.name, s.member) for s in witness.outputs] == [("margin", "output_1")]
    assert verify(small).ok
