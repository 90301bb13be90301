"""What `doctor` says of engines and platforms."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from timeproof.cli import machine_checks
from timeproof.cli.main import make_app
from timeproof.engines import platforms
from timeproof.engines import registry as choosing
from timeproof.errors import EngineMissing


def checks(*words: str) -> dict[str, dict[str, object]]:
    told = json.loads(CliRunner().invoke(make_app(), ["doctor", "--json", *words]).stdout)
    return {c["name"]: c for c in told["checks"]} | {"reaped": told.get("reaped")}


def test_engines_that_do_not_work_are_named_with_the_reason_and_a_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    def missing(name: str | None = None) -> None:
        raise EngineMissing(f"{name} is nowhere", advice=f"get {name}")

    monkeypatch.setattr(choosing, "engine_named", missing)
    found = checks("--reap")
    assert "nothing listens there" in str(found["container engine"]["found"])
    for name in ("podman", "none"):
        told = found[f"--engine {name}"]
        assert (told["ok"], told["needed"]) == (False, False)
        assert told["found"] == f"{name} is nowhere"
        assert told["advice"] == f"get {name}"
    assert found["reaped"] == {}


@pytest.mark.parametrize(
    ("arch", "kernel", "buildkit", "ok", "says"),
    [
        ("amd64", [], False, True, "run as they are"),
        ("arm64", ["amd64"], False, True, "by emulation"),
        ("arm64", [], True, True, "by emulation"),
        ("arm64", [], False, False, "the engine is of arm64"),
    ],
)
def test_what_an_engine_can_do_with_images_of_amd64(monkeypatch, arch, kernel, buildkit, ok, says):
    monkeypatch.setattr(platforms, "emulators", lambda: kernel)
    monkeypatch.setattr(machine_checks, "_buildkit_runs", lambda _: buildkit)
    check = machine_checks._platform("docker", arch)
    assert check.ok is ok
    assert says in check.finding
    assert ok or "qemu-user-static" in check.advice


@pytest.mark.container
def test_the_engines_of_this_machine_are_told(real_engine):
    found = checks("--reap")
    assert found["container engine"]["ok"]
    assert found["--engine none"]["ok"], found
    assert "weaker sandbox" in str(found["--engine none"]["found"])
    assert found["images of linux/amd64 in none"]["found"]
    assert set(found["reaped"]) >= {"docker", "none"}
