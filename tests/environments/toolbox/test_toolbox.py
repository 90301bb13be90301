"""What a container is given to run the toolkit's own programs: enough, and nothing that can be written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from timeproof.environments.toolbox import toolbox
from timeproof.environments.toolbox.frames import PLACE
from timeproof.environments.toolbox.host_runtime import own_interpreter, sites
from timeproof.errors import EngineFailed

PROGRAMS = (
    "timeproof.environments.conda.layer_program",
    "timeproof.environments.solve.container_program",
    "timeproof.environments.solve.conda_shim",
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_code_that_is_copied_is_all_that_a_program_imports(program: str, tmp_path: Path) -> None:
    """As inside: no installed toolkit beside the copy, since .pth files of mounted folders are not read."""
    toolbox._own_code(tmp_path)
    code = f"import {program} as program; print(program.__file__)"
    path = os.pathsep.join(map(str, [tmp_path, *sites()]))
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))


@pytest.fixture
def tools(tmp_path: Path) -> toolbox.Toolbox:
    (tmp_path / "toolbox").mkdir()
    return toolbox.prepare(tmp_path / "toolbox")


def test_the_interpreter_is_started_by_the_loader_of_this_machine(tools: toolbox.Toolbox) -> None:
    loader, option, libraries, program = tools.words
    assert (option, libraries) == ("--library-path", f"{PLACE}/lib")
    assert loader.startswith(f"{PLACE}/lib/ld-")
    assert program == toolbox.program_of(0, own_interpreter())
    assert all(mount.target.startswith(f"{PLACE}/") for mount in tools.mounts)
    assert all(mount.source.exists() for mount in tools.mounts)
    assert all(path.startswith(f"{PLACE}/") for path in tools.env["PYTHONPATH"].split(":"))


def test_the_container_s_user_can_read_what_was_prepared(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        (tmp_path / "toolbox").mkdir()
        toolbox.prepare(tmp_path / "toolbox")
    finally:
        os.umask(before)
    for path in (tmp_path / "toolbox").rglob("*"):
        wanted = 0o555 if path.is_dir() else 0o444
        assert stat.S_IMODE(path.stat().st_mode) & wanted == wanted, path


def test_certificates_are_the_user_s_own_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    assert toolbox.certificates() != tmp_path / "own.pem", "it is not there"
    (tmp_path / "own.pem").write_text("a certificate")
    assert toolbox.certificates() == tmp_path / "own.pem"


def test_an_interpreter_that_is_no_program_of_linux_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("not a 64-bit ELF file")

    monkeypatch.setattr(toolbox, "libraries", fail)
    with pytest.raises(EngineFailed, match="can't be run in a container: not a 64-bit"):
        toolbox.prepare(tmp_path)
