"""An ONNX file that somebody converted another framework's model to, archived beside that model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import Adapter, Array, Copy, Saved, SavedFile, SaveOptions
from timeproof.frameworks.onnx.options import OnnxOptions


def add_copy(
    adapter: Adapter,
    copy: Any,
    names: Sequence[str],
    inputs: Mapping[str, Array],
    folder: Path,
    tag: str,
    options: SaveOptions,
    saved: Saved,
) -> Saved:
    """Write the copy as `model_<tag>.onnx`, and its external data.

    Args:
        names: of the graph's inputs, in its order: it takes the model's in theirs.

    Raises:
        NotArchivable: the graph takes other inputs, or holds a trap.
    """
    if saved.options.get("sparse"):
        raise NotArchivable(
            "the model is asked with a sparse matrix, which ONNX has no type for",
            advice="archive the model without a copy",
        )
    if len(names) != len(inputs):
        raise NotArchivable(
            f"the copy takes {len(names)} inputs ({', '.join(names)}), the model {len(inputs)}",
            advice="convert the model anew, with the inputs that it takes itself",
        )
    level = options.framework.graph_optimization
    as_onnx = replace(options, framework=OnnxOptions(graph_optimization=level))
    graph = adapter.save(copy, dict(zip(names, inputs.values(), strict=True)), folder, tag, as_onnx)
    facts = graph.options["facts"]
    assert isinstance(facts, dict)
    record = Copy(
        name=adapter.name,
        framework=adapter.name,
        model=graph.model,
        options={"graph_optimization": level, "by_position": True, "cast": True},
        facts=facts,
        given=True,
    )
    return replace(
        saved,
        files=(*saved.files, *as_interchange(graph.files)),
        copies=(*saved.copies, record),
        notes=(*saved.notes, *(f"the ONNX copy: {note}" for note in graph.notes)),
        kept=(*saved.kept, *graph.kept),
    )


def as_interchange(files: Sequence[SavedFile]) -> list[SavedFile]:
    """The files of a model as those of a copy."""
    roles = {"model": "interchange"}
    return [replace(file, role=roles.get(file.role, file.role)) for file in files]  # type: ignore[arg-type]


def require_onnx(adapter: Adapter, copy: object) -> None:
    """Raise BadRequest where what is given as a copy is no ONNX file."""
    if not adapter.recognises(copy):
        raise BadRequest(
            f"{copy!r} is no ONNX file", advice="give the path of an .onnx file, its bytes, or a ModelProto"
        )
