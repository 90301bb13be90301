"""What a replay gives: laws of passing, and a sentence that never makes an answer look better than it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timeproof.compare.verdict import Verdict
from timeproof.replaying.flow import Replayed
from timeproof.replaying.result import WitnessAnswer
from timeproof.store.layout import Ref

GRADED = [v for v in Verdict if v.graded]
WITNESSES = st.none() | st.builds(
    WitnessAnswer,
    st.sampled_from(["float64", "emulated", "margin"]),
    st.sampled_from(list(Verdict)),
    st.just("…"),
)
FOUND = st.builds(
    Replayed,
    st.just(Ref(5, "onnx", 1)),
    st.sampled_from(list(Verdict)),
    st.just("differs"),
    witness=WITNESSES,
    elsewhere=st.booleans(),
    cause=st.sampled_from(["", "CPU", "instruction set"]),
)


@given(FOUND, st.sampled_from(GRADED))
def test_laws_of_passing(found, allowed):
    """Strictness takes away, allowing gives; a witness helps only elsewhere, and only the same answer."""
    strict, lenient = found.passes(allowed, strict=True), found.passes(allowed)
    assert strict == found.verdict.allowed_by(allowed)
    assert lenient >= strict
    if lenient and not strict:
        assert found.elsewhere
        assert found.witness.verdict is Verdict.identical
        assert found.verdict in {Verdict.rounding, Verdict.drift}
    if allowed is Verdict.broken:
        assert lenient == found.verdict.graded


@given(FOUND)
def test_a_sentence_never_calls_a_native_difference_plainly_identical(found):
    said = found.sentence()
    assert said.startswith("identical: ") == (found.verdict is Verdict.identical)
    if said.startswith("identical ("):
        assert found.witness.holds
        assert "native differs" in said
        assert found.verdict is Verdict.rounding or str(found.verdict) in said
    told_ = found.to_json()
    assert told_["verdict"] == str(found.verdict)
