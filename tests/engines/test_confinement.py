"""How the engines confine a container: as it was created, and as tries from inside find it.

The image has a folder that everybody may write in, and no user of its own; a mount shows the same. So what
denies a write here is the engine's option, and neither a mode nor an owner.
"""

from __future__ import annotations

import io
import json
import os
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from timeproof.base.digests import Digest
from timeproof.engines import ownership_labels, platforms, single_layer_image
from timeproof.engines.docker import DockerEngine
from timeproof.engines.protocol import Engine, Mount, ReadExactly, RunResult, RunSpec
from timeproof.environments.toolbox import toolbox
from timeproof.environments.toolbox.empty_image import empty_layer
from timeproof.errors import EngineFailed

pytestmark = pytest.mark.container

NAMES = ("docker", "podman", "none")
MEMORY, PIDS, TMP = 256 << 20, 77, 24 << 20


@pytest.fixture(autouse=True)
def _nothing_is_left(started: list[str]) -> None:
    """Every test of this file."""


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest, empty_engines: dict[str, Engine]) -> Engine:
    return empty_engines[request.param]


def open_layer() -> bytes:
    """The empty image's layer, with a folder and a file in which everybody may write."""
    stream = io.BytesIO(empty_layer())
    with tarfile.open(fileobj=stream, mode="a", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo("open")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        tar.addfile(folder)
        file = tarfile.TarInfo("open/file")
        file.mode = 0o666
        tar.addfile(file)
    return stream.getvalue()


def provide_open_image(engine: Engine) -> str:
    layer = open_layer()
    platform = f"linux/{platforms.architecture(os.uname().machine)}"
    return single_layer_image.provide(engine, "timeproof/open", layer, Digest.of(layer), platform)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder of this machine in which everybody may write."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "file").write_text("untouched")
    folder.chmod(0o777)
    (folder / "file").chmod(0o666)
    yield folder
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"file": "untouched"}


Run = Callable[..., tuple[RunResult, Any]]


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Iterator[Run]:
    """Run Python code in the open image; gives how it ended, and the JSON that it printed."""
    image = provide_open_image(engine)
    (tmp_path / "toolbox").mkdir()
    tools = toolbox.prepare(tmp_path / "toolbox")

    def run(code: str, mounts: tuple[Mount, ...] = (), **spec: Any) -> tuple[RunResult, Any]:
        output = bytearray()

        def read_all(read: ReadExactly) -> None:
            while True:
                output.extend(read(1))

        words = (*tools.words[1:], "-I", "-c", code)
        mounts = (*tools.mounts, *mounts)
        spec = {"memory": MEMORY, "pids": PIDS, "tmp_bytes": TMP, **spec}
        result = engine.run(
            RunSpec(image, words, tools.env, mounts, entrypoint=tools.words[:1], **spec), read_all
        )
        assert result.exit_code == 0, result.log
        return result, json.loads(bytes(output))

    yield run
    engine.drop(image)


TRIES = """
import errno, json, os, sys
outcomes = {}
def attempt(name, action):
    try:
        action()
        outcomes[name] = "done"
    except OSError as error:
        outcomes[name] = errno.errorcode[error.errno]
for folder in ("/open", "/mounted", "/tmp", "/dev/shm", "/", "/dev", "/timeproof"):
    attempt(folder, lambda: open(folder + "/new", "x").close())
for file in ("/open/file", "/mounted/file"):
    attempt(file, lambda: open(file, "r+b").close())
    attempt("mode of " + file, lambda: os.chmod(file, 0o600))
    attempt("end of " + file, lambda: os.unlink(file))
attempt("owner", lambda: os.chown("/tmp/new", 0, 0))
attempt("root", lambda: os.setuid(0))
attempt("other root", lambda: os.chroot("/tmp"))
attempt("host name", lambda: open("/proc/sys/kernel/hostname", "w").write("x"))
json.dump(outcomes, sys.stdout)
"""


def test_what_everybody_may_write_is_read_only_all_the_same(run: Run, mounted: Path) -> None:
    _, outcomes = run(TRIES, (Mount(mounted, "/mounted"),))
    written = {name for name, outcome in outcomes.items() if outcome == "done"}
    assert written == {"/tmp", "/dev/shm"}, outcomes
    read_only = {name for name in outcomes if "/open" in name or "/mounted" in name}
    assert {outcomes[name] for name in read_only} == {"EROFS"}, outcomes
    assert outcomes["owner"] == outcomes["root"] == "EPERM"


STATE = """
import json, os, resource, sys
spaces = {name: os.readlink("/proc/self/ns/" + name) for name in ("ipc", "mnt", "net", "pid", "uts")}
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
tmp, shm = os.statvfs("/tmp"), os.statvfs("/dev/shm")
json.dump({
    "spaces": spaces, "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()], "groups": os.getgroups(),
    "capabilities": {k: status[k] for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
    "no new privileges": status["NoNewPrivs"], "filter": status.get("Seccomp"),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "queues": resource.getrlimit(resource.RLIMIT_MSGQUEUE),
    "tmp": [tmp.f_blocks * tmp.f_frsize, bool(tmp.f_flag & os.ST_NOEXEC), bool(tmp.f_flag & os.ST_NOSUID)],
    "shm": [shm.f_blocks * shm.f_frsize, bool(shm.f_flag & os.ST_NOEXEC)],
    "shared": os.listdir("/dev/shm"), "folder": os.getcwd(), "environment": sorted(os.environ),
}, sys.stdout)
"""


def test_a_container_is_nobody_with_namespaces_and_bounds_of_its_own(run: Run, engine: Engine) -> None:
    """The image names no user: the engine's option alone makes it nobody."""
    _, state = run(STATE)
    for name, space in state["spaces"].items():
        assert space != os.readlink(f"/proc/self/ns/{name}"), f"it shares the machine's {name}"
    assert state["ids"] == [65534] * 4
    assert set(state["groups"]) <= {65534}
    assert {int(bits, 16) for bits in state["capabilities"].values()} == {0}
    assert state["no new privileges"] == "1"
    assert engine.name == "none" or state["filter"] == "2"
    assert state["files"] == [4096, 4096]
    assert state["queues"] == [0, 0]
    assert state["tmp"] == [TMP, True, True]
    size, inert = state["shm"]
    assert 62 << 20 <= size <= 64 << 20  # podman's is 64,000 kB
    assert inert
    assert state["shared"] == []
    assert state["folder"] == "/tmp"
    assert not {"SECRET", "DOCKER_HOST"} & set(state["environment"])


def test_shared_memory_is_one_container_s_own(run: Run) -> None:
    code = "import json, os, sys; print(json.dumps(os.listdir('/dev/shm'))); open('/dev/shm/x', 'x').close()"
    assert [run(code)[1], run(code)[1]] == [[], []]
    assert not Path("/dev/shm/x").exists()


def test_a_program_that_can_not_be_started_is_the_image_s_fault(engine: Engine) -> None:
    image = provide_open_image(engine)
    absent = engine.run(RunSpec(image, entrypoint=("/absent",)), lambda read: None)
    assert absent.exit_code in {126, 127}
    assert "/absent" in absent.log
    no_program = engine.run(RunSpec(image, entrypoint=("/open",)), lambda read: None)
    assert no_program.exit_code in {126, 127}
    engine.drop(image)


# --- as Docker creates it -----------------------------------------------------------------------------


def test_docker_is_asked_for_every_confinement(real_engine: DockerEngine, tmp_path: Path) -> None:
    """The contract: what was created, field by field, as the engine itself reports it."""
    image = provide_open_image(real_engine)
    spec = RunSpec(
        image, ("a", "b"), {"A": "1"}, (Mount(tmp_path, "/mounted"),), MEMORY, PIDS, entrypoint=("/x",),
        tmp_bytes=TMP,
    )  # fmt: skip
    container = real_engine._create(spec)
    try:
        created = real_engine._api.inspect_container(container)
    finally:
        real_engine._api.remove_container(container)
    host = created["HostConfig"]
    expected = {
        "ReadonlyRootfs": True, "Privileged": False, "PublishAllPorts": False, "AutoRemove": False,
        "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "NetworkMode": "none",
        "IpcMode": "private", "Memory": MEMORY, "MemorySwap": MEMORY, "PidsLimit": PIDS,
        "Tmpfs": {"/tmp": f"mode=1777,size={TMP},noexec"},
        "LogConfig": {"Type": "none", "Config": {}},
    }  # fmt: skip
    assert {name: host[name] for name in expected} == expected
    for name in ("CapAdd", "Binds", "Devices", "VolumesFrom", "GroupAdd", "PortBindings", "Links", "Dns"):
        assert not host.get(name), name
    for name in ("PidMode", "UTSMode", "UsernsMode", "Cgroup"):
        assert host[name] in {"", "private"}, name
    limits = {(u["Name"], u["Soft"], u["Hard"]) for u in host["Ulimits"]}
    assert limits == {("nofile", 4096, 4096), ("msgqueue", 0, 0)}
    (mount,) = host["Mounts"]
    assert mount == {"Type": "bind", "Source": str(tmp_path), "Target": "/mounted", "ReadOnly": True}
    config = created["Config"]
    assert config["User"] == "65534:65534"
    assert (config["Entrypoint"], config["Cmd"], config["WorkingDir"]) == (["/x"], ["a", "b"], "/tmp")
    assert [entry for entry in config["Env"] if not entry.startswith("PATH=")] == ["A=1"]
    assert {ownership_labels.LABEL, ownership_labels.OWNER, ownership_labels.UNTIL} <= set(config["Labels"])
    real_engine.drop(image)


# --- nothing is pulled --------------------------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[tuple[str, list[bytes]]]:
    """An address of this machine at which a registry could answer; and what is asked of it."""
    requests: list[bytes] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    requests.append(connection.recv(4096))

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        yield address, requests
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_an_image_that_is_not_there_is_asked_of_no_registry(
    engine: Engine, registry: tuple[str, list[bytes]]
) -> None:
    address, requests = registry
    for name in (f"{address}/thing:1", f"{address}/thing@sha256:{'0' * 64}"):
        with pytest.raises(EngineFailed):
            engine.run(RunSpec(name), lambda read: None)
        assert engine.inspect(name) is None
        engine.drop(name)
    assert requests == []
    with socket.create_connection(tuple(address.split(":"))) as client:  # type: ignore[arg-type]
        client.sendall(b"it does listen")
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    assert requests == [b"it does listen"]
