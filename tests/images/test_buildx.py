"""The builder's end: which of its last words mean a lost engine, a full disk, or a step that failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from timeproof.errors import BuildFailed, EngineLost, StorageFailed, TimeproofError, ToolFailed
from timeproof.images import buildx

DIGESTS = '{"containerimage.digest": "sha256:m", "containerimage.config.digest": "sha256:c"}'


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        ("write /x: no space left on device", StorageFailed),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x", EngineLost),
        ("error reading from server: EOF", EngineLost),
        ("dial unix /run/x.sock: connect: no such file", EngineLost),
        ("rpc error: transport is closing", EngineLost),
        ("#7 ERROR: process did not complete successfully: exit code: 1", BuildFailed),
        ("", BuildFailed),
    ],
)
def test_the_last_words_tell_what_happened(tail: str, kind: type[TimeproofError]) -> None:
    assert type(buildx._build_error(ToolFailed("docker", 1, tail))) is kind


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real program called docker, which does what the file beside it says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n. {folder}/script\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def bake(folder: Path) -> buildx.Baked:
    return buildx.bake(folder, "a.b", output=buildx.to_engine("timeproof/a"), platform="linux/amd64")


# The metadata file is the argument behind --metadata-file.
WRITE = """
while [ "$1" != --metadata-file ]; do shift; done
echo '%s' > "$2"
"""


def test_the_digests_of_the_target_are_read(docker: Path, tmp_path: Path) -> None:
    (docker / "script").write_text(WRITE % f'{{"environment-a_b": {DIGESTS}}}')
    assert bake(tmp_path) == buildx.Baked("sha256:m", "sha256:c")
    words = (docker / "calls").read_text()
    assert "--set environment-a_b.output=type=image,name=timeproof/a,oci-mediatypes=true" in words
    assert "--set environment-a_b.tags= " in words
    assert "--allow" not in words


@pytest.mark.parametrize("metadata", ["{}", '{"environment-a_b": {}}', '{"environment-a_b": 5}'])
def test_a_builder_without_digests_is_refused(docker: Path, tmp_path: Path, metadata: str) -> None:
    (docker / "script").write_text(WRITE % metadata)
    with pytest.raises(BuildFailed, match="reports no image digests"):
        bake(tmp_path)


def test_a_builder_that_was_too_slow_is_called_once_more(docker: Path, tmp_path: Path) -> None:
    slow = "echo 'ERROR: failed to solve: DeadlineExceeded: context' >&2; exit 1\n"
    once = f"if [ $(wc -l < {docker}/calls) = 1 ]; then {slow.strip()}; fi\n"
    (docker / "script").write_text(once + WRITE % f'{{"environment-a_b": {DIGESTS}}}')
    assert bake(tmp_path).config == "sha256:c"
    (docker / "calls").unlink()
    (docker / "script").write_text(slow)
    with pytest.raises(BuildFailed, match="DeadlineExceeded"):
        bake(tmp_path)
    assert len((docker / "calls").read_text().splitlines()) == 2


def test_a_step_that_failed_is_not_tried_again(docker: Path, tmp_path: Path) -> None:
    (docker / "script").write_text("echo 'the step failed' >&2; exit 1\n")
    with pytest.raises(BuildFailed, match="the step failed"):
        bake(tmp_path)
    assert len((docker / "calls").read_text().splitlines()) == 1
