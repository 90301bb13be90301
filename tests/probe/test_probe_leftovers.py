"""What an artifact leaves is removed; what is not the probe's own is never touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.probe_jobs import adder, python_model

from timeproof.testing.probing import run
from timeproof_probe import leftovers

DETACHED = """
if os.fork() == 0:
    os.setsid()
    pid = os.fork()
    if pid == 0:
        {what}
        time.sleep(3000)
        os._exit(0)
    open({mark!r}, 'w').write(str(pid))
    os._exit(0)
os.wait()
"""
GONE = "assert not os.path.exists('/proc/' + open({mark!r}).read()), 'it lives'"


@pytest.mark.framework
@pytest.mark.parametrize(
    "what", ["pass", "os.kill(os.getpid(), signal.SIGSTOP)", "signal.pthread_sigmask(0, range(1, 60))"]
)
def test_a_process_of_another_session_is_ended_before_the_next_artifact_is_asked(tmp_path: Path, what: str):
    mark = str(tmp_path / "stray")
    first = python_model(tmp_path, DETACHED.format(mark=mark, what=what), "leaves")
    second = python_model(tmp_path, GONE.format(mark=mark), "looks")
    replay = run([first, second, adder(tmp_path)], tmp_path)
    assert replay.exit_code == 0, replay.stderr
    assert {name: replay.status(name) for name in ("leaves", "looks", "onnx")} == dict.fromkeys(
        ("leaves", "looks", "onnx"), "ok"
    ), replay.results["looks"]["reason"]


@pytest.mark.framework
def test_a_process_that_the_last_artifact_leaves_ends_with_the_probe(tmp_path: Path):
    mark = tmp_path / "stray"
    replay = run([python_model(tmp_path, DETACHED.format(mark=str(mark), what="pass"), "leaves")], tmp_path)
    assert replay.status("leaves") == "ok"
    assert not Path("/proc", mark.read_text()).exists()


@pytest.mark.framework
def test_on_a_machine_of_its_own_nobody_elses_process_or_file_is_touched(tmp_path: Path):
    """Folders are emptied in a container alone, where this is the first process."""
    beside = tmp_path / "beside"
    beside.write_text("here")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        replay = run([python_model(tmp_path, "", "one"), python_model(tmp_path, "", "two")], tmp_path)
        assert [replay.status(n) for n in ("one", "two")] == ["ok", "ok"]
        assert bystander.poll() is None
        assert bystander.stdin is not None
        bystander.stdin.write(b"\n")
    assert beside.read_text() == "here"
    assert not leftovers.contained()
    assert leftovers.used_folders() == []
    with pytest.raises(leftovers.Unclean):
        leftovers.end_all()


@pytest.mark.framework
@pytest.mark.parametrize("server", [False, True])
def test_a_neighbours_server_that_an_artifact_stops_or_kills_answers_all_the_same(
    tmp_path: Path, server: bool
):
    how = "signal.SIGKILL" if server else "signal.SIGSTOP"
    body = (
        "for n in os.listdir('/proc'):\n"
        "    if n.isdigit() and int(n) not in (os.getpid(), os.getppid()):\n"
        "        try:\n"
        "            told = open('/proc/' + n + '/stat').read().rpartition(')')[2].split()\n"
        "            up = open('/proc/%d/stat' % os.getppid()).read().rpartition(')')[2].split()\n"
        f"            told[1] == up[1] and os.kill(int(n), {how})\n"
        "        except OSError:\n            pass"
    )
    first = adder(tmp_path, "before")
    replay = run([first, python_model(tmp_path, body, "bad"), adder(tmp_path)], tmp_path)
    assert replay.status("bad") == "ok"
    assert replay.status("onnx") == "ok", replay.results["onnx"]["reason"]


def test_a_folder_is_emptied_however_deep_and_closed_and_no_link_is_followed(tmp_path: Path):
    top, outside = tmp_path / "top", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("here")
    (top / "a/closed/b").mkdir(parents=True)
    (top / "a/closed/b/c").write_bytes(b"")
    (top / "a/closed").chmod(0)
    (top / "link").symlink_to(outside)
    (top / "a/link").symlink_to(outside)
    os.mkfifo(top / "pipe")
    (top / "moved-0").mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    leftovers.clean(str(top))
    assert list(top.iterdir()) == []
    assert (outside / "kept").read_text() == "here"
