"""Three engines, one promise: the same bits, the same bounds, the same ends. Faults 38, 39 and 41."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.waiting import wait_until

from timeproof.engines.protocol import Engine, ReadExactly, RunResult, RunSpec
from timeproof.engines.sandbox.engine import Sandbox
from timeproof.replaying.flow import replay
from timeproof.runs import image_provider
from timeproof.store.read import read_environment

pytestmark = pytest.mark.container

NAMES = ("docker", "podman", "none")


@pytest.fixture(autouse=True)
def _nothing_is_left(started) -> None:
    """Every test of this file."""


@pytest.fixture(params=NAMES)
def engine(request, engines) -> Engine:
    return engines[request.param]


@pytest.fixture
def run(engine, sealed) -> Callable[..., tuple[RunResult, bytes]]:
    """Run Python code in a container; gives how it ended, and its stdout."""
    record = read_environment(sealed.archive, sealed.environment)
    image = image_provider.provide(engine, sealed.archive, record).id

    def run(code: str, consume: Callable[[ReadExactly], object] | None = None, **more):
        got = bytearray()

        def everything(read: ReadExactly) -> None:
            while True:
                got.extend(read(1))

        spec = RunSpec(image, entrypoint=("/opt/env/bin/python3", "-c"), argv=(code,), **more)
        return engine.run(spec, consume or everything), bytes(got)

    return run


def test_all_three_give_the_same_bits(engines, sealed):
    """Of all four frameworks; and what does not come from Docker says where its image is from."""
    notes = {}
    for name, engine in engines.items():
        result = replay(sealed.archive, list(sealed.archive.refs()), engine)
        assert [str(r.verdict) for r in result.replayed] == ["identical"] * 4, (name, result.to_json())
        notes[name] = " ".join(result.notes)
    assert "weaker sandbox" in notes["none"]
    assert "weaker" not in notes["docker"] + notes["podman"]


def test_a_run_gives_stdout_stderr_and_its_exit_code(run):
    result, out = run(r"import os, sys; os.write(1, b'\0\xffout'); os.write(2, b'\xff log'); sys.exit(7)")
    assert out == b"\0\xffout"
    assert result.log == "\ufffd log"
    assert (result.exit_code, result.oom_killed, result.timed_out) == (7, False, False)


def test_the_process_is_nobody_without_capabilities(run):
    _, out = run("print(open('/proc/self/status').read())")
    status = dict(line.split(":\t", 1) for line in out.decode().splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Gid"].split() == ["65534"] * 4
    assert set(status["Groups"].split()) <= {"65534"}
    assert {int(status[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"


def test_it_sees_its_own_processes_and_no_network(run):
    code = """
import os, socket
print([int(p) for p in os.listdir("/proc") if p.isdigit()] == [os.getpid()] == [1])
print(os.listdir("/sys/class/net"), open("/proc/net/route").read().count("\\n") <= 1)
try:
    socket.create_connection(("192.0.2.1", 80), 5)
    print("connected")
except OSError as error:
    print("denied")
"""
    _, out = run(code)
    assert out.decode().splitlines() == ["True", "['lo'] True", "denied"]


def test_only_tmp_and_shared_memory_can_be_written(run):
    code = """
import ctypes, os
for path in ("/x", "/etc/x", "/opt/env/x", "/opt/timeproof/x", "/tmp/x", "/dev/shm/x", "/dev/mqueue/x",
             "/dev/x", "/proc/x", "/sys/x", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger"):
    try:
        open(path, "w").close()
        print(path, "written")
    except OSError as error:
        print(path, "denied")
queue = ctypes.CDLL(None).mq_open(b"/x", os.O_CREAT | os.O_RDWR, 0o666, None)
print("queue", "denied" if queue < 0 else "written")
"""
    _, out = run(code)
    told = dict(line.split() for line in out.decode().splitlines())
    assert told.pop("/tmp/x") == told.pop("/dev/shm/x") == "written"
    assert set(told.values()) == {"denied"}, told


@pytest.mark.parametrize("programs", [False, True])
def test_a_program_in_tmp_runs_only_where_it_was_asked_for(run, programs):
    code = """
import os, shutil, subprocess, sys
shutil.copy("/usr/sbin/ldconfig" if os.path.exists("/usr/sbin/ldconfig") else "/sbin/ldconfig", "/tmp/x")
try:
    print(subprocess.run(["/tmp/x", "--version"], capture_output=True).returncode)
except PermissionError:
    print("denied")
"""
    _, out = run(code, tmp_programs=programs)
    assert out.decode().split() == ["0" if programs else "denied"]


def test_tmp_holds_as_much_as_was_asked_for(run):
    code = """
import os
try:
    with open("/tmp/x", "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    print("written")
except OSError as error:
    print(error.errno == __import__("errno").ENOSPC)
"""
    _, out = run(code, tmp_bytes=8 << 20)
    assert out.decode().split() == ["True"]


def test_forks_without_end_are_denied(run):
    code = """
import os, signal, time
children = []
try:
    while len(children) < 1000:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        children.append(child)
except OSError:
    print(len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
"""
    _, out = run(code, pids=64)
    assert 0 < int(out) < 64


def test_a_child_out_of_memory_is_seen_though_the_exit_code_is_0(run):
    code = """
import os
child = os.fork()
if child == 0:
    x = bytearray()
    while True:
        x += b"x" * (1 << 20)
print(os.waitpid(child, 0)[1])
"""
    result, out = run(code, memory=96 << 20)
    assert result.exit_code == 0
    assert int(out) == signal.SIGKILL
    assert result.oom_killed


def test_what_ignores_all_signals_is_killed_when_its_time_is_over(run):
    code = "import signal\n[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]\nwhile True: pass"
    result, _ = run(code, timeout=1.5)
    assert result.timed_out
    assert result.exit_code == 137


def test_where_the_reader_gives_up_it_is_gone(run):
    class Enough(Exception):
        pass

    def consume(read: ReadExactly) -> None:
        read(10)
        raise Enough

    with pytest.raises(Enough):
        run("import sys\nwhile True: sys.stdout.write('x' * 4096)", consume)


def test_nothing_of_it_is_left(engines, run):
    """After the tests above. Docker's containers are looked for by `started`."""
    run("pass")
    words = ["podman", "ps", "--all", "--quiet", "--filter", "label=io.timeproof.run"]
    assert subprocess.run(words, capture_output=True, check=True).stdout == b""


HOST = """
import sys
from timeproof.engines.protocol import RunSpec
from timeproof.engines.registry import engine_named
from timeproof.engines.sandbox.engine import Sandbox
from pathlib import Path
name, cache, image, mark = sys.argv[1:]
engine = Sandbox(Path(cache)) if name == "none" else engine_named(name)
spec = RunSpec(image, env={"MARK": mark}, entrypoint=("/opt/env/bin/python3", "-c"),
               argv=("import time; print(1, flush=True); time.sleep(600)",))
engine.run(spec, lambda read: (read(1), print("runs", flush=True), read(99)))
"""


def processes(mark: str) -> list[str]:
    """The processes of this machine in whose environment the mark is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"MARK={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
    return found


def test_a_host_that_is_killed_leaves_nothing_that_the_next_run_does_not_remove(engine, run, sealed):
    record = read_environment(sealed.archive, sealed.environment)
    image = image_provider.provide(engine, sealed.archive, record).id
    mark = secrets.token_hex(8)
    cache = engine.roots.folder if isinstance(engine, Sandbox) else ""
    words = [sys.executable, "-c", HOST, engine.name, str(cache), image, mark]
    host = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert host.stdout is not None
        assert host.stdout.readline() == b"runs\n"
        assert processes(mark)
        engine.reap()
        assert processes(mark), "its owner lives"
    finally:
        host.kill()
        host.communicate()
    engine.reap()
    wait_until(lambda: not processes(mark), lambda: f"still there: {processes(mark)}")
