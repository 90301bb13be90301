"""Artifacts with witnesses, whose answers are known. Nothing ever loads them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from support.archive_making import X, fill, metadata_of

from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import Witness

Kind = Literal["float64", "emulated", "margin"]
NATIVE = {"y": np.array([[0.25, 0.75], [0.5, 0.125]], "<f4"), "margin": np.array([-1.5, 2.0], "<f4")}
WIDE = {name: np.nextafter(array, np.float32(0)) for name, array in NATIVE.items()}


def publish(archive: Archive, *kinds: Kind, framework: str = "onnx", **changed: Any) -> Ref:
    """Publish one artifact with these witnesses."""
    with writer.draft(archive, 5, framework) as draft:
        files = fill(draft, b"a model", input=X, output=NATIVE)
        specs = reference.specs_of("output", NATIVE)
        made = []
        for kind in kinds:
            if kind == "margin":
                made.append(Witness(kind="margin", file=files[2].path, outputs=specs[1:]))
                continue
            name = f"witness_{draft.ref.tag}_{kind}.npz"
            with (draft.folder / name).open("xb") as sink:
                reference.write(sink, output=WIDE)
            files.append(writer.entry(draft.folder, name, "witness", "npz"))
            made.append(Witness(kind=kind, file=name, outputs=reference.specs_of("output", WIDE)))
        draft.publish(metadata_of(draft, files, outputs=specs, witnesses=made, **changed))
        return draft.ref
