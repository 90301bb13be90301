"""Docker alone: its filter, how a run ends, strays. What all engines must do stands in test_three_engines."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from support.waiting import HANG_SECONDS

from timeproof.engines import docker, ownership_labels
from timeproof.engines.ownership_labels import LABEL
from timeproof.engines.protocol import ReadExactly, RunResult, RunSpec
from timeproof.errors import EngineFailed, EngineLost, EngineMissing
from timeproof.runs import image_provider
from timeproof.store.read import read_environment

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def image(sealed, real_engine) -> str:
    return image_provider.provide(
        real_engine, sealed.archive, read_environment(sealed.archive, sealed.environment)
    ).id


@pytest.fixture
def run(real_engine, image) -> Callable[..., tuple[RunResult, bytes]]:
    """Run Python code in a container; gives how it ended, and its stdout."""

    def run(code: str, consume: Callable[[ReadExactly], object] | None = None, **more):
        got = bytearray()

        def everything(read: ReadExactly) -> None:
            while True:
                got.extend(read(1))

        spec = RunSpec(image, entrypoint=("/opt/env/bin/python3", "-c"), argv=(code,), **more)
        return real_engine.run(spec, consume or everything), bytes(got)

    return run


@pytest.fixture(autouse=True)
def _nothing_is_left(started) -> None:
    """Every test of this file."""


def test_system_calls_are_filtered(run):
    _, out = run("print(open('/proc/self/status').read())")
    status = dict(line.split(":\t", 1) for line in out.decode().splitlines() if ":\t" in line)
    assert status["Seccomp"].strip() != "0"


def test_a_busy_loop_is_killed_by_its_id_when_its_time_is_over(run):
    begun = time.monotonic()
    result, _ = run("while True: pass", timeout=1.5)
    assert result.timed_out
    assert result.exit_code == 137
    assert time.monotonic() - begun > 1.4


def test_a_gigabyte_is_read_in_flat_memory(run):
    """Nothing asks for it, so nothing keeps it."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code = "import os\nchunk = bytes(1 << 20)\nfor _ in range(256): os.write(1, chunk)"
    result, _ = run(code, lambda read: read(8))
    assert result.exit_code == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_the_log_keeps_only_its_end(run):
    result, _ = run("import sys\nfor k in range(30000): sys.stderr.write('%08d ' % k)")
    assert len(result.log) <= 1 << 16
    assert result.log.endswith("00029999 ")


def test_an_image_that_is_not_there_is_none_and_never_pulled(real_engine):
    absent = "sha256:" + "0" * 64
    assert real_engine.inspect(absent) is None
    assert real_engine.inspect("timeproof/there-is-no-such-image:1") is None
    real_engine.drop(absent)
    with pytest.raises(EngineFailed, match="refused"):
        real_engine.run(RunSpec(absent), lambda read: None)


def test_bytes_that_are_no_image_are_refused(real_engine):
    with pytest.raises(EngineFailed):
        real_engine.load([b"this is no image" * 100])


def test_the_first_run_removes_what_a_dead_process_left_and_nothing_else(image, run):
    place, _, _ = ownership_labels.labels(1.0)[ownership_labels.OWNER].rpartition("/")
    engine = docker.connect()
    dead, alive, foreign = (
        engine._api.create_container(image, labels=labels)["Id"]
        for labels in (
            {**ownership_labels.labels(1.0), ownership_labels.OWNER: f"{place}/1"},
            ownership_labels.labels(1.0),
            {"somebody": "else"},
        )
    )
    spec = RunSpec(image, entrypoint=("/opt/env/bin/python3", "-c"), argv=("pass",))
    engine.run(spec, lambda read: None)
    there = {c["Id"] for c in engine._api.containers(all=True)}
    assert there & {dead, alive, foreign} == {alive, foreign}
    for one in (alive, foreign):
        engine._api.remove_container(one)


def test_an_interrupted_replay_leaves_no_container(sealed, real_engine):
    code = r"""
import sys
from timeproof.engines.protocol import RunSpec
from timeproof.engines.docker import connect
print("go", flush=True)
connect().run(RunSpec(sys.argv[1], env={"MARK": sys.argv[2]}, entrypoint=("/opt/env/bin/python3", "-c"),
                      argv=("import time\nwhile True: print(1, flush=True); time.sleep(0.1)",)),
              lambda read: [read(1) and print("runs", flush=True) for _ in iter(int, 1)])
"""
    record = read_environment(sealed.archive, sealed.environment)
    image = image_provider.provide(real_engine, sealed.archive, record).id
    mark = secrets.token_hex(8)
    # Where the tests run in the background, their shell has told them to ignore interruptions.
    words = ["env", "--default-signal=INT", sys.executable, "-c", code, image, mark]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        assert process.stdout.readline() == b"runs\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANG_SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode != 0
    for container in real_engine._api.containers(all=True, filters={"label": LABEL}):
        with contextlib.suppress(docker.NotFound):
            settings = real_engine._api.inspect_container(container["Id"])["Config"]
            assert f"MARK={mark}" not in settings["Env"]


# --- no engine ------------------------------------------------------------------------------------


def test_where_no_engine_answers_it_is_said_what_was_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(EngineMissing, match=r"nobody\.sock.*nothing listens") as caught:
        docker.connect()
    assert "make engine" in caught.value.advice
    assert caught.value.exit_code == 6


def test_a_socket_that_speaks_something_else_is_no_engine(tmp_path, monkeypatch):
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError), listening.accept()[0] as one:
                    one.recv(4096)
                    one.sendall(b"220 mail.example.org ESMTP\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        try:
            monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
            with pytest.raises(EngineMissing):
                docker.connect()
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            answering.join()


def test_an_engine_that_goes_away_is_lost_not_missing(real_engine, monkeypatch):
    def gone(*_: object, **__: object) -> None:
        raise ConnectionResetError("Connection reset by peer")

    engine = docker.connect()
    monkeypatch.setattr(engine._api, "version", gone)
    with pytest.raises(EngineLost) as caught:
        engine.version()
    assert "nothing was recorded" in caught.value.advice
    engine._api.close()
