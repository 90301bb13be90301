"""Recipes: the same packages, the same bytes; and a context that holds what was locked, and nothing else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.archive_making import break_hard_link, flip
from support.laws import examples

from timeproof.base import proc
from timeproof.base.digests import Digest
from timeproof.errors import BadArchive, DigestMismatch, ManyFindings, Missing, TimeproofError
from timeproof.images import buildx, recipe
from timeproof.images.dockerfile import LAYERS, write_dockerfile
from timeproof.images.ingredients import Ingredients
from timeproof.images.replay_instructions import replay_md
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment
from timeproof.store.schema.v1 import PackageEntry
from timeproof.testing.archives import ENVIRONMENT

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,12}[A-Za-z0-9])?", fullmatch=True)


def package(kind: str, name: str, size: int = 1) -> PackageEntry:
    sha256 = Digest.of(f"{kind} {name}".encode()).hex
    file = f"{name}-1.0-py3-none-any.whl" if kind == "wheel" else f"{name}.tar"
    return PackageEntry(kind=kind, name=name, version="1.0", file=file, size=size, sha256=sha256)


BASE, PART = package("base", "base"), package("conda-part", "conda-part")


def text(*wheels: PackageEntry) -> str:
    made = Ingredients(BASE, PART, wheels, b"a probe")
    return write_dockerfile(made, "t" * 64, "p" * 64 + ".tar")


def layers(dockerfile: str) -> int:
    last = dockerfile.split("FROM scratch\n")[-1]
    return len(re.findall(r"^(?:ADD|COPY|RUN) ", last, re.MULTILINE))


@pytest.mark.parametrize("count", [0, 1, 110, 111, 150, 600])
def test_an_image_stays_within_what_an_overlay_can_hold(count):
    made = text(*(package("wheel", f"w{k}", size=k) for k in range(count)))
    assert layers(made) == min(count, LAYERS) + (count > LAYERS) + 3
    assert layers(made) <= 127
    for k in range(count):
        assert made.count(f"/wheel/w{k}-1.0-py3-none-any.whl") == 1, "each wheel is installed once"


def test_the_largest_wheels_have_layers_of_their_own():
    wheels = [package("wheel", f"w{k}", size=k) for k in range(150)]
    made = text(*wheels)
    small = made.split("AS small-wheels")[1].split("FROM scratch")[0]
    assert {k for k in range(150) if f"/w{k}-1.0" in small} == set(range(40))


@given(st.lists(NAMES, min_size=1, max_size=8, unique_by=lambda n: re.sub(r"[-_.]+", "-", n).lower()))
@examples(50)
def test_every_stage_has_a_name_of_its_own_that_docker_takes(names):
    made = text(*(package("wheel", n) for n in names))
    stages = re.findall(r"^FROM \S+ AS (\S+)$", made, re.MULTILINE)
    assert len(set(stages)) == len(stages) == len(names) + 1
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", s) for s in stages)
    assert re.findall(r"--from=(\S+)", made) == stages[1:]


def test_no_step_of_a_build_has_a_network():
    made = text(*(package("wheel", f"w{k}") for k in range(3)))
    runs = [line for line in made.splitlines() if line.startswith("RUN")]
    assert len(runs) == 3
    assert all(line.startswith("RUN --network=none ") for line in runs)
    assert "http" not in made
    assert "# syntax" not in made


def test_the_same_ingredients_give_the_same_bytes(tmp_path):
    what = Ingredients(BASE, PART, tuple(package("wheel", n) for n in ("b", "a")), b"a probe")
    for name in ("one", "two"):
        recipe.write(tmp_path / name, what)
        os.utime(tmp_path / name, (0, 0))
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two
    assert set(one) >= {"Dockerfile", "docker-bake.hcl", "install_wheel.py", "probe.tar", "recipe.json"}


# --- the context ----------------------------------------------------------------------------------


@pytest.fixture
def staged(small, tmp_path):
    """A way to stage the small archive's recipe into a new folder."""
    record = read_environment(small, ENVIRONMENT)
    frozen = small.environments / ENVIRONMENT / "recipe"

    def stage(name: str = "context") -> Path:
        recipe.stage(frozen, record.packages, PackageStore(small.packages), tmp_path / "w" / name)
        return tmp_path / "w" / name

    return stage


def test_a_context_names_every_file_by_its_content(small, staged):
    context = staged()
    for path in context.rglob("*"):
        if path.suffix == ".tar":
            assert path.stem == Digest.of(path.read_bytes()).hex
        if path.suffix == ".whl":
            assert path.parent.name == Digest.of(path.read_bytes()).hex
    named = re.findall(r"[0-9a-f]{64}", (context / "Dockerfile").read_text())
    assert {p.name.removesuffix(".tar") for p in context.iterdir()} - {"Dockerfile"} == set(named)


def test_a_package_with_a_changed_byte_is_never_staged(small, staged):
    wheel = next(small.packages.rglob("*.whl"))
    flip(wheel)
    with pytest.raises(DigestMismatch, match=wheel.name):
        staged()


def test_all_packages_that_are_missing_are_named_at_once(small, staged):
    for path in [p for p in small.packages.rglob("*") if p.is_file()]:
        path.unlink()
    with pytest.raises(ManyFindings) as caught:
        staged()
    assert len(caught.value.findings) == 3


def test_a_changed_probe_is_never_staged(small, staged):
    flip(small.environments / ENVIRONMENT / "recipe/probe.tar")
    with pytest.raises(DigestMismatch, match=r"probe\.tar"):
        staged()


def test_staging_leaves_the_store_as_it_was(small, staged):
    before = {p: p.read_bytes() for p in small.packages.rglob("*") if p.is_file()}
    staged()
    assert {p: p.read_bytes() for p in small.packages.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda r: r["tools"].update(folder="../../outside"),
        lambda r: r["tools"].update(folder="/tmp/outside"),
        lambda r: r["tools"].update(folder="outside"),
        lambda r: r["tools"].update(files=["../../outside"]),
        lambda r: r["tools"].update(files=["/etc/passwd"]),
        lambda r: r["tools"].update(files=["a/b"]),
        lambda r: r["tools"].update(files=[".."]),
        lambda r: r["tools"].update(files=[5]),
        lambda r: r["tools"].update(files="ab"),
        lambda r: r["tools"].update(files=None),
        lambda r: r["probe"].update(sha256="../../outside"),
        lambda r: r["probe"].update(sha256=None),
        lambda r: r.update(tools=[]),
        lambda r: r.pop("probe"),
    ],
)
def test_a_recipe_that_names_places_elsewhere_is_refused(small, staged, tmp_path, edit):
    """An archive may come from anybody, with every checksum right."""
    path = break_hard_link(small.environments / ENVIRONMENT / "recipe/recipe.json")
    (small.environments / ENVIRONMENT / "outside").write_bytes(b"bait")
    (small.environments / "outside").write_bytes(b"bait")
    value = json.loads(path.read_bytes())
    edit(value)
    path.write_bytes(json.dumps(value).encode())
    with pytest.raises(BadArchive):
        staged()
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "w" / "outside").exists()


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff"], ids=repr)
def test_a_recipe_that_is_none_is_malformed(small, staged, data):
    break_hard_link(small.environments / ENVIRONMENT / "recipe/recipe.json").write_bytes(data)
    with pytest.raises(BadArchive):
        staged()


@pytest.mark.parametrize("name", ["Dockerfile", "recipe.json", "probe.tar", "install_wheel.py"])
def test_a_missing_file_of_a_recipe_is_named(small, staged, name):
    (small.environments / ENVIRONMENT / "recipe" / name).unlink()
    with pytest.raises(Missing, match=name):
        staged()


def test_a_link_in_a_recipe_is_refused(small, staged, tmp_path):
    path = small.environments / ENVIRONMENT / "recipe/Dockerfile"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadArchive, match="symbolic link"):
        staged()


# --- the builder ----------------------------------------------------------------------------------


class Builds:
    """Stands for `docker buildx bake`: fails as told, then gives digests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *tails: str, told: object = None) -> None:
        self.calls: list[list[str]] = []
        self.tails = list(tails)

        def run(argv, **more):
            self.calls.append([str(a) for a in argv])
            if self.tails:
                raise proc.ToolFailed("docker", 1, self.tails.pop(0))
            words = self.calls[-1]
            Path(words[words.index("--metadata-file") + 1]).write_bytes(json.dumps(told or {}).encode())
            return proc.Completed(tuple(words), 0, b"", "")

        monkeypatch.setattr(proc, "run", run)


GOOD = {"environment-x": {"containerimage.digest": "sha256:1", "containerimage.config.digest": "sha256:2"}}


def build(folder: Path) -> buildx.Baked:
    return buildx.bake(folder, "x", output="type=image", platform="linux/amd64")


def test_the_digests_are_those_that_the_builder_reports(tmp_path, monkeypatch):
    builds = Builds(monkeypatch, told=GOOD)
    assert build(tmp_path) == buildx.Baked("sha256:1", "sha256:2")
    assert "--no-cache" not in builds.calls[0]
    buildx.bake(tmp_path, "x", output="type=image", platform="linux/amd64", no_cache=True)
    assert "--no-cache" in builds.calls[1]


@pytest.mark.parametrize(
    ("tail", "kind", "exit_code"),
    [
        (
            "ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
            "EngineLost",
            6,
        ),
        (
            "ERROR: failed to receive status: rpc error: code = Unavailable "
            "desc = error reading from server: EOF",
            "EngineLost",
            6,
        ),
        (
            "ERROR: failed to receive status: rpc error: code = Unavailable desc = closing transport due to: "
            'connection error: desc = "error reading from server: read unix @->/x.sock: connection reset"',
            "EngineLost",
            6,
        ),
        ("ERROR: dial unix /x.sock: connect: connection refused", "EngineLost", 6),
        ("ERROR: dial unix /x.sock: connect: no such file or directory", "EngineLost", 6),
        ("write /out/x: no space left on device", "StorageFailed", 7),
        ("ERROR: failed to copy: No space left on device", "StorageFailed", 7),
        (
            "thing-1.0.whl has SHA-256 aa, not bb\nERROR: process did not complete: exit code: 1",
            "BuildFailed",
            4,
        ),
        ("failed to solve: DeadlineExceeded: context deadline exceeded\n" * 2, "BuildFailed", 4),
        ("", "BuildFailed", 4),
    ],
)
def test_why_a_build_failed_is_told_by_who_must_act(tmp_path, monkeypatch, tail, kind, exit_code):
    Builds(monkeypatch, tail, tail, told=GOOD)
    with pytest.raises(TimeproofError) as caught:
        build(tmp_path)
    assert (type(caught.value).__name__, caught.value.exit_code) == (kind, exit_code)


def test_a_builder_that_was_too_busy_to_export_is_asked_once_more(tmp_path, monkeypatch):
    builds = Builds(
        monkeypatch, "ERROR: failed to solve: DeadlineExceeded: context deadline exceeded", told=GOOD
    )
    assert build(tmp_path).manifest == "sha256:1"
    assert len(builds.calls) == 2


def test_any_other_failure_is_not_tried_again(tmp_path, monkeypatch):
    builds = Builds(monkeypatch, "exit code: 1", told=GOOD)
    with pytest.raises(buildx.BuildFailed):
        build(tmp_path)
    assert len(builds.calls) == 1


@pytest.mark.parametrize(
    "told", [{}, {"environment-x": {}}, {"environment-x": None}, {"environment-x": []}], ids=repr
)
def test_a_builder_that_reports_no_digests_is_a_failed_build_with_advice(tmp_path, monkeypatch, told):
    Builds(monkeypatch, told=told or {"other": {}})
    with pytest.raises(buildx.BuildFailed) as caught:
        build(tmp_path)
    assert "containerd" in caught.value.advice


def test_the_instructions_name_the_image_and_every_package(small):
    record = read_environment(small, ENVIRONMENT)
    told = replay_md(record.folder, record.image, record.packages)
    assert record.image.manifest in told
    assert record.image.config in told
    for entry in record.packages:
        assert entry.sha256 in told
