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
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coordinating
import docker
import pytest
import registry_server
from archive_making import copy_archive
from grafting import graft
from network import Network
from private_engine import PrivateEngine
from registry_server import RegistryServer

from timeproof.archive.layout import Archive, Ref
from timeproof.archive.verify import read_environment
from timeproof.engine.containers import connect
from timeproof.engine.owning import LABEL
from timeproof.regress.batch import run_batch
from timeproof.regress.result import Cell
from timeproof.replay import images

pytestmark = [pytest.mark.container, pytest.mark.slow]

SUPPORT = Path(coordinating.__file__).parent
# A model that does not answer before there is a file called `gate` beside it.
GATED = """
import os, time
while not os.path.exists(os.path.join(os.path.dirname(os.path.dirname(__file__)), "gate")):
    time.sleep(0.1)
"""


def until(what: Callable[[], Any], why: Callable[[], str], seconds: float = 900) -> Any:
    """Wait for something that will come; fail with a reason where it does not."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, why()
        time.sleep(0.3)
    return found


def attendants() -> dict[int, int]:
    """The processes that attend to a piece: their workers', by their own."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"timeproof.regress.attendant" in words:
            found[int(folder.name)] = int(words[words.index(b"timeproof.regress.attendant") + 1])
    return found


@dataclass
class Site:
    """The cluster, and the registry beside its scheduler."""

    network: Network
    folder: Path
    registry: RegistryServer
    scheduler: str
    engines: list[str]  # addresses
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)
    others: set[str] = field(default_factory=set)  # containers that were there before

    @property
    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text()[-3000:]}" for p in sorted(self.folder.glob("*.log")))

    def environment(self, name: str, engine: str) -> dict[str, str]:
        return {
            **os.environ,
            "DOCKER_HOST": engine,
            "DOCKER_CONFIG": str(self.registry.docker_login(self.folder / "docker")),
            "XDG_CACHE_HOME": str(self.folder / f"cache-{name}"),
            # A pulled wire is a lost connection after seconds, and not after half a minute.
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
            "PYTHONPATH": str(SUPPORT),
        }

    def start(self, name: str, words: list[str], engine: str = "") -> subprocess.Popen[Any]:
        log = self.folder / f"{name}.log"
        process = self.network.start(name, [sys.executable, *words], log, self.environment(name, engine))
        self.processes.append(process)
        return process

    def coordinator(
        self, root: Path, journal: Path, size: int = 1, farewell: float = 2
    ) -> subprocess.Popen[bytes]:
        words = [sys.executable, str(SUPPORT / "coordinating.py"), self.scheduler, str(root), str(journal)]
        words += [f"http://{self.registry.host}/models", str(size), str(farewell)]
        with (self.folder / "coordinator.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.network.inside("desk"), *words],
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment("desk", "unix:///nowhere.sock"),
            )
        self.processes.append(process)
        return process

    def result(self, coordinator: subprocess.Popen[bytes]) -> dict[str, Any]:
        out, _ = coordinator.communicate(timeout=900)
        assert coordinator.returncode == 0, self.logs
        found: dict[str, Any] = json.loads(out)
        return found

    def containers(self) -> set[str]:
        """Every container of ours, in both engines."""
        return {one for engine in self.engines for one in self.containers_of(engine)}

    def containers_of(self, engine: str) -> set[str]:
        client = docker.APIClient(base_url=engine)
        try:
            found = client.containers(all=True, filters={"label": LABEL})
            return {c["Id"] for c in found} - self.others
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
            site.others = site.containers()
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
                until(
                    lambda: subprocess.run(words, capture_output=True).returncode == 0, registry.log.read_text
                )
                push = ["-m", "timeproof", "push", "--all", "-a", str(sealed.root)]
                push += ["--registry", f"http://{registry.host}/models"]
                pushing = site.start("desk", push)
                assert pushing.wait(900) == 0, site.logs
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
                    process.wait(20)
            until(lambda: not attendants(), lambda: "an attendant is left")
            own.kill()
            own.unmount()


@pytest.fixture(scope="module")
def alone(sealed, tmp_path_factory) -> Callable[[Archive], list[dict[str, Any]]]:
    """What this machine says of an archive's artifacts, without a cluster."""
    archive = Archive(copy_archive(sealed.root, tmp_path_factory.mktemp("alone") / "archive"))
    another_gated(archive)
    another_gated(archive)
    open_gate(archive)
    engine = connect()
    cells: dict[tuple[str, str], Cell] = {}
    for batch in coordinating.batches_of(archive, set(), 100):
        record = read_environment(archive, batch.environment)
        image = images.provide(engine, archive, record).id
        run_batch(archive, batch, image, engine, lambda c, _: cells.update({c.key: c}))
    found = coordinating.stable(cells)
    return lambda asked: [c for c in found if Ref.parse(c["artifact"]) in set(asked.refs())]


@pytest.fixture
def gated(sealed, tmp_path) -> Archive:
    """The sealed archive, and one more artifact, which waits at a gate."""
    archive = Archive(copy_archive(sealed.root, tmp_path / "gated"))
    another_gated(archive)
    return archive


def another_gated(archive: Archive) -> None:
    source = (archive.root / "grid-size-3/pytorch/source_pt_v1/tiny_net.py").read_bytes()
    graft(archive, "grid-size-3/pytorch/v1", {"source_pt_v1/tiny_net.py": source + GATED.encode()})


GATE = "grid-size-3/pytorch/v2"


def open_gate(archive: Archive) -> None:
    (archive.root / "grid-size-3/pytorch/gate").touch()


def known(journal: Path) -> set[str]:
    lines = journal.read_text().splitlines() if journal.exists() else []
    return {json.loads(line)["artifact"] for line in lines}


def at_the_gate(site: Site, journal: Path, others: int = 4) -> tuple[int, int]:
    """Wait until so many artifacts are finished, and the gated one runs; give its attendant and worker."""

    def there() -> tuple[int, int] | None:
        found = attendants()
        if len(known(journal)) >= others and len(found) == 1 and len(site.containers()) == 1:
            return next(iter(found.items()))
        return None

    found: tuple[int, int] = until(there, lambda: f"{known(journal)} {attendants()}\n{site.logs}")
    return found


def test_a_cluster_says_what_one_machine_says(site, gated, alone, tmp_path):
    another_gated(gated)  # so that each of the two workers has to take one
    coordinator = site.coordinator(gated.root, tmp_path / "journal")
    until(lambda: all(site.containers_of(engine) for engine in site.engines), lambda: site.logs)
    open_gate(gated)
    told = site.result(coordinator)
    assert told["cells"] == alone(gated)
    assert [c["verdict"] for c in told["cells"]] == ["identical"] * 6
    # An engine that never had the image has it now: only the registry can have given it.
    record = read_environment(gated, gated.environment_names()[0])
    second = docker.APIClient(base_url=site.engines[1])
    try:
        assert second.inspect_image(record.image.manifest)["RootFS"]["Layers"] == record.image.diff_ids
    finally:
        second.close()
    assert site.containers() == set()


def test_a_worker_killed_three_times_in_one_cell_loses_that_cell_alone(site, gated, tmp_path):
    journal = tmp_path / "journal"
    # All in one piece, until it dies; and whatever is left is looked for, however long that takes.
    coordinator = site.coordinator(gated.root, journal, size=5, farewell=600)
    # First the three before it are known; then it goes alone, and the one behind it elsewhere.
    for time_, others in ((1, 3), (2, 4), (3, 4)):
        attendant, worker = at_the_gate(site, journal, others)
        os.kill(worker, signal.SIGKILL)
        if time_ == 3:  # with all that it had: whoever comes next has to find the container
            os.kill(attendant, signal.SIGKILL)
        until(lambda gone=attendant: gone not in attendants(), lambda: site.logs)
    told = site.result(coordinator)
    verdicts = {c["artifact"]: c["verdict"] for c in told["cells"]}
    assert verdicts.pop(GATE) == "lost"
    assert verdicts == dict.fromkeys(verdicts, "identical")
    assert len(verdicts) == 4
    (cell,) = (c for c in told["cells"] if c["artifact"] == GATE)
    assert cell["reason"] == "its worker died while it ran, 3 times"
    assert site.containers() == set()


def test_a_killed_coordinator_frees_its_workers_and_is_resumed(site, gated, alone, tmp_path):
    journal = tmp_path / "journal"
    coordinator = site.coordinator(gated.root, journal)
    at_the_gate(site, journal)
    coordinator.kill()
    coordinator.communicate()
    # Nobody opens the gate: the piece ends because nobody waits for it.
    until(lambda: not attendants() and not site.containers(), lambda: site.logs)
    assert len(known(journal)) == 4
    open_gate(gated)
    resumed = site.result(site.coordinator(gated.root, journal))
    assert resumed["cells"] == alone(gated)


@pytest.mark.parametrize("machine", ["desk", "worker"])
def test_a_lost_connection_is_made_again_and_changes_nothing(site, gated, alone, tmp_path, machine):
    journal = tmp_path / "journal"
    coordinator = site.coordinator(gated.root, journal)
    attendant, worker = at_the_gate(site, journal)
    if machine == "worker":
        machine = machine_of(worker)
    site.network.unplug(machine)
    # The connection is given up at both ends, and whoever ran the piece stops.
    until(lambda: attendant not in attendants(), lambda: site.logs)
    site.network.plug(machine)
    open_gate(gated)
    told = site.result(coordinator)
    assert told["cells"] == alone(gated)
    assert site.containers() == set()


def machine_of(pid: int) -> str:
    """The machine that a worker's process is on."""
    told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    return "one" if b"cache-one" in told else "two"
