"""Artifacts of a framework that this toolkit has never heard of: listed and verified like any other."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from support.archive_making import X, Y, check_artifact, metadata_of, publish, reseal

from timeproof.errors import Malformed, Missing, Unlisted
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.index import contents
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import Framework
from timeproof.store.verify import verify
from timeproof.testing.archives import publish_environment

NAME = "cat_boost2"


def publish_unknown(archive: Archive, tag: str = "cb2") -> Ref:
    """Publish an artifact whose framework no plugin registers, with a tag that its name does not imply."""
    with writer.draft(archive, 8, NAME, tag=tag) as draft:
        names = {"model": f"model_{draft.ref.tag}.cbm", "reference": f"reference_{draft.ref.tag}.npz"}
        (draft.folder / names["model"]).write_bytes(b"a model\n")
        stream = io.BytesIO()
        reference.write(stream, input=X, output=Y)
        (draft.folder / names["reference"]).write_bytes(stream.getvalue())
        files = [writer.entry(draft.folder, path, role, "any") for role, path in names.items()]
        framework = Framework(name=NAME, version="1.2", python="3.11.7", tag=tag, distributions=["catboost"])
        draft.publish(metadata_of(draft, files, framework=framework))
        return draft.ref


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path / "archive")
    publish_environment(archive)
    publish(archive, "xgboost")
    publish_unknown(archive)
    return archive


def test_it_is_listed_and_located(archive: Archive) -> None:
    assert [str(ref) for ref in archive.refs()] == [f"grid-size-8/{NAME}/v1", "grid-size-8/xgboost/v1"]
    ref = archive.locate(f"grid-size-8/{NAME}")
    assert ref.metadata == f"grid-size-8/{NAME}/metadata_cb2_v1.json"
    assert archive.resolve(f"grid-size-8/{NAME}/v1").metadata == ref.metadata
    assert Ref.parse(ref.metadata).metadata == ref.metadata
    listing = contents(archive)
    assert not listing.findings
    assert [row.framework_version for row in listing.artifacts] == ["1.2", "1.0"]


def test_nothing_calls_it_unlisted_or_malformed(archive: Archive) -> None:
    report = verify(archive)
    assert report.ok, report.findings
    assert report.artifacts == 2
    assert check_artifact(archive, archive.locate(f"grid-size-8/{NAME}")).framework.distributions == [
        "catboost"
    ]


def test_a_damaged_one_is_named(archive: Archive) -> None:
    (archive.root / f"grid-size-8/{NAME}/model_cb2_v1.cbm").write_bytes(b"another\n")
    (finding,) = verify(archive).findings
    assert finding.path.endswith("model_cb2_v1.cbm")


def test_files_whose_metadata_is_lost_are_missing_it(archive: Archive) -> None:
    metadata = archive.root / f"grid-size-8/{NAME}/metadata_cb2_v1.json"
    metadata.unlink()
    (finding,) = verify(archive).findings
    assert isinstance(finding, Missing)
    assert finding.path == str(metadata)


def test_a_tag_that_the_file_name_does_not_carry_is_malformed(archive: Archive) -> None:
    ref = archive.locate(f"grid-size-8/{NAME}")
    reseal(archive.root / ref.metadata, lambda value: value["framework"].update(tag="other"))
    with pytest.raises(Malformed, match="its tag is 'other'"):
        read_metadata(archive, ref)


def test_the_first_frameworks_keep_their_tags(archive: Archive) -> None:
    folder = archive.root / "grid-size-8/xgboost"
    (folder / "metadata_pt_v2.json").write_bytes((folder / "metadata_xgb_v1.json").read_bytes())
    assert archive.versions(8, "xgboost") == [1]
    (finding,) = verify(archive).findings
    assert isinstance(finding, Unlisted)


def test_versions_go_on_whatever_the_tag(archive: Archive) -> None:
    assert publish_unknown(archive).version == 2
    assert archive.versions(8, NAME) == [1, 2]


def test_what_a_killed_maker_left_is_removed(archive: Archive) -> None:
    folder = archive.root / f"grid-size-8/{NAME}"
    (folder / ".staging-v2-dead").mkdir()
    (folder / "model_cb2_v2.cbm").write_bytes(b"half")
    assert publish_unknown(archive).version == 2
    assert verify(archive).ok
