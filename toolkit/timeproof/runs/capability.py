"""What a machine's CPU can promise of a replay. Facts in, findings out; nothing is read here.

The facts are those that the probe tells of its machine, and an artifact's metadata records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# In the order of their age: what the kernel calls them, what people do.
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
    """One finding. `advice` says what to do where it is not `kept`."""

    name: str
    kept: bool
    found: str
    advice: str = ""


def promises(machine: Mapping[str, Any]) -> list[Promise]:
    """What answers may be expected to be the same here.

    Args:
        machine: `cpu`, `arch` and `flags`, as the probe tells them.
    """
    arch, cpu = str(machine.get("arch", "?")), str(machine.get("cpu", "?"))
    flags = set(machine.get("flags") or ())
    if arch not in {"x86_64", "amd64"}:
        return [
            Promise(
                "CPU", False, f"{cpu} ({arch})", "images are linux/amd64: they run here only if emulated"
            ),
            Promise(
                "portable profile",
                False,
                f"its kernels are x86-64 ones, and this is {arch}",
                "an engine that emulates x86-64 has them; natively, expect float64 and emulated witnesses to"
                " hold, and little else",
            ),
        ]
    known = [said for flag, said in _SETS if flag in flags]
    if "sse4_2" not in flags:
        advice = "NumPy 2.4 needs SSE4.2: an environment with it does not run here"
        return [
            Promise("CPU", False, f"{cpu}, without SSE4.2", advice),
            Promise("portable profile", False, "its kernels need SSE4.1 and SSE4.2", advice),
        ]
    found = Promise("CPU", True, f"{cpu} ({', '.join(known)})")
    if "avx2" not in flags:
        told = "its kernels are here, but for int8 in torch, whose need AVX2"
        return [
            found,
            Promise(
                "portable profile", False, told, "expect quantized torch models to crash or to differ here"
            ),
        ]
    told = "its kernels are here: what was proved portable replays to the same bits"
    return [found, Promise("portable profile", True, told)]
