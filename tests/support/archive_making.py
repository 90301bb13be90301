"""Small archives on disk, through the real writer, without an engine; and ways to damage them."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof.base import strictjson
from timeproof.base.digests import Digest
from timeproof.errors import raise_findings
from timeproof.runs.profiles import profile_named
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.claims import check_claims
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import artifact_claims, read_artifact
from timeproof.store.schema.v1 import (
    EnvironmentRef,
    Framework,
    Metadata,
    Model,
)
from timeproof.testing.archives import ENVIRONMENT, IMAGE, LOCK_SHA256, publish_environment

ZEROS = "0" * 64
MODELS = {"pytorch": "pth", "xgboost": "json", "lightgbm": "txt", "onnx": "onnx"}
X = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
Y = {"y": np.array([0.25, 0.75])}


def check_artifact(archive: Archive, ref: Ref) -> Metadata:
    """Read an artifact's metadata, and hash all of its files. Raises BadArchive, or ManyFindings."""
    metadata = read_artifact(archive, ref)
    claims = artifact_claims(ref, metadata)
    raise_findings(archive.root / ref.folder, check_claims(archive.root, claims))
    return metadata


def metadata_of(draft: writer.Draft, files: list[Any], **changed: Any) -> Metadata:
    """Metadata of a draft, as archiving would write it; `changed` replaces whole fields."""
    ref = draft.ref
    fields: dict[str, Any] = {
        "schema": 1,
        "created": "2026-01-02T03:04:05Z",
        "grid_size": ref.grid_size,
        "version": ref.version,
        "framework": Framework.model_validate({"name": ref.framework, "version": "1.0", "python": "3.11.7"}),
        "model": Model(file=files[0].path, module=None, qualname=None, init_args={}, options={}, source=[]),
        "files": files,
        "inputs": reference.specs_of("input", X),
        "outputs": reference.specs_of("output", Y),
        "copies": [],
        "environment": EnvironmentRef(name=ENVIRONMENT, lock_sha256=LOCK_SHA256, image=IMAGE),
        "profile": profile_named("portable"),
        "training": None,
        "machine": {"cpu": "a CPU"},
        "seal": {"runs": 2},
        "tags": {},
        "notes": [],
    }
    return Metadata(**(fields | changed))


def fill(draft: writer.Draft, model: bytes, **groups: Mapping[str, Any]) -> list[Any]:
    """Write a model file, a source folder and the reference into a draft; gives the entries."""
    tag = draft.ref.tag
    file = f"model_{tag}.{MODELS[draft.ref.framework]}"
    (draft.folder / file).write_bytes(model)
    (draft.folder / f"source_{tag}").mkdir()
    (draft.folder / f"source_{tag}" / "net.py").write_bytes(b"pass\n")
    stream = io.BytesIO()
    reference.write(stream, **(groups or {"input": X, "output": Y}))
    (draft.folder / f"reference_{tag}.npz").write_bytes(stream.getvalue())
    return [
        writer.entry(draft.folder, file, "model", MODELS[draft.ref.framework]),
        writer.entry(draft.folder, f"source_{tag}/net.py", "source", "python"),
        writer.entry(draft.folder, f"reference_{tag}.npz", "reference", "npz"),
    ]


def publish(
    archive: Archive,
    framework: str = "xgboost",
    grid_size: int = 8,
    version: int | None = None,
    *,
    model: bytes = b"a model\n",
    **changed: Any,
) -> Ref:
    """Publish one artifact; nothing ever loads it."""
    with writer.draft(archive, grid_size, framework, version) as draft:
        draft.publish(metadata_of(draft, fill(draft, model), **changed))
        return draft.ref


def small_archive(root: Path) -> Archive:
    """Two artifacts, one environment, one image: every kind of file that an archive holds."""
    archive = Archive(root)
    publish_environment(archive)
    publish(archive, "xgboost")
    publish(archive, "pytorch", 12)
    return archive


def files_of(root: Path) -> list[Path]:
    """Every file but the locks, sorted."""
    return sorted(p for p in root.rglob("*") if p.is_file() and not p.name.endswith(".lock"))


def spell(value: dict[str, Any]) -> bytes:
    """Spell a document with the checksum that its content has, whatever that content is."""
    blank = json.dumps({**value, "checksum": f"sha256:{ZEROS}"}, indent=2, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
    return blank.replace(ZEROS.encode(), Digest.of(blank).hex.encode(), 1)


def reseal(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit a document on disk as an attacker would who knows about its checksum."""
    value = strictjson.loads(path.read_bytes(), path)
    edit(value)
    break_hard_link(path).write_bytes(spell(value))


def break_hard_link(path: Path) -> Path:
    """Give `path` bytes of its own where it is a hard link to someone else's."""
    if path.stat().st_nlink > 1:
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    return path


def flip(path: Path, bit: int = 0, at: int | None = None) -> None:
    """Flip one bit, in the middle unless said otherwise."""
    data = bytearray(break_hard_link(path).read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1 << bit
    path.write_bytes(data)


def copy_archive(root: Path, target: Path) -> Path:
    """Copy an archive: what is small really, the packages and blobs as hard links where that works."""

    def link(source: str, to: str) -> None:
        try:
            os.link(source, to)
        except OSError:
            shutil.copy2(source, to)

    target.mkdir(parents=True)
    for entry in sorted(root.iterdir()):
        heavy = entry.name in {"packages", "images"}
        shutil.copytree(entry, target / entry.name, copy_function=link if heavy else shutil.copy2)
    for name in ("index.json", "oci-layout"):
        if (target / "images" / name).exists():
            break_hard_link(target / "images" / name)
    return target
