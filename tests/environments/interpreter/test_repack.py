"""A lock whose interpreter this machine has not: said so, with the one command that locks again."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from timeproof.base.digests import Digest
from timeproof.cli.main import make_app
from timeproof.environments.fetch import fetch_packages
from timeproof.environments.interpreter import repack
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.lock.reading import read_lock
from timeproof.errors import FetchFailed, InterpreterAbsent
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.verify import verify

pytestmark = pytest.mark.slow

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
run = CliRunner()


def python(version: str) -> Package:
    return Package.stored(
        name="python",
        version=version,
        manager="conda",
        platform="linux-64",
        sha256=Digest.of(b"another machine's"),
        file_name=f"python-{version}-timeproof_000000000000.conda",
    )


def wheel() -> Package:
    return Package.stored(
        name="no-such-thing",
        version="0.0.1",
        manager="pip",
        platform="linux-64",
        sha256=Digest.of(b"x"),
        file_name="no_such_thing-0.0.1-py3-none-any.whl",
    )


def test_it_is_named_with_the_command_that_locks_with_another(store: PackageStore) -> None:
    package = python(platform.python_version())
    with pytest.raises(
        InterpreterAbsent, match=f"no interpreter of this machine is {package.file_name}"
    ) as caught:
        fetch_packages(Lock.make([package]), store, folder=Path("lockfiles/mine"))
    near = repack.nearest(package.version)
    assert near is not None
    assert f"'timeproof lock lockfiles/mine --python {near}'" in caught.value.advice
    assert "--check" in caught.value.advice


def test_where_there_is_none_of_its_kind_the_advice_leaves_it_open(store: PackageStore) -> None:
    assert repack.nearest("3.99.1") is None
    with pytest.raises(InterpreterAbsent) as caught:
        fetch_packages(Lock.make([python("3.99.1")]), store)
    assert "timeproof lock FOLDER --python PYTHON" in caught.value.advice


def test_a_wheel_that_is_missing_too_is_told_first(store: PackageStore) -> None:
    with pytest.raises(FetchFailed, match=r"(?s)no_such_thing.*no interpreter of this machine") as caught:
        fetch_packages(Lock.make([python("3.99.1"), wheel()]), store)
    assert not isinstance(caught.value, InterpreterAbsent)


def test_building_several_names_each_that_could_not_be(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "first/conda-lock.yml").write_bytes(Lock.make([python("3.99.1")]).to_bytes())
    words = ["build", str(tmp_path / "first"), str(tmp_path / "second"), "-a", str(tmp_path / "archive")]
    words += ["--stage", str(tmp_path / "contexts")]
    text = run.invoke(make_app(), words)
    assert text.exit_code == 4
    assert "no interpreter of this machine is python-3.99.1" in text.stdout
    assert f"timeproof lock {tmp_path / 'first'} --python" in text.stdout
    assert f"there is no {tmp_path / 'second'}" in text.stdout
    told = json.loads(run.invoke(make_app(), [*words, "--json"]).stdout)
    assert told["built"] == []
    assert [row["error"] for row in told["failed"]] == ["InterpreterAbsent", "LockFailed"]


@pytest.mark.slow
def test_locking_again_shows_what_changes_and_check_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()

    def ask(six: str) -> None:
        text = f"name: mine\ndependencies: [python={MINOR}, {{pip: ['six=={six}']}}]\n"
        (folder / "environment.yml").write_text(text)

    def lock(*more: str) -> tuple[int, str]:
        words = ["lock", str(folder), "--python", sys.executable, "-a", str(tmp_path / "archive"), *more]
        done = run.invoke(make_app(), words)
        return done.exit_code, done.stdout

    ask("1.17.0")
    assert lock("--json")[0] == 0
    report = verify(Archive(tmp_path / "archive"))
    assert report.ok, "no environment names its packages yet, and that is no fault"
    assert report.leftovers
    assert all(path.startswith("packages/") for path in report.leftovers)
    there = (folder / "conda-lock.yml").read_bytes()
    ask("1.16.0")
    code, text = lock("--check", "--json")
    told = json.loads(text)
    assert (code, told["written"]) == (1, False)
    assert (folder / "conda-lock.yml").read_bytes() == there
    (change,) = told["changes"]
    assert (change["name"], change["change"], change["before"], change["after"]) == (
        "six",
        "version",
        "1.17.0",
        "1.16.0",
    )
    code, text = lock()
    assert code == 0
    assert "1 changed" in text
    assert "six" in text
    assert read_lock((folder / "conda-lock.yml").read_bytes(), "x").packages[1].version == "1.16.0"
    code, text = lock("--check")
    assert (code, "the same as before" in text) == (0, True)
