"""Every byte of an archive is checked, and every finding of one run is told, each by its path and kind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archive_making import check_artifact, files_of, flip, publish, reseal, small_archive

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.errors import (
    BadArchive,
    DigestMismatch,
    Malformed,
    Missing,
    SizeMismatch,
    Unlisted,
)
from timeproof.store import oci_layout
from timeproof.store.claims import Claim, check_claims
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import check_environment, read_environment
from timeproof.store.verify import verify
from timeproof.testing.archives import ENVIRONMENT, IMAGE

FILES = 27  # of `small`: if this changes, a kind of file was added


def findings(archive: Archive) -> list[tuple[str, str]]:
    """(kind, path below the archive), as told."""
    return [(f.kind, os.path.relpath(f.path, archive.root)) for f in verify(archive).findings]


def below(archive: Archive) -> list[str]:
    return [str(p.relative_to(archive.root)) for p in files_of(archive.root)]


def document(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith(("metadata_", "image.json", "index.json", "oci-layout"))


def test_a_whole_archive_has_no_findings(small):
    report = verify(small)
    assert report.ok, [f.message for f in report.findings]
    assert (report.artifacts, report.environments, report.leftovers) == (2, 1, [])
    assert report.files == len(below(small)) == FILES
    assert report.bytes > 0


def test_one_flipped_bit_in_any_file_is_named(small):
    for path in below(small):
        whole = (small.root / path).read_bytes()
        for at, bit in ((0, 0), (len(whole) // 2, 3), (len(whole) - 1, 7)):
            flip(small.root / path, bit, at)
            found = findings(small)
            assert found, path
            assert path in [p for _, p in found], (path, found)
            kinds = {k for k, p in found if p == path}
            assert kinds <= ({"DigestMismatch", "Malformed"} if document(path) else {"DigestMismatch"}), kinds
            (small.root / path).write_bytes(whole)
    assert verify(small).ok


def test_a_cut_file_is_named_with_both_sizes(small):
    for path in below(small):
        whole = (small.root / path).read_bytes()
        for length in (0, len(whole) // 2, len(whole) - 1):
            (small.root / path).unlink()
            (small.root / path).write_bytes(whole[:length])
            report = verify(small)
            named = [f for f in report.findings if os.path.relpath(f.path, small.root) == path]
            assert named, (path, length)
            for finding in named:
                if isinstance(finding, SizeMismatch):
                    assert (finding.expected, finding.actual) == (len(whole), length)
                else:
                    assert document(path) or "blobs" in path, (path, finding)
            (small.root / path).write_bytes(whole)
    assert verify(small).ok


def test_all_missing_files_are_listed_in_one_run(small):
    gone = [p for p in below(small) if not document(p)]
    for path in gone:
        (small.root / path).unlink()
    told = {p for k, p in findings(small) if k == "Missing"}
    # the image's manifest is gone, too, so that nobody knows its layers any more
    unknown = {f"images/{oci_layout.blob(d)}" for d, _ in oci_layers(small)}
    assert told >= set(gone) - unknown
    assert len(gone) == FILES - 5


def oci_layers(archive: Archive) -> list[tuple[str, int]]:
    from timeproof.testing.archives import BLOBS

    return [(d, len(b)) for d, b in BLOBS.items() if d != IMAGE.manifest]


def test_each_missing_file_alone_is_named(small):
    for path in below(small):
        whole = (small.root / path).read_bytes()
        (small.root / path).unlink()
        found = findings(small)
        assert ("Missing", path) in found, (path, found)
        (small.root / path).write_bytes(whole)


FOLDERS = ["", "grid-size-8", "grid-size-8/xgboost", "grid-size-8/xgboost/source_xgb_v1", "environments"]
FOLDERS += [f"environments/{ENVIRONMENT}", f"environments/{ENVIRONMENT}/recipe", "packages/sha256", "images"]
FOLDERS += ["images/blobs/sha256", "a-folder-of-its-own"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_extra_file_is_named_wherever_it_lies(small, folder):
    names = ["!first", "~last", "\U0001f9ea", "x.lock", "metadata_xgb_v1.json.bak", ".hidden"]
    paths = [f"{folder}/{n}".lstrip("/") for n in names]
    for path in paths:
        (small.root / path).parent.mkdir(exist_ok=True)
        (small.root / path).write_bytes(b"")
    assert sorted(findings(small)) == sorted(("Unlisted", p) for p in paths)


def test_a_file_name_that_is_not_utf8_can_be_told_and_spelled_as_json(small):
    os.close(os.open(os.fsencode(small.root) + b"/grid-size-8/\xff\xfe", os.O_CREAT | os.O_WRONLY))
    (finding,) = verify(small).findings
    assert finding.kind == "Unlisted"
    json.dumps(finding.facts(), ensure_ascii=False).encode()
    finding.message.encode()


def test_missing_metadata_is_told_as_missing_once(small):
    ref = next(iter(small.refs()))
    (small.root / ref.metadata).unlink()
    assert findings(small) == [("Missing", ref.metadata)]


def test_a_missing_image_json_is_told_as_missing(small):
    (small.environments / ENVIRONMENT / "image.json").unlink()
    assert ("Missing", f"environments/{ENVIRONMENT}/image.json") in findings(small)


@pytest.mark.parametrize("folder", ["images", "packages", "environments", "images/blobs", "grid-size-8"])
def test_a_missing_folder_is_findings_not_a_traceback(small, folder):
    shutil.rmtree(small.root / folder)
    found = findings(small)
    if folder == "grid-size-8":  # nothing refers to an artifact: it is not there, as if it never was
        assert found == []
        return
    assert found
    assert {k for k, p in found if p != "images/index.json"} <= {"Missing", "Unlisted"}, found
    assert any(p.startswith(folder) for _, p in found)


def _symlink(path: Path) -> None:
    aside = path.parent.parent / "elsewhere"
    aside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(aside)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink()
    try:
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("making a device needs root")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("swap", [_symlink, _fifo, _device, _folder])
def test_what_is_not_a_regular_file_is_refused_without_blocking(small, swap: Callable[[Path], None]):
    """Opening a pipe waits for its writer, for ever; /dev/zero never ends."""
    for path in (
        "grid-size-8/xgboost/model_xgb_v1.json",
        "grid-size-8/xgboost/metadata_xgb_v1.json",
        "images/index.json",
        f"environments/{ENVIRONMENT}/conda-lock.yml",
    ):
        whole = (small.root / path).read_bytes()
        swap(small.root / path)
        found = findings(small)
        assert ("NotRegular", path) in found, (path, found)
        if (small.root / path).is_dir() and not (small.root / path).is_symlink():
            (small.root / path).rmdir()
        else:
            (small.root / path).unlink()
        (small.root / path).write_bytes(whole)
        (small.root / path).parent.parent.joinpath("elsewhere").unlink(missing_ok=True)


@pytest.mark.parametrize("folder", ["grid-size-8", "grid-size-8/xgboost/source_xgb_v1", "packages", "images"])
def test_a_folder_that_became_a_link_is_refused(small, tmp_path, folder):
    (small.root / folder).rename(tmp_path / "moved")
    (small.root / folder).symlink_to(tmp_path / "moved")
    found = findings(small)
    assert ("NotRegular", folder) in found, found


def test_an_unreadable_file_is_a_finding(small):
    """As root nothing is unreadable, so another user looks."""
    path = small.root / "grid-size-8/xgboost/model_xgb_v1.json"
    os.chmod(path, 0)
    root = os.geteuid() == 0
    parents = [p for p in small.root.parents if root and p.stat().st_mode & 0o055 != 0o055]
    before = {p: p.stat().st_mode for p in parents}
    for parent in parents:
        parent.chmod(parent.stat().st_mode | 0o055)
    if root:
        os.seteuid(65534)
    try:
        report = verify(small)
    finally:
        if root:
            os.seteuid(0)
        for parent, mode in before.items():
            parent.chmod(mode)
    assert [f.path for f in report.findings] == [str(path)]
    assert "ermission" in report.findings[0].message


@pytest.mark.parametrize(
    "edit",
    [
        lambda i: i["manifests"].clear(),
        lambda i: i["manifests"].append(i["manifests"][0]),
        lambda i: i["manifests"][0].update(digest="sha256:" + "0" * 64),
        lambda i: i["manifests"][0].update(digest=5),
        lambda i: i["manifests"][0].update(digest={}),
        lambda i: i["manifests"][0].update(digest=None),
        lambda i: i["manifests"][0].update(digest="../../etc/passwd"),
        lambda i: i["manifests"][0].update(size=1),
        lambda i: i["manifests"][0].pop("digest"),
        lambda i: i.update(manifests={}),
        lambda i: i.update(manifests=[[]]),
        lambda i: i.update(manifests=None),
        lambda i: i.update(annotations={"x": "y"}),
        lambda i: i["manifests"][0]["platform"].update(architecture="arm64"),
    ],
)
def test_an_edited_index_of_images_is_named(small, edit):
    path = small.images / "index.json"
    value = json.loads(path.read_bytes())
    edit(value)
    path.write_bytes(json.dumps(value).encode())
    found = findings(small)
    assert {p for _, p in found} == {"images/index.json"}, found
    assert {k for k, _ in found} <= {"DigestMismatch", "Malformed"}


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"[" * 10**6, b"\xff", b"{}"], ids=lambda d: repr(d[:5])
)
def test_an_index_of_images_that_is_none_is_named(small, data):
    (small.images / "index.json").write_bytes(data)
    assert {p for _, p in findings(small)} == {"images/index.json"}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"layers": 5}', b'{"config": [], "layers": []}'], ids=repr)
def test_a_manifest_that_is_none_is_named_though_its_digest_is_right(small, data):
    """Somebody altered the blob, and the records that name it."""

    digest = str(Digest.of(data))
    (small.images / oci_layout.blob(digest)).write_bytes(data)
    for record in (small.environments / ENVIRONMENT / "image.json",):
        reseal(record, lambda m: m["image"].update(manifest=digest))
    found = findings(small)
    assert ("Malformed", f"images/{oci_layout.blob(digest)}") in found, found


def test_what_another_artifact_owns_is_not_taken_for_mine(small):
    """A file of v2 without its metadata is missing metadata of v2; v1 is whole."""
    (small.root / "grid-size-8/xgboost/model_xgb_v2.json").write_bytes(b"")
    assert findings(small) == [("Missing", "grid-size-8/xgboost/metadata_xgb_v2.json")]


def test_metadata_that_lies_in_another_place_is_refused(small):
    source = small.root / "grid-size-8/xgboost"
    shutil.copytree(source, small.root / "grid-size-9/xgboost")
    found = findings(small)
    assert ("Malformed", "grid-size-9/xgboost/metadata_xgb_v1.json") in found
    with pytest.raises(Malformed, match="lies where"):
        check_artifact(small, Ref(9, "xgboost", 1))


def test_an_environment_under_another_name_is_refused(small):
    shutil.copytree(small.environments / ENVIRONMENT, small.environments / f"other-{ENVIRONMENT[-12:]}")
    with pytest.raises(Malformed, match="it describes"):
        read_environment(small, f"other-{ENVIRONMENT[-12:]}")
    assert any(k == "Malformed" for k, _ in findings(small))


def test_a_lock_that_is_not_the_named_one_is_refused(small):
    """Altered together with the record that lists it."""

    folder = small.environments / ENVIRONMENT
    (folder / "conda-lock.yml").write_bytes(b"another lock")
    digest = Digest.of(b"another lock").hex

    def edit(record):
        record["files"][0].update(sha256=digest, size=12)

    reseal(folder / "image.json", edit)
    assert [k for k, _ in findings(small)] == ["Malformed"]
    with pytest.raises(Malformed, match=r"conda-lock\.yml is not the lock"):
        check_environment(small, read_environment(small, ENVIRONMENT), packages=False)


def test_only_the_named_artifacts_are_checked_where_some_are_named(small):
    refs = list(small.refs())
    flip(small.root / refs[0].folder / f"reference_{refs[0].tag}.npz")
    flip(small.environments / ENVIRONMENT / "environment.yml")
    assert verify(small, [refs[1]]).ok
    (finding,) = verify(small, [refs[0]]).findings
    assert isinstance(finding, DigestMismatch)


def test_an_artifact_is_checked_whole_before_it_is_used(small):
    ref = next(iter(small.refs()))
    folder = small.root / ref.folder
    check_artifact(small, ref)
    (folder / f"source_{ref.tag}" / "extra.py").write_bytes(b"import os\n")
    with pytest.raises(Unlisted, match=r"extra\.py"):
        check_artifact(small, ref)
    (folder / f"source_{ref.tag}" / "net.py").unlink()
    flip(folder / f"reference_{ref.tag}.npz")
    report = verify(small, [ref])
    assert sorted(f.kind for f in report.findings) == ["DigestMismatch", "Missing", "Unlisted"]


def test_packages_are_checked_where_asked(small):
    record = read_environment(small, ENVIRONMENT)
    package = record.packages[2]
    path = f"packages/sha256/{package.sha256[:2]}/{package.sha256}/{package.file}"
    flip(small.root / path)
    check_environment(small, record, packages=False)
    with pytest.raises(DigestMismatch, match=r"thing-1\.0"):
        check_environment(small, record, packages=True)
    (small.root / path).unlink()
    with pytest.raises(Missing, match=r"thing-1\.0"):
        check_environment(small, record, packages=True)


def test_what_interrupted_writers_left_is_no_finding(small):
    (small.root / "grid-size-8/xgboost/.staging-v9-0123456789abcdef").mkdir()
    (small.root / "grid-size-8/xgboost/.staging-v9-0123456789abcdef/model_xgb_v9.json").write_bytes(b"half")
    (small.root / "grid-size-8/xgboost/.staging-v9-0123456789abcdef.guard").write_bytes(b"")
    (small.root / "grid-size-8/xgboost/model_xgb_v9.json").write_bytes(b"moved already")
    (small.images / ".staging-0123").write_bytes(b"{")
    report = verify(small)
    assert report.ok, [f.message for f in report.findings]
    assert len(report.leftovers) == 4
    assert publish(small).version == 2
    assert verify(small).leftovers == ["images/.staging-0123"]


def test_an_image_whose_environment_was_not_published_is_no_finding(tmp_path):
    archive = small_archive(tmp_path / "archive")
    shutil.rmtree(archive.environments / ENVIRONMENT)
    shutil.rmtree(archive.root / "packages")
    for grid in ("grid-size-8", "grid-size-12"):
        shutil.rmtree(archive.root / grid)
    report = verify(archive)
    assert report.ok, [f.message for f in report.findings]
    assert len(report.leftovers) == 4


def test_a_stored_image_is_streamed_only_where_every_blob_is_whole(small):
    whole = b"".join(oci_layout.as_tar(small.images, IMAGE, "timeproof/small:1"))
    assert len(whole) % 512 == 0
    for digest, _ in oci_layers(small):
        path = small.images / oci_layout.blob(digest)
        flip(path)
        with pytest.raises(BadArchive, match=path.name):
            b"".join(oci_layout.as_tar(small.images, IMAGE, "timeproof/small:1"))
        flip(path)
    assert b"".join(oci_layout.as_tar(small.images, IMAGE, "timeproof/small:1")) == whole


def test_an_exported_blob_that_is_not_what_its_name_says_is_never_taken_in(tmp_path):
    from timeproof.testing.archives import BLOBS, export

    for digest in BLOBS:
        exported = export(tmp_path / digest[-6:] / "export")
        path = exported / oci_layout.blob(digest)
        path.write_bytes(path.read_bytes() + b" ")
        layout = tmp_path / digest[-6:] / "images"
        with pytest.raises(DigestMismatch):
            oci_layout.add(layout, exported, IMAGE.manifest, [])
        assert not (layout / "index.json").exists()
        assert not (layout / oci_layout.blob(digest)).exists()


def test_locks_of_the_toolkit_are_no_findings(small):
    with atomic.lock(small.environments, ".small.lock"), atomic.lock(small.images):
        assert verify(small).ok


@pytest.mark.parametrize("at", range(4))
def test_each_of_many_large_files_is_hashed(tmp_path, at):
    """Above a mebibyte several threads hash them: the largest, and all others."""
    claims = []
    for k, size in enumerate((900_000, 500_000, 200_000, 3)):
        data = bytes([k]) * size
        (tmp_path / f"{k}").write_bytes(data)
        claims.append(Claim(f"{k}", size, Digest.of(data).hex))
    assert check_claims(tmp_path, claims) == []
    flip(tmp_path / f"{at}")
    (finding,) = check_claims(tmp_path, claims)
    assert (finding.kind, finding.path) == ("DigestMismatch", str(tmp_path / f"{at}"))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("grid-size-8/xgboost/metadata_xgb_v1.json", "grid-size-8/xgboost/metadata_xgb_v7.json"),
        ("grid-size-8/xgboost/metadata_xgb_v1.json", "grid-size-8/lightgbm/metadata_lgb_v1.json"),
    ],
)
def test_metadata_of_another_version_or_framework_is_refused(small, source, target):
    (small.root / target).parent.mkdir(exist_ok=True)
    shutil.copyfile(small.root / source, small.root / target)
    assert ("Malformed", target) in findings(small)


def test_two_artifacts_that_say_different_things_of_one_file_are_named(small):
    publish(small)
    source, target = (small.root / f"grid-size-8/xgboost/metadata_xgb_v{v}.json" for v in (1, 2))
    entry = json.loads(source.read_bytes())["files"][0]
    reseal(target, lambda m: m["files"].append(entry))
    assert verify(small).ok, "one file may be two artifacts' own, where both say the same of it"
    reseal(target, lambda m: m["files"][-1].update(sha256="0" * 64))
    assert findings(small) == [("DigestMismatch", f"grid-size-8/xgboost/{entry['path']}")]


def test_a_stranger_in_an_environment_stops_its_use(small):
    """A recipe with a file more would build another image."""
    record = read_environment(small, ENVIRONMENT)
    check_environment(small, record, packages=False)
    (small.environments / ENVIRONMENT / "recipe" / "extra.sh").write_bytes(b"")
    with pytest.raises(Unlisted, match=r"extra\.sh"):
        check_environment(small, record, packages=False)
