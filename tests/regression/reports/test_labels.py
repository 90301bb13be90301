"""How verdicts look, in every report alike; and the command that shows a cell again."""

from __future__ import annotations

import shlex

import pytest
from support.example_report import example
from support.regress_making import cell

from timeproof.compare.verdict import Verdict
from timeproof.regression.reports.labels import (
    LOOKS,
    gravest_first,
    reproduce,
    round_trip_sentence,
    verdict_words,
    visible,
)


def test_every_verdict_has_a_look_of_its_own():
    assert set(LOOKS) == set(Verdict)
    assert len({look.glyph for look in LOOKS.values()}) == len(Verdict), "no colour is needed to tell them"


def test_a_silent_wrong_answer_stands_before_a_refusal():
    cells = [cell("refused"), cell("rounding"), cell("broken"), cell("crashed")]
    assert [str(c.verdict) for c in gravest_first(cells)] == ["broken", "rounding", "refused", "crashed"]


def test_a_verdict_in_words_says_what_more_it_is():
    worse = cell("broken", baseline="identical", expected="LightGBM#1", fails=True)
    words = "broken, fails, declared to be expected, worse than identical"
    assert verdict_words(worse) == words
    assert verdict_words(cell("timeout")) == "timed out"


@pytest.mark.parametrize("name", ["plain", "a b", "; rm -rf ~", "$(id)"])
def test_the_command_is_quoted_for_a_shell_and_is_that_of_the_report(name):
    report = example().model_copy(update={"archive": name})
    again = shlex.split(reproduce(report, "grid-size-1/onnx/v1", "env"))
    assert again == ["timeproof", "regress", name, "--artifact", "grid-size-1/onnx/v1", "--env", "env"]
    replayed = report.model_copy(update={"run": {"command": "replay"}})
    again = shlex.split(reproduce(replayed, "grid-size-1/onnx/v1", "env"))
    assert again == ["timeproof", "replay", "grid-size-1/onnx/v1", "--archive", name]


def test_what_became_of_a_file_names_who_saved_it_again():
    versions = {"torch": "2.13.0"}
    assert round_trip_sentence("pytorch", versions, {"status": "identical"}) == (
        "saved again by PyTorch 2.13.0, the file is the same in every byte"
    )


def test_what_can_not_be_seen_is_spelled_out():
    assert visible("a\u202eb\x00\x1b[31mc\r\n") == "a\\u202eb\\x00c\n"
