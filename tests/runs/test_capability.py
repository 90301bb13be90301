"""What doctor expects of a CPU follows from its flags alone."""

from __future__ import annotations

import pytest

from timeproof.runs.capability import assess_machine

NEHALEM = ["sse4_1", "sse4_2"]
HASWELL = [*NEHALEM, "avx", "avx2", "fma"]


@pytest.mark.parametrize(
    ("machine", "holds", "match"),
    [
        ({"arch": "x86_64", "cpu": "a Xeon", "flags": [*HASWELL, "avx512f"]}, [True, True], "AVX-512"),
        ({"arch": "x86_64", "cpu": "an i5", "flags": HASWELL}, [True, True], "the same bits"),
        ({"arch": "x86_64", "cpu": "an i7", "flags": NEHALEM}, [True, False], "torch's int8 kernels"),
        ({"arch": "x86_64", "cpu": "a Core 2", "flags": ["sse2"]}, [False, False], "without SSE4.2"),
        ({"arch": "aarch64", "cpu": "a Neoverse", "flags": ["asimd"]}, [False, False], "aarch64"),
        ({}, [False, False], "?"),
    ],
)
def test_what_a_cpu_can_promise_is_told_and_what_it_can_not_comes_with_advice(machine, holds, match):
    findings = assess_machine(machine)
    assert [f.name for f in findings] == ["CPU", "portable profile"]
    assert [f.holds for f in findings] == holds
    assert any(match in f.finding for f in findings)
    assert all(f.advice for f in findings if not f.holds)
