"""Interchange copies that somebody else made: a conversion of the model, archived beside it.

How far a copy is from the model, the seal measures; here it is only handed to the copy's own framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.registry import spec_named


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
    """Copy conversions of the model into `folder`.

    Args:
        copies: by the framework that they are of: a path, or what that framework's adapter takes.
        inputs: the model's own; the copy takes them in their order, cast to its types.
        inexact: a copy that answers otherwise is to be kept.

    Raises:
        BadRequest: a framework that is no format for interchange, or that of the model itself.
        NotArchivable: the file is none, holds a trap, or is a conversion that is known to be wrong.
    """
    for name, copy in copies.items():
        spec = spec_named(name)
        if spec is None or saved.framework == name:
            raise BadRequest(
                f"a {saved.framework} model can't have a copy called {name!r}",
                advice="copies are given as onnx=PATH, pmml=PATH or pfa=PATH, for models of other frameworks",
            )
        if saved.misconverted and not inexact:
            raise NotArchivable(
                saved.misconverted,
                advice="archive the model without a copy, or keep the copy, marked, with"
                " --keep-inexact (keep_inexact=True)",
            )
        saved = spec.make_adapter().add_copy(copy, inputs, folder, tag, options, saved)
    return saved
