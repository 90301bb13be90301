"""Bounds that a user sets: those alone are another."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from timeproof.base.limits import LIMITS, Limits


@pytest.mark.parametrize(
    ("bounds", "changed"),
    [
        ({}, {}),
        ({"artifact_seconds": None, "container_mebibytes": None, "cluster_cleanup": None}, {}),
        ({"artifact_seconds": 7.5}, {"artifact_seconds": 7.5}),
        ({"container_mebibytes": 64}, {"container_memory": 64 * 2**20}),
        ({"cluster_cleanup": 0.0}, {"cluster_cleanup": 0.0}),
    ],
)
def test_only_what_is_given_is_changed(bounds, changed) -> None:
    assert asdict(LIMITS.bounded(**bounds)) == asdict(Limits()) | changed
