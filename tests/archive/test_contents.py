"""The table of contents: what the metadata says, remembered, and never believed beyond that."""

from __future__ import annotations

import pytest
from archive_making import flip, publish, reseal, small_archive

from timeproof.archive import contents as module
from timeproof.archive.contents import contents, row_of
from timeproof.archive.verify import read_metadata


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def archive(tmp_path):
    return small_archive(tmp_path / "archive")


@pytest.fixture
def reading(monkeypatch) -> list[str]:
    """The artifacts whose metadata was read."""
    read: list[str] = []

    def noted(archive, ref):
        read.append(str(ref))
        return read_metadata(archive, ref)

    monkeypatch.setattr(module, "read_metadata", noted)
    return read


def test_a_row_an_artifact_in_order(archive):
    found = contents(archive)
    assert [r.ref for r in found.rows] == list(archive.refs())
    assert found.rows == [row_of(r.ref, read_metadata(archive, r.ref)) for r in found.rows]
    assert found.findings == []


def test_what_did_not_change_is_not_read_again(archive, reading):
    first = contents(archive)
    assert len(reading) == 2
    assert contents(archive) == first
    assert len(reading) == 2
    new = publish(archive, "lightgbm")
    assert str(new) in {str(r.ref) for r in contents(archive).rows}
    assert reading[2:] == [str(new)]


def test_a_changed_document_is_read_again(archive, reading):
    contents(archive)
    ref = next(archive.refs())
    reseal(archive.root / ref.metadata, lambda m: m["tags"].update(run="43"))
    assert contents(archive).rows[0].tags == {"run": "43"}
    assert reading[2:] == [str(ref)]


def test_an_artifact_that_is_gone_is_gone(archive):
    contents(archive)
    ref = next(archive.refs())
    (archive.root / ref.metadata).unlink()
    assert ref not in {r.ref for r in contents(archive).rows}


def test_a_damaged_document_is_a_finding_and_the_rest_is_listed(archive):
    contents(archive)
    ref = next(archive.refs())
    flip(archive.root / ref.metadata)
    found = contents(archive)
    assert [f.kind for f in found.findings] == ["DigestMismatch"]
    assert len(found.rows) == 1


def test_a_damaged_note_costs_time_and_nothing_else(archive, reading, tmp_path):
    first = contents(archive)
    (note,) = (tmp_path / "cache/timeproof/contents").iterdir()
    for damage in (b"", b"[]", b"{}", b'{"schema": 1, "fields": [], "rows": []}', note.read_bytes()[:-9]):
        note.write_bytes(damage)
        reading.clear()
        assert contents(archive) == first
        assert len(reading) == 2


def test_some_artifacts_can_be_asked_for_without_forgetting_the_others(archive, reading):
    contents(archive)
    ref = next(archive.refs())
    assert [r.ref for r in contents(archive, [ref]).rows] == [ref]
    assert len(contents(archive).rows) == 2
    assert len(reading) == 2


def test_many_documents_are_read_by_several_processes_to_the_same_rows(archive, monkeypatch):
    one = contents(archive)
    monkeypatch.setattr(module, "_MANY", 1)
    monkeypatch.setattr(module, "_CHUNK", 1)
    monkeypatch.setattr(module, "_read_note", lambda _: {})
    assert contents(archive) == one
