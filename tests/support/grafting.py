"""Artifacts that nobody would seal: made of a real one by changing files, with every digest right."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from typing import Any

from timeproof.replaying.flow import expected_outputs
from timeproof.store import publish, reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import Metadata


def graft(
    archive: Archive,
    source: str,
    files: Mapping[str, bytes],
    *,
    outputs: Mapping[str, Any] | None = None,
) -> Ref:
    """Publish the next version of `source`, with some files replaced.

    Args:
        files: new bytes by the path in `source`, such as `source_pt_v1/tiny_net.py`.
        outputs: other recorded outputs.
    """
    old = archive.locate(source)
    metadata = read_metadata(archive, old)
    folder = archive.root / old.folder
    with publish.draft(archive, old.grid_size, old.framework) as draft:
        new = draft.ref
        before, after = f"{old.tag}", f"{new.tag}"
        for entry in metadata.files:
            target = draft.folder / entry.path.replace(before, after)
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.path in files:
                target.write_bytes(files[entry.path])
            else:
                shutil.copyfile(folder / entry.path, target)
        value = json.loads(metadata.to_bytes().replace(before.encode(), after.encode()))
        if outputs is not None:
            inputs = _inputs(archive, old, metadata)
            stream = io.BytesIO()
            reference.write(stream, input=inputs, output=outputs)
            name = metadata.file("reference").path.replace(before, after)
            (draft.folder / name).write_bytes(stream.getvalue())
            value["outputs"] = [s.model_dump() for s in reference.specs_of("output", outputs)]
        value["version"] = new.version
        for entry in value["files"]:
            listed = publish.entry(draft.folder, entry["path"], entry["role"], entry["format"])
            entry.update(size=listed.size, sha256=listed.sha256)
        draft.publish(Metadata.model_validate(value))
    return new


def _inputs(archive: Archive, ref: Ref, metadata: Metadata) -> dict[str, Any]:
    path = f"{ref.folder}/{metadata.file('reference').path}"
    with (archive.root / path).open("rb") as stream:
        return reference.read(stream, metadata.inputs, path)


def recorded(archive: Archive, ref: str) -> dict[str, Any]:
    """The recorded outputs of an artifact."""
    artifact = archive.locate(ref)
    return expected_outputs(archive, artifact, read_metadata(archive, artifact))
