"""What an archive promises of one artifact: what was proved while it was sealed, and no more. No IO here."""

from __future__ import annotations

from collections.abc import Mapping

from timeproof.store.schema.records import ArrayDistance
from timeproof.store.schema.v1 import Metadata, Proof


def promise(metadata: Metadata) -> str:
    """Say in one line on which simulated CPUs the answers held, and what moved where they did not."""
    simulated = [p for p in metadata.proofs if p.emulator is not None]
    if not simulated:
        imported = metadata.reference.origin == "imported"
        return "not proved: " + (
            "imported, nothing was run" if imported else "sealed without --prove-portable"
        )
    cpus = [p.cpu for p in simulated if p.verdict == "identical"]
    sentences = [f"proved on {', '.join(cpus)}"] if cpus else []
    for proof in simulated:
        if proof.verdict == "identical":
            continue
        moved = [f"{name!r} moves by {_distance(array)}" for name, array in moving(proof).items()]
        sentences.append(f"on {proof.cpu}: {', '.join(moved) or f'{proof.verdict}: {proof.reason}'}")
    return "; ".join(sentences)


def moving(proof: Proof) -> Mapping[str, ArrayDistance]:
    """The outputs that were not the recorded ones."""
    return {name: array for name, array in proof.outputs.items() if array.verdict != "identical"}


def held_by(metadata: Metadata, output: str) -> list[str]:
    """The profiles under which one output was the recorded one in every run that was made.

    The profile of the reference held on this machine at least, or nothing would have been published.
    """
    names = dict.fromkeys([metadata.profile.name, *(p.profile for p in metadata.proofs)])
    return [
        name
        for name in names
        if all(
            p.outputs.get(output, ArrayDistance()).verdict == "identical"
            for p in metadata.proofs
            if p.profile == name
        )
    ]


def _distance(array: ArrayDistance) -> str:
    sulp, verdict = array.sulp, array.verdict
    return f"{sulp:.3g} sULP ({verdict})" if isinstance(sulp, (int, float)) else verdict
