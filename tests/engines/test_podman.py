"""The options that podman's command line is given: all of them, by name."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from timeproof.engines import ownership_labels
from timeproof.engines.podman import Podman, _create
from timeproof.engines.protocol import Mount, RunSpec
from timeproof.errors import EngineFailed, EngineMissing


def options(words: list[str]) -> dict[str, list[str]]:
    """Each option with its values; a flag has an empty one."""
    table: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, sign, value = word.partition("=")
        table.setdefault(name, []).append(
            value if sign else rest.pop(0) if rest and not rest[0].startswith("--") else ""
        )
    return table


def test_every_confinement_is_asked_for(tmp_path: Path) -> None:
    spec = RunSpec("IMAGE", ("a", "b"), {"A": "1"}, (Mount(tmp_path, "/mounted"),), memory=1000, pids=7)
    words = _create(spec, "")
    assert words[-3:] == ["IMAGE", "a", "b"]
    table = options(words[:-3])
    labels = table.pop("--label")
    limits = table.pop("--ulimit")
    assert table == {
        "--pull": ["never"], "--network": ["none"], "--read-only": [""], "--read-only-tmpfs": ["false"],
        "--cap-drop": ["ALL"], "--security-opt": ["no-new-privileges"], "--user": ["65534:65534"],
        "--tmpfs": [f"/tmp:{spec.tmp_options}"], "--workdir": ["/tmp"], "--pids-limit": ["7"],
        "--memory": ["1000"], "--memory-swap": ["1000"], "--log-driver": ["none"], "--no-hosts": [""],
        "--no-healthcheck": [""], "--env": ["A=1"],
        "--mount": [f"type=bind,source={tmp_path},target=/mounted,readonly"],
    }  # fmt: skip
    assert {"nofile=4096:4096", "msgqueue=0:0"} <= set(limits)
    (processes,) = (limit for limit in limits if limit.startswith("nproc="))
    most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    assert int(processes.split(":")[1]) <= (4096 if most == resource.RLIM_INFINITY else most)
    names = [label.partition("=")[0] for label in labels]
    assert names == [ownership_labels.LABEL, ownership_labels.OWNER, ownership_labels.UNTIL]


def test_a_network_an_entry_point_and_a_platform_are_named_where_they_are_wanted() -> None:
    spec = RunSpec("IMAGE", entrypoint=("/x", "y"), network="bridge", tmp_programs=True)
    table = options(_create(spec, "linux/arm64")[:-1])
    assert table["--network"] == ["private"]
    assert json.loads(table["--entrypoint"][0]) == ["/x", "y"]
    assert table["--platform"] == ["linux/arm64"]
    assert table["--tmpfs"][0].endswith(",exec")
    assert options(_create(RunSpec("IMAGE", network="host"), "")[:-1])["--network"] == ["host"]


def test_a_path_that_podman_can_not_spell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="holds a comma"):
        _create(RunSpec("IMAGE", mounts=(Mount(tmp_path / "a,b", "/x"),)), "")


def test_where_podman_is_not_installed_it_is_missing() -> None:
    with pytest.raises(EngineMissing, match="not-podman is not installed") as caught:
        Podman("not-podman").version()
    assert "install podman" in caught.value.advice
