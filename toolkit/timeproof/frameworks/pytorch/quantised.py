"""Quantized PyTorch modules: which profile holds their answer. Decisions only, no IO."""

from __future__ import annotations

from dataclasses import replace

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import SATURATING, Saved
from timeproof.store.schema.v1 import ProfileRecord

_HOLDS = "FBGEMM_ENABLE_INSTRUCTIONS"  # keeps FBGEMM to one instruction set


def check_profile(saved: Saved, profile: ProfileRecord, *, keep: bool) -> Saved:
    """Note what holds a quantized model's answer; refuse it where nothing does, unless it is to be kept.

    On a CPU with VNNI a quantized LSTM moved by 1e-3 of the scale until that was switched off, a quantized
    ResNet by 4.8e-2 (docs/numerics.md).

    Raises:
        NotArchivable: the profile leaves FBGEMM its choice.
    """
    kinds = saved.options.get("quantized")
    if not isinstance(kinds, list) or not kinds:
        return saved
    subject = f"it holds quantized modules ({', '.join(map(str, kinds))})"
    if _HOLDS in profile.variables:
        note = (
            f"{subject}: their answer holds under {profile.name}, which keeps FBGEMM to one instruction set"
        )
        moves = "without it a CPU with VNNI moves it by 1e-3 to 5e-2 of the scale"
        return replace(saved, notes=(*saved.notes, f"{note}; {moves}"))
    if not keep:
        raise NotArchivable(
            f"{subject}, and the profile {profile.name} lets FBGEMM choose its kernels: with and without VNNI"
            " the answers differ by 1e-3 to 5e-2 of the scale",
            advice="archive it under the profile portable, or keep it, marked, with --keep-saturating"
            " (keep_saturating=True)",
        )
    return replace(
        saved, kept=(*saved.kept, SATURATING), notes=(*saved.notes, f"{subject}; kept under {profile.name}")
    )
