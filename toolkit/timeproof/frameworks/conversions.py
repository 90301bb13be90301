"""Interchange copies that somebody else made: a conversion of the model, archived beside it.

How far a copy is from the model, the seal measures; here it is only read and copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import Array, Copy, Saved, SavedFile, SaveOptions
from timeproof.frameworks.onnx.adapter import Onnx

_LINEAR = "linear_tree"  # the LightGBM adapter's mark


def with_copies(
    saved: Saved,
    copies: Mapping[str, object],
    inputs: Mapping[str, Array],
    folder: Path,
    tag: str,
    options: SaveOptions,
    *,
    inexact: bool = False,
) -> Saved:
    """Copy conversions of the model into `folder`, as `model_<tag>.onnx`.

    Args:
        copies: by format, which is `onnx`: a path, or what the ONNX adapter takes.
        inputs: the model's own; the graph takes them in their order, cast to its types.
        inexact: a copy that answers otherwise is to be kept.

    Raises:
        BadRequest: another format, or a copy of an ONNX model.
        NotArchivable: the file is not ONNX, holds a trap, or is a conversion that is known to be wrong.
    """
    for name, given in copies.items():
        if name != Onnx.name or saved.framework == Onnx.name:
            raise BadRequest(
                f"a {saved.framework} model can't have a copy called {name!r}",
                advice="copies are given as onnx=PATH, for models that are not ONNX themselves",
            )
        if saved.options.get(_LINEAR) and not inexact:
            raise NotArchivable(
                "the LightGBM model has linear trees (linear_tree), which converters to ONNX drop without an"
                " error: every row of the copy is wrong",
                advice="archive the model without a copy, or keep the copy, marked, with"
                " --keep-inexact (keep_inexact=True)",
            )
        saved = _with_onnx(saved, given, inputs, folder, tag, options)
    return saved


def _with_onnx(
    saved: Saved, given: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
) -> Saved:
    adapter = Onnx()
    if not adapter.recognises(given):
        raise BadRequest(
            f"{given!r} is no ONNX file", advice="give the path of an .onnx file, its bytes, or a ModelProto"
        )
    wanted = adapter.input_names(given)
    if saved.options.get("sparse"):
        raise NotArchivable(
            "the model is asked with a sparse matrix, which ONNX has no type for",
            advice="archive the model without a copy",
        )
    if len(wanted) != len(inputs):
        raise NotArchivable(
            f"the copy takes {len(wanted)} inputs ({', '.join(wanted)}), the model {len(inputs)}",
            advice="convert the model anew, with the inputs that it takes itself",
        )
    named = dict(zip(wanted, inputs.values(), strict=True))
    plain = replace(options, format=None)
    made = adapter.save(given, named, folder, tag, plain)
    facts = made.options["facts"]
    assert isinstance(facts, dict)
    copy = Copy(
        name=adapter.name,
        framework=adapter.name,
        model=made.model,
        options={"graph_optimization": options.graph_optimization, "by_position": True, "cast": True},
        facts=facts,
        given=True,
    )
    roles = [SavedFile(f.path, "interchange" if f.role == "model" else f.role, f.format) for f in made.files]
    return replace(
        saved,
        files=(*saved.files, *roles),
        copies=(*saved.copies, copy),
        notes=(*saved.notes, *(f"the ONNX copy: {note}" for note in made.notes)),
        kept=(*saved.kept, *made.kept),
    )
