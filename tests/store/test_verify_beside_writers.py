"""An archive is verified while others write, and after they were killed: no false finding, no traceback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.archive_making import copy_archive, fill, flip, publish
from support.killing import run_killed
from support.paths import child_environment
from support.stepping import stepped

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.store import oci_layout, package_paths
from timeproof.store import publish as writer
from timeproof.store import verify as verifying
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment
from timeproof.store.schema.v1 import ImageIdentity
from timeproof.store.verify import verify
from timeproof.testing.archives import ENVIRONMENT, IMAGE, export, image_parts, publish_environment


def messages(archive: Archive) -> list[str]:
    return [finding.message for finding in verify(archive).findings]


def give_up(archive: Archive) -> None:
    """Make half an artifact, and leave."""
    with writer.draft(archive, 8, "xgboost") as draft:
        fill(draft, b"half a model")


WRITERS: dict[str, Callable[[Archive], object]] = {
    "artifact": lambda archive: publish(archive, "xgboost"),
    "first of its grid size": lambda archive: publish(archive, "lightgbm", 3),
    "given up": give_up,
    "environment": lambda archive: publish_environment(archive, "another", "another-1.0"),
}
# What verify does in turn; before each of these the writer is let on.
STAGES = ("list_tree", "read_metadata", "read_environment", "staged_versions", "check_claims", "_staged_now")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    work=st.sampled_from(sorted(WRITERS)),
    first=st.integers(0, 25),
    schedule=st.lists(st.sampled_from([0, 0, 1, 1, 2, 5]), max_size=30),
)
def test_a_writer_at_any_step_is_no_finding(
    small: Archive, tmp_path_factory: pytest.TempPathFactory, work: str, first: int, schedule: list[int]
) -> None:
    """Whatever the writer does between any two steps of verify."""
    folder = tmp_path_factory.mktemp("beside")
    archive = Archive(copy_archive(small.root, folder / "archive"))
    remaining = iter(schedule)
    with stepped(lambda: WRITERS[work](archive)) as writing, pytest.MonkeyPatch.context() as patch:

        def after_steps(call: Callable[..., object]) -> Callable[..., object]:
            def let_on_and_call(*words: object, **named: object) -> object:
                for _ in range(next(remaining, 0)):
                    writing.step()
                result = call(*words, **named)
                for _ in range(next(remaining, 0)):
                    writing.step()
                return result

            return let_on_and_call

        for _ in range(first):
            writing.step()
        for name in STAGES:
            patch.setattr(verifying, name, after_steps(getattr(verifying, name)))
        assert messages(archive) == []
    report = verify(archive)
    assert (report.ok, report.artifacts) == (True, 2 if work in {"given up", "environment"} else 3)
    shutil.rmtree(folder)


LOOP = """
import sys
from pathlib import Path
from support.archive_making import publish
from timeproof.store.layout import Archive
for _ in range(int(sys.argv[2])):
    publish(Archive(sys.argv[1]), "xgboost")
"""


def test_verify_beside_two_busy_processes_finds_nothing(small: Archive) -> None:
    words = [sys.executable, "-c", LOOP, str(small.root), "25"]
    busy = [subprocess.Popen(words, env=child_environment()) for _ in range(2)]
    try:
        while any(process.poll() is None for process in busy):
            assert messages(small) == []
    finally:
        for process in busy:
            process.wait()
    assert [process.returncode for process in busy] == [0, 0]
    report = verify(small)
    assert (report.ok, report.leftovers, report.artifacts) == (True, [], 52)


# --- what no environment names (yet) --------------------------------------------------------------


def test_packages_that_no_environment_names_are_leftovers(tmp_path: Path) -> None:
    """`lock` and `capture` fill the package store, and publish no environment."""
    archive = Archive(tmp_path)
    digest = PackageStore(archive.packages).add_bytes(b"a wheel", "six-1.17.0-py3-none-any.whl")
    report = verify(archive)
    assert (messages(archive), report.ok) == ([], True)
    assert report.leftovers == [package_paths.path_in_archive(digest, "six-1.17.0-py3-none-any.whl")]


def test_a_damaged_package_is_a_finding_though_nothing_names_it(small: Archive) -> None:
    """The next build would find it in the store, and stop at it."""
    digest = PackageStore(small.packages).add_bytes(b"a wheel", "six-1.17.0-py3-none-any.whl")
    path = package_paths.path_in_archive(digest, "six-1.17.0-py3-none-any.whl")
    flip(small.root / path)
    (finding,) = verify(small).findings
    assert (finding.kind, finding.path) == ("DigestMismatch", str(small.root / path))


@pytest.mark.parametrize(
    "path",
    [
        "packages/sha256/ab/{hex}/x.whl",  # not the folder of that digest
        "packages/sha256/{two}/{hex}/.x.whl",  # no name of a package
        "packages/sha256/{two}/{hex}/folder/x.whl",
        "packages/{hex}",
        "images/blobs/sha256/{hex}.json",
    ],
)
def test_what_is_in_no_place_of_a_package_or_blob_is_unlisted(small: Archive, path: str) -> None:
    digest = Digest.of(b"")
    file = small.root / path.format(hex=digest.hex, two=digest.hex[:2])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    assert [f.kind for f in verify(small).findings] == ["Unlisted"]


@pytest.mark.parametrize("known", ["no environment", "one environment"])
def test_a_build_killed_at_any_step_leaves_an_archive_that_verifies(
    tmp_path: Path, small: Archive, known: str
) -> None:
    identity, blobs = image_parts(b"another layer")
    for when in range(1, 120, 2):
        root = tmp_path / f"killed-{when}"
        archive = Archive(copy_archive(small.root, root)) if known == "one environment" else Archive(root)
        killed = run_killed(partial(_add_image, archive, identity, blobs), when)
        if archive.root.is_dir():
            assert messages(archive) == [], when
        again = publish_environment(archive)  # and the next one gets through
        assert again.image == IMAGE
        assert messages(archive) == [], when
        if not killed:
            break
    else:
        pytest.fail("no build got through")
    assert when > 5
    listed = (archive.images / "index.json").read_text()
    assert identity.manifest in listed
    assert IMAGE.manifest in listed


def _add_image(archive: Archive, identity: ImageIdentity, blobs: dict[str, bytes]) -> None:
    with atomic.Staging(archive.images, "build") as work:
        exported = export(work.path / "layout", blobs)
        oci_layout.add(archive.images, exported, identity.manifest, [])


def test_two_builds_side_by_side_lose_no_image(tmp_path: Path) -> None:
    """Each had read the environments before the other published its own."""
    layout = tmp_path / "images"
    images = []
    for layer in (b"one", b"two", b"three"):
        identity, blobs = image_parts(layer)
        with atomic.Staging(layout, "build") as work:
            exported = export(work.path / "layout", blobs)
            images.append(oci_layout.add(layout, exported, identity.manifest, []))
    assert oci_layout.check_index(layout, images) == []


def test_an_index_that_is_damaged_is_made_anew_from_what_environments_name(small: Archive) -> None:
    (small.images / "index.json").write_bytes(b"[]")
    named = [read_environment(small, ENVIRONMENT).image]
    identity, blobs = image_parts(b"another layer")
    with atomic.Staging(small.images, "build") as work:
        oci_layout.add(small.images, export(work.path / "layout", blobs), identity.manifest, named)
    assert oci_layout.check_index(small.images, [*named, identity]) == []
