"""Copies of an ensemble of trees in formats of its own making: which are wanted, and who writes them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from timeproof.frameworks.base import Saved
from timeproof.frameworks.options import FrameworkOptions
from timeproof.frameworks.trees.ensemble import Ensemble, NoEnsemble
from timeproof.frameworks.trees.recorded import Recorded

NODES = 10_000  # of a model whose PMML copy is written unasked: about 2 MB, asked in 0.3 s of a processor
ASKED_NODES = 2_000_000  # of any copy
FORMATS = ("pmml", "pfa")
_WRITERS = {
    "pmml": "timeproof.frameworks.pmml.copies",
    "pfa": "timeproof.frameworks.pfa.copies",
}


def wanted_formats(options: FrameworkOptions) -> dict[str, bool]:
    """Give the formats that a copy may be written in, and whether the user requested for it."""
    pmml, pfa = getattr(options, "pmml", False), getattr(options, "pfa", False)
    formats = {} if pmml is False else {"pmml": pmml is True}
    return formats | ({"pfa": True} if pfa else {})


def write_copies(
    formats: dict[str, bool],
    ensemble_of: Callable[[], Ensemble],
    recorded: Recorded,
    folder: Path,
    tag: str,
    saved: Saved,
) -> Saved:
    """Write a copy in each format; where there can be none, a note says why if it was requested for."""
    try:
        recorded.require_table()
        ensemble = ensemble_of()
    except NoEnsemble as error:
        return _noted(saved, formats, str(error))
    except Exception as error:  # a library's own inside: no model is refused for want of a copy
        return _noted(saved, dict.fromkeys(formats, True), f"{type(error).__name__}: {error}")
    nodes = ensemble.nodes()
    for name, requested in formats.items():
        if nodes > (ASKED_NODES if requested else NODES):
            way = "" if requested else f"; --{name} ({name}=True) writes it"
            note = f"there is no {name} copy: the model has {nodes} nodes{way}"
            saved = replace(saved, notes=(*saved.notes, note))
            continue
        writer: Any = importlib.import_module(_WRITERS[name])
        try:
            saved = writer.write_copy(ensemble, recorded, folder, tag, saved)
        except NoEnsemble as error:
            saved = _noted(saved, {name: requested}, str(error))
    return saved


def _noted(saved: Saved, formats: dict[str, bool], reason: str) -> Saved:
    notes = [f"there is no {name} copy: {reason}" for name, requested in formats.items() if requested]
    return replace(saved, notes=(*saved.notes, *notes))
