"""Artifacts with witnesses, whose answers are known. Nothing ever loads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from support.archive_making import X, fill, metadata_of

from timeproof.engines.protocol import ImageFacts
from timeproof.replaying.flow import Replayed, Result, replay
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import Witness
from timeproof.testing.archives import IMAGE
from timeproof.testing.fake_engine import FakeEngine, Script, answer, ended, frame, stream

HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
Kind = Literal["float64", "emulated", "margin"]
NATIVE = {"y": np.array([[0.25, 0.75], [0.5, 0.125]], "<f4"), "margin": np.array([-1.5, 2.0], "<f4")}
LAST_BIT = {**NATIVE, "y": np.nextafter(NATIVE["y"], np.float32(1))}
WIDE = {name: np.nextafter(array, np.float32(0)) for name, array in NATIVE.items()}


def publish(archive: Archive, *kinds: Kind, framework: str = "onnx", **changed: Any) -> Ref:
    """Publish one artifact with these witnesses."""
    with writer.draft(archive, 5, framework) as draft:
        files = fill(draft, b"a model", input=X, output=NATIVE)
        specs = reference.specs_of("output", NATIVE)
        witnesses = []
        for kind in kinds:
            if kind == "margin":
                witnesses.append(Witness(kind="margin", file=files[2].path, outputs=specs[1:]))
                continue
            name = f"witness_{draft.ref.tag}_{kind}.npz"
            with (draft.folder / name).open("xb") as sink:
                reference.write(sink, output=WIDE)
            files.append(writer.entry(draft.folder, name, "witness", "npz"))
            witnesses.append(Witness(kind=kind, file=name, outputs=reference.specs_of("output", WIDE)))
        draft.publish(metadata_of(draft, files, outputs=specs, witnesses=witnesses, **changed))
        return draft.ref


def saying(native: Mapping[str, Any], wide: Mapping[str, Any] | bytes = b"", **machine: Any) -> Script:
    """Answer natively, and what a witness is asked otherwise; on this machine."""
    hello = {"kind": "hello", "contract": 1, "python": "3.11.7", "machine": {"cpu": "a CPU", **machine}}

    def script(job: dict[str, Any], _: Any) -> tuple[bytes, Any]:
        (artifact,) = job["artifacts"]
        reply = native if artifact["witness"] is None else wide
        frames = reply if isinstance(reply, bytes) else answer(artifact["id"], reply)
        return frame(hello) + stream(frames)[len(stream(done=False)) :], ended()

    return script


def replay_one(
    archive: Archive, ref: Ref, script: Script, **more: Any
) -> tuple[Replayed, Result, FakeEngine]:
    """Replay one artifact on an engine that answers as `script` says."""
    engine = FakeEngine(script, [HELD])
    result = replay(archive, [ref], engine, **more)
    (replayed,) = result.replayed
    return replayed, result, engine
