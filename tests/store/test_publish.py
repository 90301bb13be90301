"""Publishing: whole, once, never over another; whatever kills or refuses in between."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from support.archive_making import fill, metadata_of, publish, small_archive

from timeproof.base import atomic
from timeproof.errors import Exists, StorageFailed, UnsafePath
from timeproof.store import oci_layout
from timeproof.store import publish as writer
from timeproof.store.layout import Archive, Ref
from timeproof.store.verify import verify
from timeproof.testing.archives import IMAGE, export, publish_environment


def _publish(root: Path, version: int | None, number: int) -> str:
    """Run by a process of its own."""
    try:
        return str(publish(Archive(root), "xgboost", version=version, model=b"by %d" % number))
    except Exists as error:
        return f"Exists {error.path}"


def race(root: Path, version: int | None) -> list[str]:
    context = multiprocessing.get_context("spawn")  # forking a process with threads is not safe
    with ProcessPoolExecutor(8, mp_context=context) as pool:
        return [f.result() for f in [pool.submit(_publish, root, version, k) for k in range(8)]]


def nothing_but_locks(root: Path) -> bool:
    return not [p for p in root.rglob("*") if p.is_file() and not p.name.endswith(".lock")]


@pytest.mark.slow
def test_eight_writers_at_once_get_eight_versions_and_none_is_lost(tmp_path):
    publish_environment(Archive(tmp_path))
    told = race(tmp_path, None)
    assert sorted(told) == [f"grid-size-8/xgboost/v{k}" for k in range(1, 9)]
    archive = Archive(tmp_path)
    assert archive.versions(8, "xgboost") == list(range(1, 9))
    models = {(tmp_path / f"grid-size-8/xgboost/model_xgb_v{k}.json").read_bytes() for k in range(1, 9)}
    assert models == {b"by %d" % k for k in range(8)}
    report = verify(archive)
    assert report.ok, [f.message for f in report.findings]
    assert not report.leftovers


@pytest.mark.slow
def test_of_eight_writers_of_one_version_exactly_one_wins(tmp_path):
    publish_environment(Archive(tmp_path))
    told = race(tmp_path, 5)
    assert sorted(told)[-1] == "grid-size-8/xgboost/v5"
    assert len([t for t in told if t.startswith("Exists")]) == 7
    assert all("metadata_xgb_v5.json" in t for t in told if t.startswith("Exists"))
    assert Archive(tmp_path).versions(8, "xgboost") == [5]
    assert verify(Archive(tmp_path)).ok


def test_a_version_that_is_being_made_is_not_given_twice(tmp_path):
    archive = Archive(tmp_path)
    with writer.draft(archive, 8, "onnx") as first, writer.draft(archive, 8, "onnx") as second:
        assert (first.ref.version, second.ref.version) == (1, 2)
        with pytest.raises(Exists), writer.draft(archive, 8, "onnx", 2):
            pass
    with writer.draft(archive, 8, "onnx") as again:
        assert again.ref.version == 1


def test_a_draft_that_is_left_leaves_nothing(tmp_path):
    archive = Archive(tmp_path)

    def fail() -> None:
        with writer.draft(archive, 8, "onnx") as draft:
            fill(draft, b"half a mod")
            raise RuntimeError("the model can't be saved")

    with pytest.raises(RuntimeError):
        fail()
    assert nothing_but_locks(tmp_path)
    assert publish(archive, "onnx").version == 1


def test_what_is_published_is_never_overwritten(tmp_path):
    archive = Archive(tmp_path)
    publish(archive)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(Exists) as caught:
        publish(archive, version=1, model=b"another")
    assert "metadata_xgb_v1.json" in caught.value.path
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["model_xgb_v1.json", "source_xgb_v1", "metadata_xgb_v1.json"])
def test_a_file_that_appears_while_an_artifact_is_made_is_not_overwritten(tmp_path, name):
    archive = Archive(tmp_path)
    with writer.draft(archive, 8, "xgboost") as draft:
        metadata = metadata_of(draft, fill(draft, b"a model"))
        (tmp_path / draft.ref.folder / name).write_bytes(b"somebody's own")
        with pytest.raises(Exists, match=name):
            draft.publish(metadata)
    assert [p.name for p in (tmp_path / "grid-size-8/xgboost").iterdir() if p.name != ".lock"] == [name]
    assert (tmp_path / "grid-size-8/xgboost" / name).read_bytes() == b"somebody's own"


@pytest.mark.parametrize("name", ["A.py", "CON", "a.", "a:b", "x" * 250, "e\u0301.py"], ids=ascii)
def test_names_that_not_every_platform_holds_are_refused_when_archiving(tmp_path, name):
    archive = Archive(tmp_path)
    with writer.draft(archive, 8, "xgboost") as draft:
        files = fill(draft, b"a model")
        metadata = metadata_of(draft, files)
        entry = files[1].model_copy(update={"path": f"source_xgb_v1/{name}"})
        other = files[1].model_copy(update={"path": "source_xgb_v1/a.py"})
        metadata = metadata.model_copy(update={"files": [*files, entry, other]})
        with pytest.raises((UnsafePath, writer.Malformed)):
            draft.publish(metadata)
    assert nothing_but_locks(tmp_path)


class Refusing:
    """Makes one of `os`'s calls fail at its n-th time, as a disk would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, when: int, code: int) -> None:
        self.count = 0
        real = getattr(os, call)

        def refuse(*words, **named):
            self.count += 1
            if self.count == when:
                raise OSError(code, os.strerror(code))
            return real(*words, **named)

        monkeypatch.setattr(os, call, refuse)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["fsync", "rename", "link"])
def test_a_disk_that_refuses_at_any_step_leaves_nothing_published(tmp_path, call, code):
    """Every step in turn, until one run gets through: so no step is left out."""
    survived = False
    for when in range(1, 40):
        root = tmp_path / str(when)
        archive = Archive(root)
        publish_environment(archive)
        with pytest.MonkeyPatch.context() as patch:
            refusing = None
            try:
                with writer.draft(archive, 8, "xgboost") as draft:
                    metadata = metadata_of(draft, fill(draft, b"a model"))
                    refusing = Refusing(patch, call, when, code)
                    draft.publish(metadata)
            except StorageFailed as error:
                named = error.exit_code == 7 and str(root) in error.path
            else:
                assert refusing is not None
                survived = refusing.count < when
                assert survived, "a refusal went unnoticed"
                break
        assert named
        assert not list(archive.refs()), when
        assert nothing_but_locks(root / "grid-size-8"), when
        report = verify(archive)
        assert report.ok, (when, [f.message for f in report.findings])
        assert publish(archive).version == 1
    assert survived
    assert when > 1


def test_an_environment_that_another_made_meanwhile_is_kept(tmp_path):
    archive = Archive(tmp_path)
    record = publish_environment(archive)
    kept = (archive.environments / record.folder / "image.json").read_bytes()
    with atomic.Staging(archive.environments, "small") as staging:
        (staging.path / "conda-lock.yml").write_bytes(b"another")
        writer.publish_environment(archive, staging.path, record)
    assert (archive.environments / record.folder / "image.json").read_bytes() == kept
    assert verify(archive).ok


def test_what_is_published_can_be_read_by_the_containers_user(tmp_path):
    before = os.umask(0o077)
    try:
        archive = small_archive(tmp_path / "archive")
    finally:
        os.umask(before)
    for ref in archive.refs():
        folder = archive.root / ref.folder
        assert stat.S_IMODE((folder / f"source_{ref.tag}").stat().st_mode) == 0o755
        for name in (f"source_{ref.tag}/net.py", f"reference_{ref.tag}.npz"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o644


def test_writing_never_changes_another_name_of_the_same_file(tmp_path):
    """Copies of an archive made of hard links stay what they were."""
    archive = Archive(tmp_path / "one")
    publish_environment(archive)
    publish(archive)
    os.makedirs(tmp_path / "two")
    names = {p: p.read_bytes() for p in archive.root.rglob("*") if p.is_file()}
    for k, path in enumerate(names):
        os.link(path, tmp_path / "two" / str(k))
    publish(archive)
    publish(archive, "pytorch")
    with atomic.Staging(archive.images, "again"):
        atomic.write(archive.images / "index.json", b"{}")
    for k, data in enumerate(names.values()):
        assert (tmp_path / "two" / str(k)).read_bytes() == data


def test_the_folder_of_a_reference_is_where_it_is_published(tmp_path):
    archive = Archive(tmp_path)
    assert publish(archive, "lightgbm", 3) == Ref(3, "lightgbm", 1)
    names = sorted(p.name for p in (tmp_path / "grid-size-3/lightgbm").iterdir())
    assert names == [
        ".lock",
        "metadata_lgb_v1.json",
        "model_lgb_v1.txt",
        "reference_lgb_v1.npz",
        "source_lgb_v1",
    ]


def test_versions_are_chosen_and_images_are_listed_under_the_lock(tmp_path, monkeypatch):
    """Else two writers would take one version, or an index would lose an image."""
    archive = Archive(tmp_path)
    looked = []

    def lock_is_held(folder: Path) -> bool:
        descriptor = os.open(folder / ".lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    class Watched(atomic.Staging):
        def __init__(self, parent: Path, label: str = "") -> None:
            looked.append(lock_is_held(parent))
            super().__init__(parent, label)

    with monkeypatch.context() as patch:
        patch.setattr(writer.atomic, "Staging", Watched)
        with writer.draft(archive, 8, "onnx"):
            pass
    assert looked == [True]
    layout, write = tmp_path / "images", atomic.write

    def watched_write(path: Path, data: bytes, **named: bool) -> None:
        looked.append(lock_is_held(layout))
        write(path, data, **named)

    with atomic.Staging(layout, "build") as work:
        exported = export(work.path / "layout")
        monkeypatch.setattr(oci_layout.atomic, "write", watched_write)
        oci_layout.add(layout, exported, IMAGE.manifest, [])
    assert looked == [True, True, True]
