"""Profiles: the numeric settings under which outputs are made. Values only, no IO.

The variables of `portable` are those that were measured to hold the bits over simulated CPUs, each of
them necessary (docs/numerics.md); they are put into the container before the process starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from timeproof.archive.model import ProfileRecord
from timeproof.errors import BadRequest

# NumPy renamed its features between 1.26 and 2.4; a name that it doesn't know is ignored.
_NUMPY_FEATURES = (
    "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL"
)

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
        "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",  # quantized torch: a VNNI CPU differs by 1e-3 without it
    }
)

NAMES = ("portable", "native")


def profile_named(name: str) -> ProfileRecord:
    """The profile of that name. Raises BadRequest."""
    if name == "portable":
        return ProfileRecord(name=name, threads=1, variables=dict(PORTABLE))
    if name == "native":
        return ProfileRecord(name=name, threads=None, variables={})
    raise BadRequest(f"there is no profile {name!r}", advice=f"take one of: {', '.join(NAMES)}")
