"""What `replay` prints: a row for each artifact, why it differs, and one line that sums up."""

from __future__ import annotations

import pytest

from timeproof.cli.render.replays import replay_table, summary
from timeproof.compare.verdict import Verdict
from timeproof.errors import Missing
from timeproof.replaying.result import Attempt, Replayed, Result, WitnessAnswer
from timeproof.store.layout import Ref

HOLDS = WitnessAnswer("float64", Verdict.identical, "")


def replayed(verdict: Verdict, version: int = 1, **more: object) -> Replayed:
    facts = {"reason": "max 3 sULP", "image_source": "engine", "seconds": 1.25, **more}
    return Replayed(Ref(8, "onnx", version), verdict, **facts)  # type: ignore[arg-type]


def printed(capsys: pytest.CaptureFixture[str], *members: Replayed, **how: object) -> str:
    result = Result(list(members), {"digits-0123456789ab": "engine"}, ["a note"])
    replay_table(result, Verdict.identical, **how)  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_an_identical_artifact_is_a_row_and_nothing_more(capsys):
    text = printed(capsys, replayed(Verdict.identical, outputs=2, bytes=1500))
    assert "grid-size-8/onnx/v1" in text
    assert "2 (1.5 kB)" in text
    assert "1.25" in text
    assert "note: a note" in text
    assert text.count("grid-size-8/onnx/v1") == 1
    assert text.splitlines()[-1] == "passed: 1 replayed: 1 identical · images: 1 engine"


def test_a_difference_is_explained_below_the_table(capsys):
    text = printed(capsys, replayed(Verdict.rounding, notes=["another CPU"]))
    assert "grid-size-8/onnx/v1: rounding: max 3 sULP" in text
    assert "  another CPU" in text
    assert text.splitlines()[-1].startswith("failed: 1 replayed: 1 rounding")


def test_where_only_a_witness_is_identical_the_table_names_it(capsys):
    member = replayed(Verdict.drift, witness=HOLDS, elsewhere=True)
    text = printed(capsys, member)
    row = next(line for line in text.splitlines() if line.startswith("grid-size-8/onnx/v1"))
    assert "identical (float64 witness)" in row
    assert "  native: drift: max 3 sULP" in text
    assert "passed: 1 replayed: 1 drift (1 with an identical witness)" in text
    assert "failed: " in printed(capsys, member, strict=True)


def test_attempts_are_a_table_of_their_own(capsys):
    tried = [Attempt("portable", Verdict.identical, "restored", 2.0), Attempt("emulated", None, "no qemu")]
    text = printed(capsys, replayed(Verdict.rounding, tried=tried))
    lines = [line.split() for line in text.splitlines()]
    assert ["tried", "verdict", "seconds"] in lines
    assert ["portable", "identical", "restored", "2.00"] in lines
    assert ["emulated", "–", "no", "qemu", "0.00"] in lines


def test_what_to_do_is_printed_where_an_error_says_it(capsys):
    error = Missing("model.onnx")
    text = printed(capsys, replayed(Verdict.altered, reason=error.message, error=error, image_source=""))
    assert f"what to do: {error.advice}" in text
    assert "–" in text


@pytest.mark.parametrize(("verdict", "lines"), [(Verdict.crashed, 8), (Verdict.broken, 0)])
def test_the_end_of_a_log_is_printed_only_where_there_is_nothing_to_grade(capsys, verdict, lines):
    text = printed(capsys, replayed(verdict, log="\n".join(f"line {k}" for k in range(20))))
    assert [line for line in text.splitlines() if line.startswith("  | ")] == [
        f"  | line {k}" for k in range(20 - lines, 20)
    ]


def test_verdicts_are_summed_up_from_the_best_to_the_worst():
    verdicts = [Verdict.broken, Verdict.identical, Verdict.rounding, Verdict.identical]
    result = Result([replayed(v, k + 1) for k, v in enumerate(verdicts)], {"a": "stored", "b": "rebuilt"})
    line = summary(result, Verdict.identical)
    assert "4 replayed: 2 identical, 1 rounding, 1 broken · images: 1 rebuilt, 1 stored" in line
    assert "images: none" in summary(Result([], {}), Verdict.identical)


def test_names_that_look_like_markup_are_printed_as_they_are(capsys):
    assert "[bold]x" in printed(capsys, replayed(Verdict.broken, reason="[bold]x"))
