"""A tree sent in frames comes out as the tar of the same tree."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from timeproof.environments.toolbox import frames
from timeproof.environments.toolbox.tree_reading import TreeReader


def test_a_tree_that_is_sent_is_read_as_it_is(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").write_bytes(bytes(range(256)) * 10000)
    (tree / "a/program").write_bytes(b"#!/bin/sh\n")
    (tree / "a/program").chmod(0o755)
    (tree / "link").symlink_to("a/b")
    stream = io.BytesIO()
    frames.put_tree(tree, stream)
    frames.put(stream, frames.END)
    stream.seek(0)
    out = io.BytesIO()
    reader = TreeReader("opt/env", out)
    reader.read(stream.read)
    assert reader.complete
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        members = {m.name: m for m in tar}
        assert list(members) == [
            "opt", "opt/env", "opt/env/a", "opt/env/a/b", "opt/env/a/b/file", "opt/env/a/program",
            "opt/env/link",
        ]  # fmt: skip
        assert members["opt/env/a/program"].mode == 0o755
        assert members["opt/env/a/b/file"].mode == 0o644
        assert members["opt/env/link"].linkname == "a/b"
        content = tar.extractfile("opt/env/a/b/file")
        assert content is not None
        assert content.read() == (tree / "a/b/file").read_bytes()


def test_what_is_neither_file_folder_nor_link_is_not_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="neither a file"):
        frames.put_tree(tmp_path, io.BytesIO())
