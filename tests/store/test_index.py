"""The table of contents: what the metadata says, remembered, and never believed beyond that."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from support.archive_making import flip, publish, reseal, small_archive
from support.laws import examples

from timeproof.base import strictjson
from timeproof.base.digests import Digest
from timeproof.errors import BadArchive
from timeproof.store import index as module
from timeproof.store.index import contents, summary_of
from timeproof.store.layout import Ref
from timeproof.store.read import read_metadata

# What a line of a document is altered by.
PIECES = [b"NaN", b"1e999", b"0", b"-1", b"9007199254740993", b'"a"', b"null", b"[]", b"{}", b"[" * 65]
PIECES += [b" ", b'"', b"\\", b"\xff", b'"\\ud800"', b"1e-07", b"1.0", b'"files": [],']


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

    def noted(archive, ref, *more):
        read.append(str(ref))
        return read_metadata(archive, ref, *more)

    monkeypatch.setattr(module, "read_metadata", noted)
    return read


def test_a_row_an_artifact_in_order(archive):
    found = contents(archive)
    assert [r.ref for r in found.artifacts] == list(archive.refs())
    assert found.artifacts == [summary_of(r.ref, read_metadata(archive, r.ref)) for r in found.artifacts]
    assert found.findings == []


def test_what_did_not_change_is_not_read_again(archive, reading):
    first = contents(archive)
    assert len(reading) == 2
    assert contents(archive) == first
    assert len(reading) == 2
    new = publish(archive, "lightgbm")
    assert str(new) in {str(r.ref) for r in contents(archive).artifacts}
    assert reading[2:] == [str(new)]


def test_a_changed_document_is_read_again(archive, reading):
    contents(archive)
    ref = next(archive.refs())
    reseal(archive.root / ref.metadata, lambda m: m["tags"].update(run="43"))
    assert contents(archive).artifacts[0].tags == {"run": "43"}
    assert reading[2:] == [str(ref)]


def test_an_artifact_that_is_gone_is_gone(archive):
    contents(archive)
    ref = next(archive.refs())
    (archive.root / ref.metadata).unlink()
    assert ref not in {r.ref for r in contents(archive).artifacts}


def test_a_damaged_document_is_a_finding_and_the_rest_is_listed(archive):
    contents(archive)
    ref = next(archive.refs())
    flip(archive.root / ref.metadata)
    found = contents(archive)
    assert [f.kind for f in found.findings] == ["DigestMismatch"]
    assert len(found.artifacts) == 1


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
    assert [r.ref for r in contents(archive, [ref]).artifacts] == [ref]
    assert len(contents(archive).artifacts) == 2
    assert len(reading) == 2


def test_many_documents_are_read_by_several_processes_to_the_same_rows(archive, monkeypatch):
    one = contents(archive)
    monkeypatch.setattr(module, "_MANY", 1)
    monkeypatch.setattr(module, "_CHUNK", 1)
    monkeypatch.setattr(module, "_read_note", lambda _: {})
    assert contents(archive) == one


GOLDEN = sorted((Path(__file__).parents[1] / "golden/v1").glob("grid-size-*/*/metadata_*.json"))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Real metadata, some lines gone, twice or altered; mostly with the checksum that it then has."""
    lines = draw(st.sampled_from(GOLDEN)).read_bytes().splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 3))):
        k = draw(st.integers(1, len(lines) - 2))
        at = draw(st.integers(0, len(lines[k])))
        lines[k : k + 1] = draw(
            st.sampled_from(
                [
                    [],
                    [lines[k], lines[k]],
                    [lines[k], draw(st.sampled_from(lines))],
                    [lines[k][:at] + draw(st.sampled_from(PIECES)) + lines[k][at:]],
                    [lines[k][:at] + lines[k][at + 1 :]],
                    [lines[k].replace(b": ", b": " + draw(st.sampled_from(PIECES)) + b",\n", 1)],
                ]
            )
        )
    data = b"".join(lines)
    found = re.search(rb'"checksum": "sha256:([0-9a-f]{64})"', data)
    if found is None or draw(st.integers(0, 9)) == 0:
        return data
    blank = data[: found.start(1)] + b"0" * 64 + data[found.end(1) :]
    return data[: found.start(1)] + Digest.of(blank).hex.encode() + data[found.end(1) :]


@examples(300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged())
def test_a_damaged_document_gives_the_row_or_the_finding_of_the_slow_parser(tmp_path, data):
    ref = Ref(6, "xgboost", 1)
    (tmp_path / ref.folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / ref.metadata).write_bytes(data)
    (fast,) = module._read_some(tmp_path, [ref])
    with mock.patch.object(strictjson, "_as_we_spell_it", return_value=None):
        (slow,) = module._read_some(tmp_path, [ref])
    if isinstance(slow, BadArchive):
        assert isinstance(fast, BadArchive)
        assert fast.facts() == slow.facts()
    else:
        assert fast == slow
