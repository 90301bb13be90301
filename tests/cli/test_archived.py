"""What `archive` says of a new artifact."""

from __future__ import annotations

import numpy as np
import pytest

from timeproof.cli.render.archived import archived_json, archived_lines, print_archived
from timeproof.compare.compare import compare_outputs
from timeproof.compare.difference import OutputsDiff
from timeproof.sealing.flow import Archived
from timeproof.store.layout import Archive
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import Copy, Witness

SAME = compare_outputs({"y": np.arange(3.0)}, {"y": np.arange(3.0)})


@pytest.fixture
def archived(small: Archive):
    ref = small.locate("grid-size-8/xgboost/v1")
    metadata = read_metadata(small, ref)

    def make(own: OutputsDiff | None = None, remarks: tuple[str, ...] = (), **changed: object) -> Archived:
        changed_metadata = metadata.model_copy(update=changed)
        return Archived(ref, changed_metadata, small.root / ref.metadata, own, remarks)

    return make


@pytest.mark.parametrize(
    ("expected", "words"), [(False, "your process's own answer"), (True, "the expected answer")]
)
def test_an_identical_answer_is_said_to_be(archived, expected, words):
    assert list(archived_lines(archived(own=SAME), expected=expected)) == [f"{words}: identical"]


def test_where_nothing_was_compared_the_option_is_named(archived):
    (line,) = archived_lines(archived(), expected=False)
    assert "--expected" in line


def test_remarks_take_the_place_of_identical_and_are_not_repeated_as_notes(archived):
    done = archived(own=SAME, remarks=("it is 3 sULP away",), notes=["it is 3 sULP away", "another"])
    lines = list(archived_lines(done, expected=False))
    assert lines == ["[yellow]it is 3 sULP away[/yellow]", "[yellow]note:[/yellow] another"]


def test_copies_witnesses_and_reasons_have_a_line_each(archived):
    distance = {"verdict": "rounding", "summary": "max 2 sULP"}
    copy = Copy(name="onnx", framework="onnx", file="m.onnx", options={}, facts={}, distance=distance)
    done = archived(own=SAME)
    near = Witness(
        kind="float64",
        file="w.npz",
        outputs=done.metadata.outputs,
        facts={"distance": {"verdict": "rounding", "summary": "is 1 sULP from it"}},
    )
    margin = Witness(kind="margin", file="r.npz", outputs=done.metadata.outputs)
    done = archived(own=SAME, copies=[copy], witnesses=[near, margin], kept=["random"])
    assert list(archived_lines(done, expected=False))[1:] == [
        "onnx copy: rounding: max 2 sULP",
        "float64 witness: the answer is 1 sULP from it",
        "margin witness",
        "[yellow]kept on request:[/yellow] random",
    ]


def test_the_artifact_and_its_document_come_first(archived, capsys):
    done = archived(own=SAME)
    print_archived(done, expected=False)
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"sealed {done.ref}  {done.path}"


def test_json_holds_the_same_facts(archived):
    assert archived_json(archived())["own"] is None
    document = archived_json(archived(own=SAME, remarks=("a remark",)))
    assert (document["own"], document["remarks"]) == ("identical", ["a remark"])
    assert document["artifact"] == "grid-size-8/xgboost/v1"
    assert document["metadata"]["schema"] == 1
