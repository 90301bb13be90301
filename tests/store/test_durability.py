"""After a power cut, what was published is there, whole: the order of writes, syncs and names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.archive_making import fill, metadata_of, publish
from support.disk_trace import tracing

from timeproof.base import atomic
from timeproof.errors import StorageFailed
from timeproof.store import oci_layout
from timeproof.store import publish as writer
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.verify import verify
from timeproof.testing.archives import IMAGE, export, publish_environment


def is_metadata(path: str) -> bool:
    return os.path.basename(path).startswith("metadata_")


def test_the_first_artifact_of_a_grid_size_is_durable_with_its_folders(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "new" / "archive")
    with tracing() as trace:
        publish(archive, "xgboost", 8)
    trace.check(tmp_path)
    trace.check_order(tmp_path, is_metadata)


def test_the_folders_on_the_way_are_synced_though_another_writer_made_them(tmp_path: Path) -> None:
    """It may have made them and not have synced them yet."""
    archive = Archive(tmp_path / "archive")
    (archive.root / "grid-size-8" / "xgboost").mkdir(parents=True)
    with tracing() as trace:
        publish(archive, "xgboost", 8)
    last = max(at for at, call in trace.moves(tmp_path))
    for folder in ("grid-size-8/xgboost", "grid-size-8", ""):
        assert trace.synced(str(archive.root / folder), last), folder


@pytest.mark.parametrize("count", [2, 40])
def test_many_artifacts_at_once_are_durable_before_the_first_has_metadata(tmp_path: Path, count: int) -> None:
    """Forty of them have over 64 files, which several threads make durable."""
    archive = Archive(tmp_path)
    with writer.draft(archive, 8, "xgboost", count=count) as draft:
        for k in range(count):
            draft.add(metadata_of(draft, fill(draft, b"model %d" % k)))
        with tracing() as trace:
            assert len(draft.publish()) == count
    trace.check(tmp_path)
    trace.check_order(tmp_path, is_metadata)


@pytest.mark.parametrize("count", [1, 40])
def test_a_file_that_can_not_be_made_durable_stops_the_publication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Whichever file it is: no thread's error is lost."""
    archive = Archive(tmp_path)
    fsync = os.fsync
    for suffix in ("model_xgb_v1.json", "source_xgb_v1/net.py", f"metadata_xgb_v{count}.json"):

        def refuse(descriptor: int, suffix: str = suffix) -> None:
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith(suffix):
                raise OSError(5, "Input/output error")
            fsync(descriptor)

        with writer.draft(archive, 8, "xgboost", count=count) as draft, monkeypatch.context() as patch:
            for k in range(count):
                draft.add(metadata_of(draft, fill(draft, b"model %d" % k)))
            patch.setattr(os, "fsync", refuse)
            with pytest.raises(StorageFailed, match="Input/output error"):
                draft.publish()
        assert list(archive.refs()) == []
        assert verify(archive).leftovers == []


def test_an_environment_gets_its_name_with_everything_in_it(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    with tracing() as trace:
        record = publish_environment(archive)
    trace.check(archive.root)
    (move,) = [
        call
        for _, call in trace.moves(archive.root)
        if call.path == str(archive.environments / record.folder)
    ]
    assert f"{move.source}/image.json" in move.files, "image.json came later than its folder"
    assert not [call for _, call in trace.moves(archive.root) if call.path.endswith("/image.json")]


def test_the_blobs_of_an_image_are_durable_before_the_index_lists_it(tmp_path: Path) -> None:
    layout = tmp_path / "archive" / "images"
    with atomic.Staging(layout, "build") as work:
        exported = export(work.path / "layout")
        with tracing() as trace:
            oci_layout.add(layout, exported, IMAGE.manifest, [])
    trace.check(layout)
    trace.check_order(layout, lambda path: path.endswith(("index.json", "oci-layout")))
    replaced = [call.name for _, call in trace.moves(layout) if call.path.endswith("index.json")]
    assert replaced == ["rename"], "the index is never written in place"


def test_a_package_is_durable_with_its_folders(tmp_path: Path) -> None:
    (tmp_path / "six-1.0-py3-none-any.whl").write_bytes(b"a wheel")
    for add in (
        lambda store: store.add_file(tmp_path / "six-1.0-py3-none-any.whl"),
        lambda store: store.add_bytes(b"a wheel", "six-1.0-py3-none-any.whl"),
    ):
        store = PackageStore(tmp_path / f"archive-{len(os.listdir(tmp_path))}" / "packages")
        with tracing() as trace:
            add(store)
        trace.check(tmp_path)
