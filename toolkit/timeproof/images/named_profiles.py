"""The profiles that have a name: their variables, and how a recipe spells them. Values only, no IO.

Thread counts stand beside the variables, because each framework takes its number by its own call.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# NumPy renamed its features between 1.26 and 2.4; a name that it doesn't know is ignored.
_NUMPY_FEATURES = (
    "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL"
)

# What was measured to hold the bits over simulated CPUs, each of them necessary (docs/numerics.md).
PORTABLE: Mapping[str, str] = MappingProxyType(
    {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": _NUMPY_FEATURES,
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4",
        "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",  # quantized torch: a VNNI CPU differs by 1e-3 to 5e-2
    }
)

BUILT_IN: Mapping[str, tuple[int | None, Mapping[str, str]]] = MappingProxyType(
    {"portable": (1, PORTABLE), "native": (None, MappingProxyType({}))}
)


def env_file(name: str) -> bytes:
    """Spell a built-in profile's variables for `docker run --env-file`: one `NAME=value` a line."""
    threads, variables = BUILT_IN[name]
    wording = (
        "each framework's own default" if threads is None else f"{threads}, by each framework's own call"
    )
    lines = [f"# The profile {name}. Threads: {wording}."]
    lines += [f"{variable}={value}" for variable, value in variables.items()]
    return ("\n".join(lines) + "\n").encode()
