"""The one rule of passing, spelled out case by case; that all doors keep it, test_one_rule shows."""

from __future__ import annotations

import itertools

import pytest

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest
from timeproof.replaying.policy import (
    NEVER_ACCEPTED,
    Answer,
    check_allowed,
    is_excused,
    keeps_promise,
    passes,
)

V = Verdict
GRADED = [v for v in V if v.graded]


@pytest.mark.parametrize(
    ("verdict", "witness", "other_cpu", "allowed", "strict", "expected"),
    [
        # On the recorded CPU bits are promised.
        (V.identical, False, False, V.identical, False, True),
        (V.rounding, False, False, V.identical, False, False),
        (V.rounding, True, False, V.identical, False, False),
        (V.rounding, True, False, V.rounding, False, True),
        # On another CPU a witness counts in place of the native answer.
        (V.rounding, True, True, V.identical, False, True),
        (V.drift, True, True, V.identical, False, True),
        (V.rounding, False, True, V.identical, False, False),
        (V.rounding, True, True, V.identical, True, False),
        # It excuses no other answer.
        (V.outliers, True, True, V.identical, False, False),
        (V.broken, True, True, V.drift, False, False),
        (V.refused, True, True, V.broken, False, False),
        (V.lost, True, True, V.broken, False, False),
        # What is allowed needs no witness.
        (V.drift, False, False, V.drift, True, True),
        (V.outliers, False, True, V.drift, False, False),
        (V.broken, False, False, V.broken, True, True),
        # What was not graded is allowed by nothing, and allows nothing.
        (V.crashed, False, False, V.crashed, False, False),
        (V.rounding, False, False, V.crashed, False, False),
        (V.identical, False, False, V.crashed, False, True),
    ],
)
def test_what_passes(verdict, witness, other_cpu, allowed, strict, expected):
    answer = Answer(verdict, witness_holds=witness, other_cpu=other_cpu)
    assert passes(answer, allowed, strict=strict) is expected


@pytest.mark.parametrize("verdict", list(V))
def test_allowing_what_was_not_graded_allows_only_what_is_identical(verdict):
    for allowed in V:
        if not allowed.graded:
            assert verdict.allowed_by(allowed) is (verdict is V.identical)


def test_a_witness_counts_in_its_own_environment_alone():
    answer = Answer(V.rounding, witness_holds=True, other_cpu=True, own_environment=False)
    assert not is_excused(answer)
    assert not passes(answer)
    assert passes(answer, V.rounding)


@pytest.mark.parametrize(("verdict", "promised"), list(itertools.product(V, V)))
def test_a_promise_is_kept_by_what_is_no_worse(verdict, promised):
    kept = keeps_promise(Answer(verdict), promised)
    assert kept is (verdict not in NEVER_ACCEPTED and (verdict <= promised or verdict is V.identical))


@pytest.mark.parametrize("verdict", [v for v in V if v is not V.not_applicable])
def test_a_promise_of_identity_is_kept_by_what_passes(verdict):
    for witness, other_cpu, strict in itertools.product([False, True], repeat=3):
        answer = Answer(verdict, witness_holds=witness, other_cpu=other_cpu)
        assert keeps_promise(answer, V.identical, strict=strict) is passes(answer, strict=strict)


def test_a_verdict_that_can_be_allowed_grades_outputs():
    assert [check_allowed(str(v)) for v in GRADED] == GRADED
    for verdict in set(V) - set(GRADED):
        with pytest.raises(BadRequest, match="can't be allowed") as caught:
            check_allowed(str(verdict))
        assert caught.value.advice == "take one of: identical, rounding, drift, outliers, broken"
