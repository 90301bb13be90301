"""Locking an environment.yml: the stock conda-lock over a channel on disk, and a local interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.environment_making import write_repodata

from timeproof.environments.conda.layer import BaseRoot, conda_part
from timeproof.environments.interpreter.package import InterpreterPackage
from timeproof.environments.lock.reading import read_lock
from timeproof.environments.solve.flow import solve
from timeproof.environments.solve.from_interpreter import lock_from_interpreter
from timeproof.errors import LockFailed, Malformed, NotFound
from timeproof.store.packages import PackageStore

pytestmark = pytest.mark.slow


def asked(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "environment.yml").write_text(text)
    return folder


@pytest.mark.slow
@pytest.mark.container
def test_the_stock_conda_lock_solves_for_several_platforms(
    channel: Path, packed: InterpreterPackage, store: PackageStore, tmp_path: Path, base_root: BaseRoot
) -> None:
    folder = asked(
        tmp_path / "env",
        f"name: env\nchannels: ['{channel.as_uri()}', nodefaults]\n"
        f"dependencies: ['python {packed.version}', greeting]\n",
    )
    platforms = [packed.subdir, "osx-arm64"]
    lock = solve(folder, store, platforms)
    assert read_lock(lock.to_bytes(), "x") == lock
    for platform in platforms:
        names = {p.name: p for p in lock.for_platform(platform)}
        assert set(names) == {"python", "greeting", "small-library"}
        assert names["greeting"].dependencies == (("python", ">=3.8"), ("small-library", ""))
    assert str(channel) not in lock.to_bytes().decode()
    assert "file://" not in lock.to_bytes().decode().partition("version: 1")[2]
    for package in lock.packages:
        store.open_verified(package.sha256, package.file_name).close()
    paths = [store.path(p.sha256, p.file_name) for p in lock.for_platform(packed.subdir)]
    conda_part(paths, tmp_path / "part.tar", base_root)
    assert solve(folder, store, platforms).to_bytes() == lock.to_bytes()


@pytest.mark.slow
def test_pip_dependencies_are_locked_by_sha256_too(
    channel: Path, packed: InterpreterPackage, store: PackageStore, tmp_path: Path
) -> None:
    folder = asked(
        tmp_path / "env",
        f"name: env\nchannels: ['{channel.as_uri()}', nodefaults]\n"
        f"dependencies: ['python={packed.version}', {{pip: ['six==1.17.0']}}]\n",
    )
    lock = solve(folder, store, [packed.subdir])
    assert [(p.manager, p.name) for p in lock.packages] == [
        ("conda", "pip"),
        ("conda", "python"),
        ("pip", "six"),
    ]
    store.open_verified(lock.packages[2].sha256, lock.packages[2].file_name).close()


def test_what_has_no_solution_writes_nothing(channel: Path, store: PackageStore, tmp_path: Path) -> None:
    folder = asked(
        tmp_path / "env", f"channels: ['{channel.as_uri()}', nodefaults]\ndependencies: [no-such-thing]\n"
    )
    with pytest.raises(LockFailed, match="No candidates were found for no-such-thing"):
        solve(folder, store, ["linux-64"])
    assert [p.name for p in folder.iterdir()] == ["environment.yml"]  # nor is anything left there


def test_a_channel_whose_bytes_changed_is_refused(
    channel: Path, packed: InterpreterPackage, store: PackageStore, tmp_path: Path
) -> None:
    import shutil

    from timeproof.errors import FetchFailed

    copy = tmp_path / "channel"
    shutil.copytree(channel, copy)
    write_repodata(copy)
    path = next((copy / "noarch").glob("greeting-*.conda"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    folder = asked(
        tmp_path / "env", f"channels: ['{copy.as_uri()}', nodefaults]\ndependencies: [python, greeting]\n"
    )
    with pytest.raises(FetchFailed, match=r"greeting-1\.2-0\.conda.*other bytes"):
        solve(folder, store, [packed.subdir])


def test_a_missing_or_strange_environment_yml_is_named(store: PackageStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"environment\.yml"):
        solve(tmp_path, store)
    with pytest.raises(LockFailed, match="dependencies"):
        solve(asked(tmp_path / "a", "[]"), store)
    with pytest.raises(Malformed):
        solve(asked(tmp_path / "b", "a: 1\na: 2\n"), store)


def test_a_local_interpreter_and_pips_own_resolver(store: PackageStore, tmp_path: Path) -> None:
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = asked(
        tmp_path / "env",
        "name: env\nchannels: [conda-forge]\n"
        f"dependencies: [python={minor}, pip, {{pip: ['jinja2>=3', six]}}]\n",
    )
    lock = lock_from_interpreter(folder / "environment.yml", Path(sys.executable), store)
    assert [p.name for p in lock.packages] == ["python", "jinja2", "markupsafe", "six"]
    jinja = lock.packages[1]
    assert [name for name, _ in jinja.dependencies] == ["markupsafe"]
    assert read_lock(lock.to_bytes(), "x") == lock
    assert lock.dated is not None
    assert lock.dated >= "2024-12-04"  # six 1.17.0, the oldest that could be taken


@pytest.mark.parametrize(
    ("dependencies", "what"),
    [
        ("['python=3.4']", r"wants python=3\.4"),
        ("[python, scipy]", "wants scipy from a conda channel"),
        ("[python, {pip: ['--index-url=x']}]", "not a plain requirement"),
        ("[python, {conda: []}]", "neither a package"),
        ("[python, {pip: ['six==0.0.0.1']}]", "no solution"),
    ],
)
def test_what_a_local_interpreter_cannot_give_is_named(
    store: PackageStore, tmp_path: Path, dependencies: str, what: str
) -> None:
    folder = asked(tmp_path / "env", f"dependencies: {dependencies}\n")
    with pytest.raises(LockFailed, match=what):
        lock_from_interpreter(folder / "environment.yml", Path(sys.executable), store)
