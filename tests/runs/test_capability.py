"""What doctor promises of a CPU follows from its flags alone."""

from __future__ import annotations

import pytest

from timeproof.runs.capability import promises

NEHALEM = ["sse4_1", "sse4_2"]
HASWELL = [*NEHALEM, "avx", "avx2", "fma"]


@pytest.mark.parametrize(
    ("machine", "kept", "match"),
    [
        ({"arch": "x86_64", "cpu": "a Xeon", "flags": [*HASWELL, "avx512f"]}, [True, True], "AVX-512"),
        ({"arch": "x86_64", "cpu": "an i5", "flags": HASWELL}, [True, True], "the same bits"),
        ({"arch": "x86_64", "cpu": "an i7", "flags": NEHALEM}, [True, False], "int8 in torch"),
        ({"arch": "x86_64", "cpu": "a Core 2", "flags": ["sse2"]}, [False, False], "without SSE4.2"),
        ({"arch": "aarch64", "cpu": "a Neoverse", "flags": ["asimd"]}, [False, False], "aarch64"),
        ({}, [False, False], "?"),
    ],
)
def test_what_a_cpu_can_promise_is_told_and_what_it_can_not_comes_with_advice(machine, kept, match):
    found = promises(machine)
    assert [f.name for f in found] == ["CPU", "portable profile"]
    assert [f.kept for f in found] == kept
    assert any(match in f.found for f in found)
    assert all(f.advice for f in found if not f.kept)
