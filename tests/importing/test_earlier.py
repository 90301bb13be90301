"""Which artifacts of an archive an import would only repeat."""

from __future__ import annotations

import pytest
from support.archive_making import publish

from timeproof.importing.earlier import EarlierImports
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import Metadata, Origin

ZOO = Origin(origin="imported", source="a zoo")


@pytest.fixture
def imported(small: Archive) -> tuple[Ref, Metadata]:
    ref = publish(small, "lightgbm", 5, reference=ZOO, tags={"run": "1"})
    return ref, read_metadata(small, ref)


def locate(archive: Archive, metadata: Metadata, *scores: str) -> Ref | None:
    return EarlierImports(archive, 5, "lightgbm").locate(metadata, scores)


def test_the_same_bytes_tags_and_options_are_the_same_import(small, imported):
    ref, metadata = imported
    later = metadata.model_copy(update={"version": 7, "created": "2030-01-01T00:00:00Z", "notes": ["new"]})
    assert locate(small, later) == ref


def test_other_bytes_tags_options_or_environments_are_another_import(small, imported):
    _, metadata = imported
    file = metadata.files[0].model_copy(update={"sha256": "0" * 64})
    model = metadata.model.model_copy(update={"options": {"outputs": ["y"]}})
    environment = metadata.environment.model_copy(update={"lock_sha256": "0" * 64})
    for change in (
        {"files": [file, *metadata.files[1:]]},
        {"tags": {"run": "2"}},
        {"tags": {}},
        {"model": model},
        {"environment": environment},
    ):
        assert locate(small, metadata.model_copy(update=change)) is None, change


def test_scores_that_are_not_marked_there_make_another_import(small, imported):
    _, metadata = imported
    assert locate(small, metadata, "y") is None
    marked = [spec.model_copy(update={"scores": True}) for spec in metadata.outputs]
    ref = publish(small, "lightgbm", 5, reference=ZOO, tags={"run": "1"}, outputs=marked)
    assert locate(small, metadata, "y") == ref


def test_sealed_and_unreadable_artifacts_are_never_the_same(small, imported):
    ref, metadata = imported
    publish(small, "lightgbm", 5, tags={"run": "1"})
    path = small.root / ref.metadata
    path.write_bytes(path.read_bytes()[:-9])
    assert locate(small, metadata) is None
