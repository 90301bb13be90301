"""The journal: what was finished is never lost to a kill, and never believed where it is damaged."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.laws import examples
from support.paths import child_environment
from support.regress_making import cell

from timeproof.errors import BadRequest
from timeproof.regression import journal as journal_module
from timeproof.regression.journal import NAME, Journal

MACHINE = {"cpu": "a CPU", "flags": ["sse4_2"]}


def write(folder, count: int, *, done: bool = False, **how) -> None:
    journal = Journal(folder, **({"resume": False, "again": False} | how))
    for n in range(count):
        journal.add(f"key {n}", cell(artifact=f"grid-size-8/lightgbm/v{n + 1}"), MACHINE)
    if done:
        journal.done()
    journal.close()


def keys(folder) -> list[str]:
    journal = Journal(folder, resume=True, again=False)
    journal.close()
    return [e.key for e in journal.entries]


def test_what_was_added_comes_back(tmp_path):
    write(tmp_path, 3)
    journal = Journal(tmp_path, resume=True, again=False)
    journal.close()
    assert [e.key for e in journal.entries] == ["key 0", "key 1", "key 2"]
    assert journal.entries[0].cell == cell(artifact="grid-size-8/lightgbm/v1")
    assert journal.entries[0].machine == MACHINE


@examples(40)
@given(st.integers(0, 10**6), st.booleans())
def test_a_cut_or_damaged_line_costs_that_cell_alone(tmp_path_factory, where, cut):
    folder = tmp_path_factory.mktemp("journal")
    write(folder, 4)
    path = folder / NAME
    data = bytearray(path.read_bytes())
    where %= len(data)
    whole = data.count(b"\n", 0, where)
    if cut:
        del data[where:]
    else:
        data[where] ^= 0x20
    path.write_bytes(data)
    found = keys(folder)
    assert found[:whole] == [f"key {n}" for n in range(whole)]
    assert set(found) <= {f"key {n}" for n in range(4)}
    assert len(found) >= (whole if cut else 2)
    again = Journal(folder, resume=True, again=False)
    again.add("key 9", cell(), MACHINE)
    again.close()
    assert keys(folder) == [*found, "key 9"], "a line after a cut one is a line of its own"


def test_a_cut_that_takes_the_line_end_alone_costs_no_cell(tmp_path):
    """It was counted as lost, and came back once the next run had written the line end."""
    write(tmp_path, 2)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert keys(tmp_path) == ["key 0", "key 1"]
    journal = Journal(tmp_path, resume=True, again=False)
    journal.add("key 2", cell(), MACHINE)
    journal.close()
    assert keys(tmp_path) == ["key 0", "key 1", "key 2"]


def test_an_interrupted_run_is_not_overwritten_by_accident(tmp_path):
    write(tmp_path, 2)
    with pytest.raises(BadRequest, match="2 cells are done") as caught:
        Journal(tmp_path, resume=False, again=False)
    assert "--resume" in caught.value.advice
    assert keys(tmp_path) == ["key 0", "key 1"]
    write(tmp_path, 1, again=True)
    assert keys(tmp_path) == ["key 0"]


def test_a_finished_run_makes_way_for_the_next(tmp_path):
    write(tmp_path, 2, done=True)
    write(tmp_path, 1)
    assert keys(tmp_path) == ["key 0"]


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    first = Journal(tmp_path, resume=False, again=False)
    with pytest.raises(BadRequest, match="another run"):
        Journal(tmp_path, resume=True, again=False)
    first.close()
    Journal(tmp_path, resume=True, again=False).close()


def test_a_file_in_the_folders_place_is_said(tmp_path):
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(BadRequest, match="not a folder"):
        Journal(tmp_path / "out", resume=False, again=False)
    assert (tmp_path / "out").read_bytes() == b"a file"


def test_what_is_noted_is_made_durable_once_a_second_of_work_could_be_lost(tmp_path, monkeypatch):
    synced: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(fd) or sync(fd))
    journal = Journal(tmp_path, resume=False, again=False)
    monkeypatch.setattr(journal_module, "SYNC_SECONDS", float("inf"))
    journal.add("a", cell(), MACHINE)
    assert synced == [], "a kill costs nothing; a power cut a second"
    monkeypatch.setattr(journal_module, "SYNC_SECONDS", -1.0)
    journal.add("b", cell(), MACHINE)
    journal.add("c", cell(), MACHINE)
    assert len(synced) == 2
    monkeypatch.setattr(journal_module, "SYNC_SECONDS", float("inf"))
    journal.done()
    assert len(synced) == 3, "the end is always durable"
    journal.close()


def test_a_line_that_the_system_writes_in_parts_is_whole(tmp_path, monkeypatch):
    write_all = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write_all(fd, bytes(data)[:7]))
    write(tmp_path, 3, done=True)
    monkeypatch.undo()
    assert keys(tmp_path) == ["key 0", "key 1", "key 2"]


def test_a_full_disk_is_named_and_costs_no_line_that_was_whole(tmp_path):
    write(tmp_path, 2)
    size = (tmp_path / NAME).stat().st_size
    words = [sys.executable, "-c", FULL.format(size=size + 10, folder=str(tmp_path))]
    done = subprocess.run(words, env=child_environment(), capture_output=True, text=True, check=False)
    assert done.stdout.startswith("StorageFailed"), done.stderr
    assert keys(tmp_path) == ["key 0", "key 1"]


# A process whose files may grow by ten bytes more: the system writes these, and then refuses.
FULL = """
import resource, signal
from pathlib import Path
from support.paths import child_environment
from support.regress_making import cell
from timeproof.errors import TimeproofError
from timeproof.regression.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path({folder!r}), resume=True, again=False)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
try:
    journal.add("key 2", cell(), {{}})
except TimeproofError as error:
    print(error.kind)
"""
