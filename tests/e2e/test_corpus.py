"""ONNX's own cases on a real engine: all are imported, and of every sort some are replayed.

The whole of it is `make corpus`.
"""

from __future__ import annotations

from collections import Counter

import pytest
from support.fetching import fetched

from timeproof.compare.verdict import Verdict
from timeproof.importing.flow import Request, import_models
from timeproof.replaying.flow import replay
from timeproof.store.read import read_metadata
from timeproof.store.verify import verify

pytestmark = pytest.mark.container

# What NumPy or a plain array can't hold, fed to onnxruntime and got back to the bit.
EXACT = {
    "node/test_cast_BFLOAT16_to_FLOAT",
    "node/test_cast_FLOAT_to_BFLOAT16",
    "node/test_cast_FLOAT_to_FLOAT8E4M3FN",
    "node/test_cast_FLOAT8E5M2FNUZ_to_FLOAT",
    "node/test_cast_INT4_to_FLOAT",
    "node/test_cast_FLOAT_to_UINT4",
    "node/test_cast_INT2_to_FLOAT",
    "node/test_identity_sequence",
    "node/test_sequence_insert_at_front",
    "node/test_identity_opt",
    "node/test_optional_has_element_empty_optional_input",
    "node/test_strnormalizer_nostopwords_nochangecase",
    "node/test_string_concat",
    "node/test_equal_string",
}


def no_engine():
    raise AssertionError("the environment is there")


def test_the_onnx_projects_cases_are_imported_and_their_answers_found_again(sealed, copy_of, real_engine):
    archive = copy_of(sealed)
    source = fetched() / "onnx"
    done = import_models(archive, Request(source, 1, sealed.environment), no_engine)
    assert len(done.refs) >= 1800
    cases = {ref: read_metadata(archive, ref).tags["case"] for ref in done.refs}
    assert len(set(cases.values())) == len(cases)
    chosen = [ref for k, ref in enumerate(done.refs) if k % 5 == 0 or cases[ref] in EXACT]
    report = verify(archive, chosen)
    assert report.ok, [f.message for f in report.findings]
    result = replay(archive, chosen, real_engine)
    found = {cases[r.ref]: r for r in result.replayed}
    assert set(found) >= EXACT
    for case in EXACT:
        assert found[case].verdict is Verdict.identical, (case, found[case].reason)
    counted = Counter(r.verdict for r in result.replayed)
    assert set(counted) <= {v for v in Verdict if v <= Verdict.refused}, counted  # none crashed, none is lost
    assert counted[Verdict.identical] + counted[Verdict.rounding] > 0.85 * len(chosen), counted
