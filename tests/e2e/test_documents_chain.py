"""PMML in real containers: copies of two models that all tests share, and as models of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import timeproof
from timeproof.store.layout import Archive
from timeproof.store.read import read_artifact

pytestmark = [pytest.mark.container, pytest.mark.framework]


def test_a_copy_was_measured_in_the_container_and_replays_as_a_model_of_its_own(
    sealed: Any, copy_of: Callable[..., Archive]
) -> None:
    archive = copy_of(sealed)
    for framework in ("xgboost", "lightgbm"):
        metadata = read_artifact(archive, archive.locate(f"grid-size-3/{framework}"))
        (copy,) = metadata.copies
        assert copy.name == "pmml"
        assert copy.distance.verdict in {"identical", "rounding"}, copy.distance.sentence
        path = archive.root / f"grid-size-3/{framework}" / copy.file
        (ref,) = timeproof.import_models(
            path, grid_size=3, root=archive.root, environment=sealed.environment
        ).refs
        result = timeproof.replay(str(ref), root=archive.root)
        assert str(result.replayed[0].verdict) in {"identical", "rounding"}, result.replayed[0].reason
