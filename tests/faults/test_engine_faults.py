"""An engine of our own that dies in the middle of a build, or whose disk is full. Rows 37 and 40.

It runs beside the machine's engine, with its own folders and socket, and is gone afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.private_engine import PrivateEngine

from timeproof.base import proc
from timeproof.base.progress import Silent
from timeproof.errors import EngineLost, StorageFailed
from timeproof.images import build, recipe
from timeproof.images.ingredients import Ingredients
from timeproof.images.probe_files import gather_probe, pack_probe
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment
from timeproof.store.verify import verify

pytestmark = [pytest.mark.container, pytest.mark.slow]


@pytest.fixture
def engine(monkeypatch) -> Iterator[PrivateEngine]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("an engine of one's own needs root, and dockerd on this machine")
    # The paths of its sockets must stay below 108 bytes.
    with tempfile.TemporaryDirectory(prefix="tp-", ignore_cleanup_errors=True) as folder:
        private = PrivateEngine(Path(folder))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{private.socket}")
        monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
        yield private
        private.kill()
        private.unmount()


@pytest.fixture
def frozen(sealed, tmp_path):
    """A recipe of the real base and interpreter, whose only step sleeps; and its packages."""
    record = read_environment(sealed.archive, sealed.environment)
    packages = [p for p in record.packages if p.kind in {"base", "conda-part"}]
    base, part = sorted(packages, key=lambda p: p.kind)
    folder = tmp_path / "recipe"
    recipe.write(folder, Ingredients(base, part, (), pack_probe(gather_probe({}))))
    tools = json.loads((folder / "recipe.json").read_text())["tools"]["folder"]
    mounts = " ".join(f"--mount=type=bind,source={tools},target={at}" for at in ("/tools", "/wheel"))
    (folder / "Dockerfile").write_text(
        "FROM scratch\n"
        f"ADD {base.sha256}.tar /\n"
        f"ADD {part.sha256}.tar /\n"
        f'RUN --network=none {mounts} ["/opt/env/bin/python3", "-c", "import time; time.sleep(3)"]\n'
    )
    store = PackageStore(Archive(tmp_path / "archive").packages)
    for package in packages:
        source = PackageStore(sealed.archive.packages).path(build.Digest(package.sha256), package.file)
        store.add_file(source)
    return folder, packages


class Watching(Silent):
    """Does something once, when the builder's first step begins."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.actions = [act]

    def detail(self, what: str) -> None:
        while self.actions:
            self.actions.pop()()


def assert_nothing_is_recorded(archive: Archive) -> None:
    """The packages wait for the next build; there is nothing else, and nothing is wrong."""
    report = verify(archive)
    assert report.ok, [finding.message for finding in report.findings]
    assert [path for path in report.leftovers if not path.startswith("packages/")] == []


def test_an_engine_that_dies_in_a_build_is_lost_and_a_retry_succeeds(engine, frozen, tmp_path):
    folder, packages = frozen
    archive = Archive(tmp_path / "archive")

    def first_build(progress) -> build.ImageIdentity:
        return build._first_build(archive, folder, packages, "small", "linux/amd64", progress)

    engine.start()
    with pytest.raises(EngineLost) as caught:
        first_build(Watching(engine.kill))
    assert "nothing was recorded" in caught.value.advice
    assert not (archive.images / "index.json").exists()
    assert_nothing_is_recorded(archive)
    engine.start()
    image = first_build(Silent())
    assert len(image.diff_ids) == 3
    assert (archive.images / "index.json").exists()


def test_a_builder_whose_disk_is_full_is_named_and_nothing_is_recorded(engine, frozen, tmp_path):
    folder, packages = frozen
    archive = Archive(tmp_path / "archive")
    engine.data.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", "size=90m", "tmpfs", str(engine.data)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("this container may not mount")
    engine.start()
    with pytest.raises(StorageFailed, match="no space left") as caught:
        build._first_build(archive, folder, packages, "small", "linux/amd64", Silent())
    assert caught.value.exit_code == 7
    assert not (archive.images / "index.json").exists()
    assert_nothing_is_recorded(archive)


def test_a_build_without_an_engine_is_told_as_lost(frozen, tmp_path, monkeypatch):
    folder, packages = frozen
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises((EngineLost, proc.ToolFailed)) as caught:
        build._first_build(Archive(tmp_path / "archive"), folder, packages, "s", "linux/amd64", Silent())
    assert caught.value.exit_code == 6
