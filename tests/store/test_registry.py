"""Images in a real registry with a password: pushed, pulled by digest, and never believed."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import archive_making, registry_server
from support.registry_server import PASSWORD, USER, RegistryServer
from typer.testing import CliRunner

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.cli.main import make_app
from timeproof.engines.protocol import ImageFacts
from timeproof.errors import (
    AccessDenied,
    BadRequest,
    DigestMismatch,
    Limit,
    RemoteFailed,
    SizeMismatch,
    WrongImage,
    WrongPlatform,
)
from timeproof.runs import image_provider
from timeproof.store import oci_layout
from timeproof.store.layout import Archive
from timeproof.store.read import read_environment
from timeproof.store.registry import auth as login
from timeproof.store.registry.client import Registry
from timeproof.store.registry.reference import Repository
from timeproof.store.schema.v1 import ImageIdentity
from timeproof.testing import archives
from timeproof.testing.fake_engine import FakeEngine

IMAGE = archives.IMAGE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    if not registry_server.installed():
        pytest.skip("docker-registry and htpasswd are not installed (tests/system-packages.sh)")
    with RegistryServer(tmp_path_factory.mktemp("registry")).running() as running:
        yield running


@pytest.fixture
def known(server, tmp_path, monkeypatch) -> RegistryServer:
    """The registry, where `docker login` was run."""
    monkeypatch.delenv(login.USER, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(server.docker_login(tmp_path / "docker")))
    return server


def push(server: RegistryServer, archive: Archive, name: str, image: ImageIdentity = IMAGE):
    with Registry(Repository.parse(f"{server.host}/{name}")) as remote:
        return remote.push(archive.images, image, "small")


def pull(server: RegistryServer, name: str, layout: Path, image: ImageIdentity = IMAGE) -> None:
    with Registry(Repository.parse(f"{server.host}/{name}")) as remote:
        remote.pull(image, layout)


def blobs(layout: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (layout / "blobs/sha256").iterdir()}


def test_what_is_pushed_is_pulled_byte_for_byte_and_sent_only_once(known, small, tmp_path):
    first = push(known, small, "models/once")
    assert (first.sent, first.there) == (3, 0)
    assert first.reference == f"{known.host}/models/once@{IMAGE.manifest}"
    again = push(known, small, "models/once")
    assert (again.sent, again.there, again.bytes) == (0, 3, 0)
    pull(known, "models/once", tmp_path / "layout")
    assert blobs(tmp_path / "layout") == blobs(small.images)


def test_the_command_pushes_by_name_and_tells_the_digest(known, small):
    words = ["push", "small", "--registry", f"{known.host}/cli", "-a", str(small.root), "--json"]
    result = CliRunner().invoke(make_app(), words)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["pushed"]
    assert row["image"] == f"{known.host}/cli@{IMAGE.manifest}"
    assert row["tag"] == f"{known.host}/cli:{archives.ENVIRONMENT}"


@pytest.mark.parametrize("words", [["push", "small"], ["push", "--registry", "h/n"]])
def test_a_push_without_a_registry_or_a_name_is_a_bad_request(small, words):
    assert CliRunner().invoke(make_app(), [*words, "-a", str(small.root)]).exit_code == 2


def test_variables_go_before_what_docker_knows(server, small, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(server.docker_login(tmp_path / "docker", "not this one")))
    monkeypatch.setenv(login.USER, USER)
    monkeypatch.setenv(login.PASSWORD, PASSWORD)
    assert push(server, small, "variables").sent == 3


def test_a_wrong_password_is_named_with_what_to_do(server, small, tmp_path, monkeypatch):
    monkeypatch.delenv(login.USER, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(server.docker_login(tmp_path / "docker", "wrong")))
    with pytest.raises(AccessDenied, match="refuses our name or password") as caught:
        push(server, small, "denied")
    assert "docker login" in caught.value.advice
    assert caught.value.exit_code == 7


def test_without_a_password_it_says_where_one_is_looked_for(server, tmp_path, monkeypatch):
    monkeypatch.delenv(login.USER, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(AccessDenied, match="asks for a name and a password") as caught:
        pull(server, "models", tmp_path / "layout")
    assert login.USER in caught.value.advice


def test_an_image_that_is_not_there_is_named(known, tmp_path):
    with pytest.raises(RemoteFailed, match="holds no such image") as caught:
        pull(known, "nothing", tmp_path / "layout")
    assert IMAGE.manifest in caught.value.address
    assert "timeproof push" in caught.value.advice


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_a_blob_that_was_tampered_with_on_the_registrys_disk_is_refused(known, small, tmp_path, which):
    # A registry of its own: what is stored is shared by all of its repositories.
    with RegistryServer(tmp_path / "tampered").running() as own:
        own.docker_login(tmp_path / "docker")
        push(own, small, "models")
        layer = oci_layout.descriptors(small.images, IMAGE)[1][0]
        digest = {"manifest": IMAGE.manifest, "config": IMAGE.config, "layer": layer}[which]
        archive_making.flip(own.blob(digest))
        with pytest.raises((DigestMismatch, RemoteFailed)) as caught:
            pull(own, "models", tmp_path / "layout")
        assert digest in caught.value.message
        assert digest.removeprefix("sha256:") not in blobs(tmp_path / "layout")
        own.blob(digest).write_bytes(own.blob(digest).read_bytes()[:-1])
        with pytest.raises((SizeMismatch, DigestMismatch, RemoteFailed)):
            pull(own, "models", tmp_path / "again")


def other_image(archive: Archive, **changed: str) -> ImageIdentity:
    """Put an image into the archive's layout that differs from the small one in its config."""

    def put(data: bytes) -> str:
        digest = str(Digest.of(data))
        (archive.images / oci_layout.blob(digest)).write_bytes(data)
        return digest

    config = oci_layout.read_blob(archive.images, IMAGE.config) | changed
    manifest = oci_layout.read_blob(archive.images, IMAGE.manifest)
    data = json.dumps(config).encode()
    manifest["config"] |= {"digest": put(data), "size": len(data)}
    return oci_layout.read_identity(archive.images, put(json.dumps(manifest).encode()))


def test_an_image_of_another_architecture_is_refused_before_the_engine_sees_it(known, small, tmp_path):
    foreign = other_image(small, architecture="arm64")
    push(known, small, "foreign", foreign)

    def edit(value):
        value["image"] |= {"manifest": foreign.manifest, "config": foreign.config}

    path = small.environments / archives.ENVIRONMENT / "image.json"
    archive_making.reseal(path, edit)
    record = read_environment(small, archives.ENVIRONMENT)

    class NoEngine:
        def inspect(self, image):
            return None

        def load(self, archive):
            raise AssertionError("the engine was given it")

    with pytest.raises(WrongPlatform, match="linux/arm64"):
        image_provider.provide(NoEngine(), small, record, mode="registry", registry=f"{known.host}/foreign")


def test_an_image_with_other_layers_is_not_the_recorded_one(known, small, tmp_path):
    push(known, small, "layers")
    expected = IMAGE.model_copy(update={"diff_ids": IMAGE.diff_ids[::-1]})
    with pytest.raises(WrongImage, match="diff_ids"):
        pull(known, "layers", tmp_path / "layout", expected)


def test_a_damaged_layout_is_never_pushed(known, small):
    layer = oci_layout.descriptors(small.images, IMAGE)[2][0]
    archive_making.flip(small.images / oci_layout.blob(layer))
    with pytest.raises(DigestMismatch):
        push(known, small, "damaged")


def test_a_registry_that_is_gone_is_told_and_nothing_is_left(small, tmp_path):
    port = registry_server.free_port()
    with Registry(Repository.parse(f"127.0.0.1:{port}/models")) as remote:
        with pytest.raises(RemoteFailed, match="does not answer"):
            remote.pull(IMAGE, tmp_path / "layout")
        assert blobs(tmp_path / "layout") == {}
        with pytest.raises(RemoteFailed, match="does not answer"):
            remote.push(small.images, IMAGE, "small")


class _Handler(http.server.BaseHTTPRequestHandler):
    """What its server's `say` decides: a faulty registry, or a token server."""

    def do_GET(self) -> None:
        status, headers, body = self.server.say(self)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def odd_server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.host = f"127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()
        thread.join()


def test_a_transfer_that_is_cut_is_begun_again_and_then_named(odd_server, tmp_path):
    manifest = archives.BLOBS[IMAGE.manifest]
    asked = []

    def cut(handler):
        asked.append(handler.path)
        return 200, {"Content-Length": str(len(manifest))}, manifest[:-9]

    odd_server.say = cut
    with pytest.raises(RemoteFailed, match="was cut 3 times"):
        pull(odd_server, "models", tmp_path / "layout")
    assert len(asked) == 3
    assert blobs(tmp_path / "layout") == {}


def test_a_registry_that_sends_without_end_is_stopped_at_the_declared_size(odd_server, tmp_path):
    layer = oci_layer()

    def flood(handler):
        digest = handler.path.rsplit("/", 1)[-1]
        return 200, {}, archives.BLOBS[digest] + (b"and more" * 10**6 if digest == layer else b"")

    odd_server.say = flood
    with pytest.raises(Limit, match="more than the"):
        pull(odd_server, "models", tmp_path / "layout")
    assert layer.removeprefix("sha256:") not in blobs(tmp_path / "layout")


def oci_layer() -> str:
    return json.loads(archives.BLOBS[IMAGE.manifest])["layers"][0]["digest"]


def test_a_token_server_is_asked_for_the_repository_and_given_the_password(odd_server, tmp_path, monkeypatch):
    monkeypatch.setenv(login.USER, USER)
    monkeypatch.setenv(login.PASSWORD, PASSWORD)
    place = f"http://127.0.0.1:{odd_server.server_port}/token"
    tokens = []

    def registry(handler):
        if handler.path.startswith("/token"):
            tokens.append((handler.path, handler.headers["Authorization"]))
            return 200, {}, json.dumps({"token": "abc"}).encode()
        if handler.headers["Authorization"] != "Bearer abc":
            wanted = f'Bearer realm="{place}",service="test",scope="repository:models:pull"'
            return 401, {"WWW-Authenticate": wanted, "Content-Length": "0"}, b""
        return 200, {}, archives.BLOBS[handler.path.rsplit("/", 1)[-1]]

    odd_server.say = registry
    pull_from = Repository.parse(f"127.0.0.1:{odd_server.server_port}/models")
    with Registry(pull_from) as remote:
        remote.pull(IMAGE, tmp_path / "layout")
    ((path, header),) = tokens
    assert "scope=repository%3Amodels%3Apull" in path
    assert "service=test" in path
    assert header == login.basic((USER, PASSWORD))
    assert set(blobs(tmp_path / "layout")) == {d.removeprefix("sha256:") for d in archives.BLOBS}


def test_no_password_goes_to_a_token_server_without_tls(monkeypatch):
    monkeypatch.setenv(login.USER, USER)
    with pytest.raises(AccessDenied, match="not reached by TLS"):
        login.authorization("example.org", 'Bearer realm="http://evil.example.org"', "s", plain=False)


@pytest.mark.parametrize(
    ("text", "scheme", "host", "name"),
    [
        ("registry.example.org/models", "https", "registry.example.org", "models"),
        ("127.0.0.1:5000/a/b-c", "http", "127.0.0.1:5000", "a/b-c"),
        ("localhost/x", "http", "localhost", "x"),
        ("http://10.0.0.1:5000/x", "http", "10.0.0.1:5000", "x"),
        ("https://localhost:5000/x", "https", "localhost:5000", "x"),
        ("[::1]:5000/x", "http", "[::1]:5000", "x"),
    ],
)
def test_a_repository_says_how_it_is_spoken_to(text, scheme, host, name):
    found = Repository.parse(text)
    assert (found.scheme, found.host, found.name) == (scheme, host, name)


@pytest.mark.parametrize(
    "text", ["", "models", "host/", "host/UPPER", "host/a/../b", "host/a b", "ftp://h/n"]
)
def test_what_is_no_repository_is_a_bad_request(text):
    with pytest.raises(BadRequest):
        Repository.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_repository_or_a_bad_request(text):
    try:
        found = Repository.parse(text)
    except BadRequest:
        return
    assert Repository.parse(f"{found.scheme}://{found}") == found


def taking_engine() -> FakeEngine:
    """An engine that holds nothing, and believes that what it is given is the small image."""
    engine = FakeEngine()
    engine.loads = lambda _: ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
    return engine


@pytest.mark.parametrize("mode", ["registry", "ready", "auto"])
def test_an_engine_without_the_image_gets_the_registrys(known, small, mode):
    push(known, small, "provided")
    record = read_environment(small, archives.ENVIRONMENT)
    engine = taking_engine()
    given = image_provider.provide(engine, small, record, mode=mode, registry=f"{known.host}/provided")
    assert (given.source, given.id, given.note) == ("registry", IMAGE.manifest, "")
    again = image_provider.provide(engine, small, record, mode="ready", registry=f"{known.host}/provided")
    assert again.source == "engine"


def test_without_the_registrys_image_the_stored_copy_does_and_it_is_said(known, small):
    record = read_environment(small, archives.ENVIRONMENT)
    given = image_provider.provide(
        taking_engine(), small, record, mode="ready", registry=f"{known.host}/nothing-here"
    )
    assert given.source == "stored"
    assert "holds no such image" in given.note


def test_a_registry_that_is_insisted_on_has_to_be_named(small):
    record = read_environment(small, archives.ENVIRONMENT)
    with pytest.raises(BadRequest, match="no registry is named"):
        image_provider.provide(taking_engine(), small, record, mode="registry")


def oversized(config: int, *layers: int) -> tuple[ImageIdentity, dict[str, bytes]]:
    """An image whose manifest declares these sizes, and its blobs but for the layers."""
    whole, parts = archives.image_parts()
    manifest = json.loads(parts[whole.manifest])
    manifest["config"]["size"] = config or manifest["config"]["size"]
    manifest["layers"] = [{"digest": f"sha256:{k:064}", "size": size} for k, size in enumerate(layers)]
    data = json.dumps(manifest).encode()
    digest = str(Digest.of(data))
    return whole.model_copy(update={"manifest": digest}), {whole.config: parts[whole.config], digest: data}


@pytest.mark.parametrize(
    ("config", "layers", "limit"),
    [
        (LIMITS.json_bytes + 1, (), str(LIMITS.json_bytes)),
        (-1, (), "-1 bytes"),
        (0, (LIMITS.layer_bytes + 1,), str(LIMITS.layer_bytes)),
        (0, (-5,), "-5 bytes"),
        (0, (LIMITS.layer_bytes,) * 4 + (1,), str(LIMITS.image_bytes)),
    ],
)
def test_an_image_that_declares_more_than_it_may_is_not_fetched(odd_server, tmp_path, config, layers, limit):
    image, parts = oversized(config, *layers)
    asked = []

    def registry(handler):
        digest = handler.path.rsplit("/", 1)[-1]
        asked.append(digest)
        return 200, {}, parts.get(digest, b"")

    odd_server.say = registry
    with pytest.raises(Limit, match=limit):
        pull(odd_server, "models", tmp_path / "layout", image)
    assert set(asked) <= set(parts), "no layer was asked for"
