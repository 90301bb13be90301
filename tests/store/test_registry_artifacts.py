"""Whole artifacts in a real registry: pushed, pulled elsewhere, equal to the byte; and hostile registries."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import archive_making, registry_server
from support.archive_making import files_of, publish
from support.killing import run_killed
from support.registry_server import PASSWORD, USER, RegistryServer
from typer.testing import CliRunner

import timeproof
from timeproof.base.digests import Digest
from timeproof.cli.main import make_app
from timeproof.errors import (
    AccessDenied,
    BadArchive,
    BadRequest,
    DigestMismatch,
    Exists,
    Limit,
    Malformed,
    NotAModelPack,
    RemoteFailed,
    SizeMismatch,
    StorageFailed,
    WrongImage,
)
from timeproof.store.layout import Archive, Ref
from timeproof.store.registry import auth as login
from timeproof.store.registry import modelpack
from timeproof.store.registry.client import Registry
from timeproof.store.registry.pulling import pull_artifact
from timeproof.store.registry.pushing import push_artifact
from timeproof.store.registry.reference import Repository, parse_reference
from timeproof.store.verify import verify
from timeproof.testing import archives

XGB = Ref.parse("grid-size-8/xgboost/v1")
TAG = "grid-size-8-xgboost-v1"


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


def push(host: str, name: str, archive: Archive, ref: Ref = XGB, tag: str = ""):
    with Registry(Repository.parse(f"{host}/{name}")) as remote:
        return push_artifact(remote, archive, ref, tag)


def pull(host: str, name: str, archive: Archive, tag: str = TAG):
    with Registry(Repository.parse(f"{host}/{name}")) as remote:
        return pull_artifact(remote, archive, tag)


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files_of(root)}


def run(*words: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(make_app(), [*words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_what_is_pulled_into_an_empty_archive_is_what_was_pushed_and_verifies(known, tmp_path):
    made = Archive(tmp_path / "made")
    archives.publish_environment(made)
    publish(made, "xgboost")
    pushed = push(known.host, "whole", made)
    fresh = Archive(tmp_path / "fresh")
    pulled = pull(known.host, "whole", fresh)
    assert (pulled.ref, pulled.there) == (XGB, False)
    assert pulled.reference == pushed.reference
    assert contents(fresh.root) == contents(made.root)
    report = verify(fresh)
    assert (report.ok, report.artifacts, report.environments, report.leftovers) == (True, 1, 1, [])


def test_what_was_pulled_is_pushed_again_under_the_same_digest_and_nothing_is_sent(known, small, tmp_path):
    first = push(known.host, "again", small)
    fresh = Archive(tmp_path / "fresh")
    pull(known.host, "again", fresh)
    second = push(known.host, "again", fresh, tag="latest")
    assert second.reference == first.reference
    assert (second.sent, second.bytes) == (0, 0)


def test_an_empty_file_and_two_equal_ones_come_back(known, tmp_path):
    from timeproof.store import publish as writer

    made = Archive(tmp_path / "made")
    archives.publish_environment(made)
    with writer.draft(made, 8, "pytorch") as draft:
        files = archive_making.fill(draft, b"a model\n")
        for name in ("__init__.py", "again.py", "empty/__init__.py"):
            path = draft.folder / "source_pt_v1" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"pass\n" if name == "again.py" else b"")
            files.append(writer.entry(draft.folder, f"source_pt_v1/{name}", "source", "python"))
        draft.publish(archive_making.metadata_of(draft, files))
    push(known.host, "empty", made, Ref.parse("grid-size-8/pytorch/v1"))
    fresh = Archive(tmp_path / "fresh")
    pull(known.host, "empty", fresh, "grid-size-8-pytorch-v1")
    assert contents(fresh.root) == contents(made.root)


def test_what_oras_pulls_is_an_archive(known, small, tmp_path):
    oras = shutil.which("oras")
    if oras is None:
        pytest.skip("oras is not installed")
    push(known.host, "oras", small)
    words = [oras, "pull", "--plain-http", "-u", USER, "--password-stdin", "-o", str(tmp_path / "out")]
    words.append(f"{known.host}/oras:{TAG}")
    subprocess.run(words, input=PASSWORD.encode(), check=True, capture_output=True)
    report = verify(Archive(tmp_path / "out"))
    assert (report.ok, report.artifacts, report.environments) == (True, 1, 1)


def test_a_second_artifact_of_the_environment_brings_only_its_own_files(known, small, tmp_path):
    push(known.host, "second", small)
    push(known.host, "second", small, Ref.parse("grid-size-12/pytorch/v1"))
    fresh = Archive(tmp_path / "fresh")
    first = pull(known.host, "second", fresh)
    second = pull(known.host, "second", fresh, "grid-size-12-pytorch-v1")
    assert second.bytes < first.bytes / 4
    assert contents(fresh.root) == contents(small.root)
    assert verify(fresh).ok


def test_an_artifact_that_is_there_is_not_pulled_again_and_another_is_never_replaced(known, small, tmp_path):
    push(known.host, "there", small)
    assert pull(known.host, "there", small).there
    target = Archive(tmp_path / "other")
    archives.publish_environment(target)
    publish(target, "xgboost", model=b"another model\n")
    before = contents(target.root)
    with pytest.raises(Exists) as caught:
        pull(known.host, "there", target)
    assert "another archive" in caught.value.advice
    assert contents(target.root) == before


def test_an_environment_of_that_name_with_another_image_is_refused(known, small, tmp_path):
    push(known.host, "image", small)
    target = Archive(tmp_path / "other")
    record = archives.publish_environment(target)

    def edit(value):
        value["image"]["config"] = f"sha256:{'0' * 64}"

    archive_making.reseal(target.environments / record.folder / "image.json", edit)
    with pytest.raises(WrongImage, match="config"):
        pull(known.host, "image", target)
    assert not list(target.refs())


def test_the_image_is_there_for_replays_that_name_the_registry(known, small, tmp_path):
    push(known.host, "images", small)
    with Registry(Repository.parse(f"{known.host}/images")) as remote:
        remote.pull(archives.IMAGE, tmp_path / "layout")


def test_the_commands_push_by_name_and_pull_by_tag_and_by_digest(known, small, tmp_path):
    words = ["push", "grid-size-8/xgboost", "--registry", f"{known.host}/cli", "-a", str(small.root)]
    code, told = run(*words, "--tag", "prod")
    assert code == 0, told
    (row,) = told["pushed"]
    assert (row["artifact"], row["tag"]) == (str(XGB), f"{known.host}/cli:prod")
    for k, reference in enumerate((f"{known.host}/cli:prod", row["reference"])):
        target = tmp_path / str(k)
        code, told = run("pull", reference, "--archive", str(target))
        assert code == 0, told
        assert told["pulled"][0]["artifact"] == str(XGB)
        assert told["pulled"][0]["reference"] == row["reference"]
        assert run("verify", "-a", str(target))[1]["ok"]
    result = CliRunner().invoke(make_app(), ["pull", f"{known.host}/cli:prod", "-a", str(target)])
    assert "had grid-size-8/xgboost/v1 already" in result.output


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["pull", "models:x"], 2, "BadRequest"),
        (["pull", "host/models"], 2, "BadRequest"),
        (["pull", "host/models@sha256:12"], 2, "BadRequest"),
        (["push", "grid-size-9/xgboost", "--registry", "127.0.0.1:1/m"], 2, "NotFound"),
        (["push", "grid-size-8/xgboost", "small", "--tag", "x", "--registry", "h/n"], 2, "BadRequest"),
        (["push", "grid-size-8/xgboost", "--tag", "a b", "--registry", "127.0.0.1:1/m"], 2, "BadRequest"),
        (["pull", "127.0.0.1:1/models:x"], 7, "RemoteFailed"),
    ],
)
def test_what_can_not_be_pushed_or_pulled_is_named(small, words, code, error):
    before = contents(small.root)
    actual, told = run(*words, "-a", str(small.root))
    assert (actual, told["error"]) == (code, error), told
    assert told["advice"]
    assert contents(small.root) == before


def test_a_tag_that_is_not_there_is_named_and_no_archive_is_begun(known, tmp_path):
    with pytest.raises(RemoteFailed, match="holds no such image or artifact"):
        pull(known.host, "nothing", Archive(tmp_path / "fresh"), "nothing")
    assert not (tmp_path / "fresh").exists()


def test_an_image_is_no_artifact(known, small, tmp_path):
    with Registry(Repository.parse(f"{known.host}/an-image")) as remote:
        remote.push(small.images, archives.IMAGE, "image")
    with pytest.raises(NotAModelPack) as caught:
        pull(known.host, "an-image", Archive(tmp_path / "fresh"), "image")
    assert caught.value.exit_code == 5
    assert not (tmp_path / "fresh").exists()


def test_a_wrong_password_is_named(server, small, tmp_path, monkeypatch):
    monkeypatch.delenv(login.USER, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(server.docker_login(tmp_path / "docker", "wrong")))
    with pytest.raises(AccessDenied):
        push(server.host, "denied", small)


def test_a_damaged_file_is_never_pushed(known, small):
    archive_making.flip(small.root / XGB.folder / "model_xgb_v1.json")
    with pytest.raises(DigestMismatch):
        push(known.host, "damaged", small)


@pytest.mark.parametrize("when", [1, 4, 30, 60, 90])
def test_a_killed_pull_leaves_a_whole_archive_and_the_next_one_finishes(known, small, tmp_path, when):
    push(known.host, "killed", small)
    fresh = Archive(tmp_path / "fresh")
    run_killed(lambda: pull(known.host, "killed", fresh), when)
    if fresh.root.exists():
        report = verify(fresh)
        assert report.ok, [f.message for f in report.findings]
    pull(known.host, "killed", fresh)
    report = verify(fresh)
    assert (report.ok, report.artifacts) == (True, 1)
    assert not [name for name in report.leftovers if ".staging" in name]


def test_a_full_disk_is_named_and_the_archive_stays_as_it_was(known, tmp_path):
    made = Archive(tmp_path / "made")
    archives.publish_environment(made)
    publish(made, "xgboost", model=os.urandom(4 * 2**20))
    push(known.host, "full", made)
    (tmp_path / "disk").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "disk")]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("this test mounts a small disk, which needs root")
    try:
        with pytest.raises(StorageFailed, match="No space left"):
            pull(known.host, "full", Archive(tmp_path / "disk" / "fresh"))
        assert not (tmp_path / "disk" / "fresh").exists()
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


# --- hostile registries -----------------------------------------------------------------------


class Fake:
    """What a registry would answer; a test changes it."""

    def __init__(self, blobs: dict[str, bytes], manifest: bytes) -> None:
        self.blobs, self.manifest = blobs, manifest
        self.headers: dict[str, str] = {}
        self.status: dict[str, int] = {}

    def edit(self, edit: Callable[[dict[str, Any]], object]) -> None:
        value = json.loads(self.manifest)
        edit(value)
        self.manifest = json.dumps(value).encode()

    def layer(self, path: str) -> dict[str, Any]:
        layers = json.loads(self.manifest)["layers"]
        return next(x for x in layers if x["annotations"][modelpack.PATH] == path)

    def replace(self, path: str, data: bytes) -> None:
        """Give other bytes for a file, and say so in the manifest."""
        digest = str(Digest.of(data))
        self.blobs[digest] = data

        def change(value: dict[str, Any]) -> None:
            for layer in value["layers"]:
                if layer["annotations"][modelpack.PATH] == path:
                    layer.update(digest=digest, size=len(data))

        self.edit(change)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        name = path.rsplit("/", 1)[-1]
        if "/manifests/" in path:
            return 200, {}, self.manifest
        if name in self.status:
            return self.status[name], {"Location": self.headers["Location"]}, b""
        return 200, {}, self.blobs[name]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = self.server.fake.answer(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None: ...


@contextmanager
def serving(fake: Fake) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as odd:
        odd.fake = fake  # type: ignore[attr-defined]
        thread = threading.Thread(target=odd.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{odd.server_port}"
        finally:
            odd.shutdown()
            thread.join()


@pytest.fixture
def fake(small, monkeypatch) -> Fake:
    """A registry that holds the small artifact, as `push` would have left it."""
    sent: dict[str, bytes] = {}
    manifests: list[bytes] = []

    class Remote:
        repository = Repository.parse("127.0.0.1:1/models")

        def push(self, layout, image, tag, *, progress):
            from timeproof.store.registry.client import Pushed

            return Pushed("", tag, 0, 0, 0)

        def send_blobs(self, wanted, root, **more):
            sent.update({digest: (root / path).read_bytes() for digest, path in wanted.items()})
            return [0] * len(wanted)

        def send_manifest(self, tag, data):
            manifests.append(data)
            return str(Digest.of(data))

    push_artifact(Remote(), small, XGB)  # type: ignore[arg-type]
    return Fake(sent, manifests[0])


METADATA = XGB.metadata
MODEL = f"{XGB.folder}/model_xgb_v1.json"
IMAGE_JSON = f"environments/{archives.ENVIRONMENT}/image.json"


def drop(path: str) -> Callable[[Fake], None]:
    def edit(value: dict[str, Any]) -> None:
        value["layers"] = [x for x in value["layers"] if x["annotations"][modelpack.PATH] != path]

    return lambda fake: fake.edit(edit)


def lie(path: str, data: bytes) -> Callable[[Fake], None]:
    """Send other bytes under the digest that the manifest says."""
    return lambda fake: fake.blobs.update({fake.layer(path)["digest"]: data})


def resize(path: str, size: int) -> Callable[[Fake], None]:
    def edit(value: dict[str, Any]) -> None:
        for layer in value["layers"]:
            if layer["annotations"][modelpack.PATH] == path:
                layer["size"] = size

    return lambda fake: fake.edit(edit)


def moved(fake: Fake) -> None:
    """The metadata of one artifact under the name of another."""

    def edit(value: dict[str, Any]) -> None:
        for layer in value["layers"]:
            if layer["annotations"][modelpack.PATH] == METADATA:
                layer["annotations"][modelpack.PATH] = METADATA.replace("_v1", "_v2")

    fake.edit(edit)


def redirected_without_end(fake: Fake) -> None:
    digest = fake.layer(MODEL)["digest"]
    fake.status[digest] = 307
    fake.headers["Location"] = f"/v2/models/blobs/{digest}"


def stranger(fake: Fake) -> None:
    """An artifact whose metadata names a file where the next version's belongs."""
    other = MODEL.replace("_v1", "_v2")

    def rename(value: dict[str, Any]) -> None:
        value["files"][0]["path"] = other.rpartition("/")[2]
        value["model"]["file"] = other.rpartition("/")[2]

    document = json.loads(fake.blobs[fake.layer(METADATA)["digest"]])
    rename(document)
    fake.replace(METADATA, archive_making.spell(document))


HOSTILE: dict[str, tuple[Callable[[Fake], object], type[Exception] | tuple[type[Exception], ...]]] = {
    "other bytes of a model": (lie(MODEL, b"a m0del\n"), DigestMismatch),
    "other bytes of the metadata": (lie(METADATA, b"{}"), (DigestMismatch, SizeMismatch)),
    "a body without end": (lie(MODEL, b"a model\n" * 10**6), Limit),
    "a body that is cut": (lie(MODEL, b"a mod"), (SizeMismatch, RemoteFailed)),
    "another model that the manifest agrees with": (lambda f: f.replace(MODEL, b"a m0del\n"), DigestMismatch),
    "another size": (resize(MODEL, 5), SizeMismatch),
    "metadata that is none": (lambda f: f.replace(METADATA, b"{}"), Malformed),
    "metadata larger than any": (resize(METADATA, 2**30), Limit),
    "an image.json that is none": (lambda f: f.replace(IMAGE_JSON, b"[]"), Malformed),
    "no model": (drop(MODEL), Malformed),
    "no environment": (drop(IMAGE_JSON), Malformed),
    "no metadata": (drop(METADATA), NotAModelPack),
    "metadata of another name": (moved, Malformed),
    "a file that belongs to another version": (stranger, Malformed),
    "redirects without end": (redirected_without_end, RemoteFailed),
    "a manifest that is a web page": (lambda f: setattr(f, "manifest", b"<html>"), NotAModelPack),
    "a manifest without end": (lambda f: setattr(f, "manifest", b" " * (5 * 2**20)), Limit),
    "a path outside": (
        lambda f: f.edit(lambda m: m["layers"][0]["annotations"].update({modelpack.PATH: "../../x"})),
        BadArchive,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_registry_is_refused_and_nothing_is_left(fake, tmp_path, name):
    change, expected = HOSTILE[name]
    change(fake)
    with serving(fake) as host, pytest.raises(expected):
        pull(host, "models", Archive(tmp_path / "deep" / "fresh"))
    assert not (tmp_path / "deep" / "fresh").exists()
    assert not (tmp_path / "x").exists()


def test_a_registry_that_sends_on_to_a_place_without_tls_is_refused(fake, tmp_path, monkeypatch):
    """The repository is spoken to by TLS; what it answers with comes from elsewhere, in the open."""
    with serving(fake) as host, Registry(Repository.parse(f"{host}/models")) as remote:
        object.__setattr__(remote, "repository", Https(host, "models", "https"))
        with pytest.raises(RemoteFailed, match="without TLS"):
            pull_artifact(remote, Archive(tmp_path / "fresh"), TAG)
    assert not (tmp_path / "fresh").exists()


class Https(Repository):
    """A repository that says it is reached by TLS, while this test's server speaks none."""

    @property
    def url(self) -> str:
        return f"http://{self.host}/v2/{self.name}"


def test_the_honest_one_is_pulled(fake, small, tmp_path):
    with serving(fake) as host:
        pull(host, "models", Archive(tmp_path / "fresh"))
    assert verify(Archive(tmp_path / "fresh")).ok


def test_a_digest_that_was_asked_for_is_checked(fake, tmp_path):
    digest = str(Digest.of(fake.manifest))
    fake.edit(lambda m: m.update(annotations={}))
    with serving(fake) as host, pytest.raises(DigestMismatch):
        pull(host, "models", Archive(tmp_path / "fresh"), digest)


def test_a_layer_that_no_document_names_is_not_fetched(fake, tmp_path):
    def add(value: dict[str, Any]) -> None:
        extra = {**value["layers"][0], "digest": f"sha256:{'0' * 64}"}
        extra["annotations"] = {modelpack.PATH: "packages/evil.whl"}
        value["layers"].append(extra)

    fake.edit(add)
    with serving(fake) as host:
        pull(host, "models", Archive(tmp_path / "fresh"))
    assert not (tmp_path / "fresh" / "packages" / "evil.whl").exists()
    assert verify(Archive(tmp_path / "fresh")).ok


@pytest.mark.parametrize(
    ("text", "repository", "name"),
    [
        ("registry.example.org/a/b:v1", "registry.example.org/a/b", "v1"),
        ("127.0.0.1:5000/m:grid-size-8-onnx-v1", "127.0.0.1:5000/m", "grid-size-8-onnx-v1"),
        (f"h.org:80/m@sha256:{'0' * 64}", "h.org:80/m", f"sha256:{'0' * 64}"),
    ],
)
def test_a_reference_names_a_repository_and_a_tag_or_a_digest(text, repository, name):
    parsed, what = parse_reference(text)
    assert (str(parsed), what) == (repository, name)


@pytest.mark.parametrize("text", ["", "a", "h/m", "h:5000/m", "h/m:", "h/m@sha256:0", "h/m:a/b", "h/M:x"])
def test_what_is_no_reference_is_a_bad_request(text):
    with pytest.raises(BadRequest):
        parse_reference(text)


@pytest.mark.container
@pytest.mark.slow
def test_a_sealed_artifact_is_pulled_into_an_empty_archive_and_replays_there(known, sealed, tmp_path):
    ref = next(r for r in sealed.archive.refs() if r.framework == "xgboost")
    push(known.host, "sealed", sealed.archive, ref)
    fresh = Archive(tmp_path / "fresh")
    assert pull(known.host, "sealed", fresh, str(ref).replace("/", "-")).ref == ref
    assert verify(fresh).ok
    result = timeproof.replay(root=fresh.root, image="stored")
    assert [str(r.verdict) for r in result.replayed] == ["identical"]
