"""What a replay on a machine's CPU can be expected to give. Facts in, findings out; no IO here.

The facts are those that the probe reports of its machine and that an artifact's metadata records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Oldest first: the kernel's name of an instruction set, and its common name.
_SETS = (
    ("sse4_2", "SSE4.2"),
    ("avx", "AVX"),
    ("avx2", "AVX2"),
    ("fma", "FMA"),
    ("avx512f", "AVX-512"),
    ("avx512_vnni", "VNNI"),
    ("avx_vnni", "AVX-VNNI"),
    ("amx_tile", "AMX"),
)


@dataclass(frozen=True, slots=True)
class Promise:
    """One finding. `advice` says what to do where `holds` is False."""

    name: str
    holds: bool
    finding: str
    advice: str = ""


def assess_machine(machine: Mapping[str, Any]) -> list[Promise]:
    """Say which outputs can be expected to be the same on this machine.

    Args:
        machine: `cpu`, `arch` and `flags`, as the probe reports them.
    """
    arch, cpu = str(machine.get("arch", "?")), str(machine.get("cpu", "?"))
    flags = set(machine.get("flags") or ())
    if arch not in {"x86_64", "amd64"}:
        return [
            Promise(
                "CPU", False, f"{cpu} ({arch})", "images are linux/amd64: here they run only by emulation"
            ),
            Promise(
                "portable profile",
                False,
                f"its kernels are for x86-64, and this machine is {arch}",
                "an engine that emulates x86-64 can run them; natively, expect only float64 and emulated"
                " witnesses to be identical",
            ),
        ]
    sets = [title for flag, title in _SETS if flag in flags]
    if "sse4_2" not in flags:
        advice = "NumPy 2.4 needs SSE4.2: an environment with NumPy 2.4 does not run here"
        return [
            Promise("CPU", False, f"{cpu}, without SSE4.2", advice),
            Promise("portable profile", False, "its kernels need SSE4.1 and SSE4.2", advice),
        ]
    processor = Promise("CPU", True, f"{cpu} ({', '.join(sets)})")
    if "avx2" not in flags:
        return [
            processor,
            Promise(
                "portable profile",
                False,
                "this CPU runs its kernels, except torch's int8 kernels, which need AVX2",
                "expect quantized torch models to crash or to differ here",
            ),
        ]
    return [
        processor,
        Promise(
            "portable profile",
            True,
            "this CPU runs its kernels: an artifact that was proved portable replays to the same bits",
        ),
    ]
