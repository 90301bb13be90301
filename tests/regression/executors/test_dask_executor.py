"""A Dask cluster whose machines are network namespaces: rows 42 to 44, with real workers and engines.

One worker has the machine's engine, the other one of its own, to which images come from a registry.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import docker
import pytest
from support import registry_server
from support.archive_making import copy_archive
from support.grafting import graft
from support.network import Network
from support.own_containers import containers_with_files_of
from support.private_engine import PrivateEngine
from support.registry_server import RegistryServer
from support.waiting import HANG_SECONDS, wait_until
from typer.testing import CliRunner

from timeproof.cli.main import make_app
from timeproof.engines.docker import connect
from timeproof.regression.report import Report
from timeproof.store.layout import Archive
from timeproof.store.read import read_environment

pytestmark = [pytest.mark.container, pytest.mark.slow]

# A model that does not answer before there is a file called `gate` beside it, in its private folder.
GATED = """
import os, time
while not os.path.exists(os.path.join(os.path.dirname(os.path.dirname(__file__)), "gate")):
    time.sleep(0.1)
"""


def attendants(scratch: Path) -> dict[int, int]:
    """The processes that attend to a batch: their workers', by their own. Only those of one cluster."""
    module = b"timeproof.regression.executors.dask.worker_process"
    workers = {}
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if module in words and f"TMPDIR={scratch}".encode() in variables:
            workers[int(folder.name)] = int(words[words.index(module) + 1])
    return workers


@dataclass
class Site:
    """The cluster, and the registry beside its scheduler."""

    network: Network
    folder: Path
    registry: RegistryServer
    scheduler: str
    engines: list[str]  # addresses
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)

    @property
    def scratch(self) -> Path:
        """The folder of temporary files of every process of the cluster."""
        return self.folder / "tmp"

    @property
    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text()[-3000:]}" for p in sorted(self.folder.glob("*.log")))

    def environment(self, name: str, engine: str) -> dict[str, str]:
        return {
            **os.environ,
            "DOCKER_HOST": engine,
            "DOCKER_CONFIG": str(self.registry.docker_login(self.folder / "docker")),
            "XDG_CACHE_HOME": str(self.folder / f"cache-{name}"),
            "TMPDIR": str(self.scratch),
            # A pulled wire is a lost connection after seconds, not after half a minute. Dask takes no less.
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
        }

    def start(self, name: str, words: list[str], engine: str = "") -> subprocess.Popen[Any]:
        log = self.folder / f"{name}.log"
        process = self.network.start(name, [sys.executable, *words], log, self.environment(name, engine))
        self.processes.append(process)
        return process

    def coordinator(self, archive: Archive, out: Path, *more: str) -> subprocess.Popen[bytes]:
        """Run the real command on a machine without an engine; an artifact may wait at a gate for long."""
        words = ["-m", "timeproof", "regress", str(archive.root), "--scheduler", self.scheduler]
        words += ["--registry", f"http://{self.registry.host}/models", "--out", str(out), *more]
        words += ["--env", archive.environment_names()[0], "--timeout", "3000"]
        return self.start("desk", words, "unix:///nowhere.sock")

    def report(self, coordinator: subprocess.Popen[bytes], out: Path) -> dict[str, Any]:
        """What two runs must agree on, once it has ended."""
        coordinator.wait(HANG_SECONDS)
        path = out / "report.json"
        assert path.is_file(), self.logs
        return Report.parse(path.read_bytes(), path).stable()

    def containers(self) -> set[str]:
        """Every container of this cluster, in both engines."""
        return {one for engine in self.engines for one in self.containers_of(engine)}

    def containers_of(self, engine: str) -> set[str]:
        client = docker.APIClient(base_url=engine)
        try:
            return containers_with_files_of(client, self.folder)
        finally:
            client.close()


@pytest.fixture(scope="module")
def site(sealed) -> Iterator[Site]:
    if not registry_server.installed() or shutil.which("dockerd") is None:
        pytest.skip("docker-registry, htpasswd and dockerd are needed (tests/system-packages.sh)")
    engine = connect()
    # The paths of an engine's sockets must stay below 108 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="tp-", ignore_cleanup_errors=True) as name,
        Network("hub", "one", "two", "desk") as network,
    ):
        folder = Path(name)
        (folder / "engine").mkdir()
        (folder / "tmp").mkdir()
        own = PrivateEngine(folder / "engine")
        registry = RegistryServer(folder / "registry", network.addresses["hub"], 5000)
        site = Site(
            network,
            folder,
            registry,
            f"tcp://{network.addresses['hub']}:8786",
            [engine.address, f"unix://{own.socket}"],
        )
        try:
            own.start()
            with registry.running(*network.inside("hub")):
                words = ["-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
                site.start("hub", [*words, "--host", network.addresses["hub"], "--port", "8786"])
                for machine, address in zip(("one", "two"), site.engines, strict=True):
                    words = ["-m", "distributed.cli.dask_worker", site.scheduler, "--no-dashboard", "--nanny"]
                    words += ["--host", network.addresses[machine], "--nthreads", "1", "--nworkers", "1"]
                    words += ["--local-directory", str(folder / f"dask-{machine}")]
                    site.start(machine, words, address)
                knock = f"import socket; socket.create_connection(('{network.addresses['hub']}', 5000), 1)"
                words = [*network.inside("desk"), sys.executable, "-c", knock]
                wait_until(
                    lambda: subprocess.run(words, capture_output=True).returncode == 0, registry.log.read_text
                )
                push = ["-m", "timeproof", "push", "--all", "-a", str(sealed.root)]
                push += ["--registry", f"http://{registry.host}/models"]
                pushing = site.start("desk", push)
                assert pushing.wait(HANG_SECONDS) == 0, site.logs
                yield site
        finally:
            for process in site.processes[1:]:
                process.terminate()
            for scheduler in site.processes[:1]:
                scheduler.kill()  # it would wait for its workers
            for process in site.processes:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(HANG_SECONDS)
            wait_until(lambda: not attendants(site.scratch), lambda: "an attendant is left")
            own.kill()
            own.unmount()


def on_this_machine(archive: Archive, out: Path) -> dict[str, Any]:
    """The report of the same command without a cluster."""
    words = ["regress", str(archive.root), "--out", str(out), "--env", archive.environment_names()[0]]
    scratch = out.with_name(f"{out.name}-scratch")
    scratch.mkdir()
    with Gate(scratch), mock.patch.object(tempfile, "tempdir", str(scratch)):
        result = CliRunner().invoke(make_app(), words)
    assert result.exit_code == 0, result.output
    return Report.parse((out / "report.json").read_bytes(), out).stable()


@pytest.fixture(scope="module")
def many(sealed, tmp_path_factory) -> Archive:
    """So many artifacts that they are cut for two workers; each has to take one that waits at a gate."""
    archive = Archive(copy_archive(sealed.root, tmp_path_factory.mktemp("many") / "archive"))
    for _ in range(2):
        another_gated(archive)
    for _ in range(26):
        graft(archive, "grid-size-3/lightgbm/v1", {})
    return archive


@pytest.fixture(scope="module")
def alone(many, tmp_path_factory) -> Callable[[dict[str, Any]], bool]:
    """Whether the cells of a report are those that this machine finds by itself."""
    told = on_this_machine(many, tmp_path_factory.mktemp("alone") / "out")
    assert {c["verdict"] for c in told["cells"]} == {"identical"}
    return lambda report: all(cell in told["cells"] for cell in report["cells"])


@pytest.fixture
def gated(sealed, tmp_path) -> Archive:
    """The sealed archive, and one more artifact, which waits at a gate; all of them are one batch."""
    archive = Archive(copy_archive(sealed.root, tmp_path / "gated"))
    another_gated(archive)
    return archive


def another_gated(archive: Archive) -> None:
    source = (archive.root / "grid-size-3/pytorch/source_pt_v1/tiny_net.py").read_bytes()
    graft(archive, "grid-size-3/pytorch/v1", {"source_pt_v1/tiny_net.py": source + GATED.encode()})


GATE = "grid-size-3/pytorch/v2"


OTHERS = {
    "grid-size-3/lightgbm/v1",
    "grid-size-3/onnx/v1",
    "grid-size-3/pytorch/v1",
    "grid-size-3/xgboost/v1",
}


class Gate(threading.Thread):
    """Opens the gate of every gated model, of those too that begin to wait while it is open."""

    def __init__(self, scratch: Path) -> None:
        """Args: scratch: the folder of temporary files of those who run the models."""
        super().__init__(daemon=True)
        self.folders = scratch / f"timeproof-{os.getuid()}"
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            for source in self.folders.glob(".staging-replay-*/in/*/source_pt_v*"):
                with suppress(OSError):  # its container has ended meanwhile
                    (source.parent / "gate").touch()

    def __enter__(self) -> Gate:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def known(out: Path) -> set[str]:
    """The artifacts whose cells the journal has."""
    journal = out / "journal.jsonl"
    lines = journal.read_bytes().splitlines() if journal.exists() else []
    told = (json.loads(line.partition(b" ")[2] or b"{}") for line in lines)
    return {value["cell"]["artifact"] for value in told if "cell" in value}


def at_the_gate(site: Site, out: Path) -> tuple[int, int]:
    """Wait until the others are finished, and the gated one runs; give its attendant and worker."""

    def one_waits() -> bool:
        return known(out) >= OTHERS and len(attendants(site.scratch)) == 1 and len(site.containers()) == 1

    wait_until(one_waits, lambda: f"{known(out)} {attendants(site.scratch)}\n{site.logs}")
    ((attendant, worker),) = attendants(site.scratch).items()
    return attendant, worker


def test_a_cluster_reports_what_one_machine_reports(site, many, alone, tmp_path):
    coordinator = site.coordinator(many, tmp_path / "out")
    wait_until(lambda: all(site.containers_of(engine) for engine in site.engines), lambda: site.logs)
    with Gate(site.scratch):
        report = site.report(coordinator, tmp_path / "out")
    here = on_this_machine(many, tmp_path / "here")
    assert alone(report)
    assert len(report["cells"]) == 32
    assert (coordinator.returncode, report["passed"]) == (0, True)
    assert report == here
    # An engine that never had the image has it now: only the registry can have given it.
    record = read_environment(many, many.environment_names()[0])
    second = docker.APIClient(base_url=site.engines[1])
    try:
        assert second.inspect_image(record.image.manifest)["RootFS"]["Layers"] == record.image.diff_ids
    finally:
        second.close()
    assert site.containers() == set()


def test_a_worker_killed_three_times_in_one_cell_loses_that_cell_alone(site, gated, alone, tmp_path):
    out = tmp_path / "out"
    # A nanny starts the next worker, which cleans up; on a loaded machine that may take minutes.
    coordinator = site.coordinator(gated, out, "--await-cleanup", str(HANG_SECONDS))
    for killed in (1, 2, 3):
        attendant, worker = at_the_gate(site, out)
        os.kill(worker, signal.SIGKILL)
        if killed == 3:  # with all that it had: whoever comes next has to find the container
            os.kill(attendant, signal.SIGKILL)
        wait_until(lambda gone=attendant: gone not in attendants(site.scratch), lambda: site.logs)
    report = site.report(coordinator, out)
    (lost,) = (c for c in report["cells"] if c["artifact"] == GATE)
    assert (lost["verdict"], lost["reason"]) == ("lost", "its worker died while it ran, 3 times")
    report["cells"].remove(lost)
    assert alone(report)
    assert len(report["cells"]) == 4
    assert (coordinator.returncode, report["passed"]) == (1, False)
    assert site.containers() == set()


def test_a_killed_coordinator_frees_its_workers_and_is_resumed(site, gated, alone, tmp_path):
    out = tmp_path / "out"
    coordinator = site.coordinator(gated, out)
    at_the_gate(site, out)
    coordinator.kill()
    coordinator.wait()
    # Nobody opens the gate: the batch ends because nobody waits for it.
    wait_until(lambda: not attendants(site.scratch) and not site.containers(), lambda: site.logs)
    assert known(out) == OTHERS
    with Gate(site.scratch):
        resumed = site.report(site.coordinator(gated, out, "--resume"), out)
    assert alone(resumed)
    assert len(resumed["cells"]) == 5


@pytest.mark.parametrize("machine", ["desk", "worker"])
def test_a_lost_connection_is_made_again_and_changes_nothing(site, gated, alone, tmp_path, machine):
    out = tmp_path / "out"
    coordinator = site.coordinator(gated, out)
    attendant, worker = at_the_gate(site, out)
    if machine == "worker":
        machine = machine_of(worker)
    site.network.unplug(machine)
    # The connection is given up at both ends, and the process that ran the batch stops.
    wait_until(lambda: attendant not in attendants(site.scratch), lambda: site.logs)
    site.network.plug(machine)
    with Gate(site.scratch):
        report = site.report(coordinator, out)
    assert alone(report)
    assert len(report["cells"]) == 5
    assert site.containers() == set()


def machine_of(pid: int) -> str:
    """The machine that a worker's process is on."""
    return "one" if b"cache-one" in Path(f"/proc/{pid}/environ").read_bytes() else "two"
