"""A plugin in an environment of its own: the toolkit archives its models, and needs it for nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import timeproof
from timeproof.cli.main import make_app
from timeproof.errors import BadRequest
from timeproof.frameworks.registry import frameworks_in, require_spec, spec_named
from timeproof.regression.plan import make_plan
from timeproof.replaying.flow import replay
from timeproof.store.layout import Archive
from timeproof.store.read import read_metadata
from timeproof.store.verify import verify
from timeproof.testing import archives

pytestmark = pytest.mark.slow

TOY = Path(__file__).parent / "timeproof_toy"
NAME = "toy_linear"
TOOLKIT = Path(timeproof.__file__).parents[1]
MODEL = "LinearModel([[0.5, 1.0], [0.25, -2.0], [3.0, 0.1]], [0.1, 0.2])"
IMPORTS = """
    import sys
    from pathlib import Path
    import numpy as np
    from timeproof_toy import ToyOptions
    from timeproof_toy.linear import LinearModel
    rows = np.linspace(-1, 1, 12).reshape(4, 3)
"""


@dataclass(frozen=True)
class Installed:
    """An environment of its own, that holds the plugin beside what these tests run with."""

    python: Path

    def run(self, *words: str | Path) -> str:
        """Run its Python; give what it prints."""
        run = subprocess.run(
            [self.python, *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(TOOLKIT)},
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def code(self, text: str, *arguments: str | Path) -> str:
        """Run a program that knows `LinearModel`, `ToyOptions` and `rows`."""
        return self.run("-c", textwrap.dedent(IMPORTS) + textwrap.dedent(text), *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the plugin as its user does, without an index."""
    folder = tmp_path_factory.mktemp("plugin") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "tests_own.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(TOY)]
    subprocess.run(pip, check=True, capture_output=True)
    return Installed(python)


@pytest.fixture
def archived(installed: Installed, tmp_path: Path) -> Archive:
    """An archive with one toy model, sealed by the plugin's toolkit without a container."""
    root = tmp_path / "archive"
    installed.code(
        f"""
        from timeproof.frameworks.base import SaveOptions
        from timeproof.store.layout import Archive
        from timeproof.testing import archives
        archive = Archive(sys.argv[1])
        archives.publish_environment(archive)
        archives.seal(archive, {MODEL}, rows, options=SaveOptions(ToyOptions(scale=2.0)))
        """,
        root,
    )
    return Archive(root)


def test_the_plugin_conforms(installed: Installed, tmp_path: Path) -> None:
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, TOY / "tests")
    assert " passed" in installed.run(*words)


def test_doctor_names_what_the_plugin_needs(installed: Installed) -> None:
    listed = installed.run("-c", "from timeproof.frameworks import registry; print(registry.titles())")
    assert "'toy_linear': 'Toy Linear'" in listed


def test_without_the_plugin_its_artifacts_are_listed_and_verified(archived: Archive) -> None:
    assert spec_named(NAME) is None, "the tests' own environment must not hold the plugin"
    (ref,) = archived.refs()
    assert str(ref) == f"grid-size-8/{NAME}/v1"
    metadata = read_metadata(archived, ref)
    assert metadata.framework.title == "Toy Linear"
    assert metadata.framework.distributions == ["numpy"]
    assert metadata.model.options == {"scale": 2.0}
    assert metadata.profile.variables["TOY_ROUNDING"] == "nearest"
    assert metadata.profile.variables["OMP_NUM_THREADS"] == "1"
    assert verify(archived).ok
    for words in (["ls"], ["show", str(ref)], ["verify"], ["verify", str(ref)]):
        result = CliRunner().invoke(make_app(), [*words, "--archive", str(archived.root)])
        assert result.exit_code == 0, result.output
    assert "Unlisted" not in result.output
    assert "Malformed" not in result.output


def test_without_the_plugin_an_image_with_its_loader_replays_it(
    archived: Archive, installed: Installed, tmp_path: Path
) -> None:
    # The loader comes with the image; here the plugin's Python stands for it, and this process for the host.
    probe = tmp_path / "probe"
    installed.code("from timeproof.testing import probe_folder; probe_folder.write(Path(sys.argv[1]))", probe)
    result = replay(archived, [archived.locate(f"grid-size-8/{NAME}")], archives.engine(probe))
    assert [str(one.verdict) for one in result.replayed] == ["identical"]


def test_without_the_plugin_a_regression_finds_the_environments_that_fit(archived: Archive) -> None:
    (ref,) = archived.refs()
    more = {NAME: read_metadata(archived, ref).framework.distributions}
    documents = {"pmml": "2.0", "pfa": "2.0"}  # which NumPy alone evaluates
    assert frameworks_in({"numpy": "2.0"}, more) == {NAME: "2.0", **documents}
    assert frameworks_in({"numpy": "2.0"}) == documents


def test_without_the_plugin_saving_says_what_to_install() -> None:
    with pytest.raises(BadRequest) as caught:
        require_spec(NAME)
    assert f"install the plugin of '{NAME}'" in caught.value.advice


@pytest.mark.container
def test_the_plugin_archives_replays_and_regresses_with_a_real_engine(
    installed: Installed, sealed: Any, copy_of: Callable[[Any], Archive], tmp_path: Path
) -> None:
    archive = copy_of(sealed)
    lock = tmp_path / "toys"
    lock.mkdir()
    for file in ("conda-lock.yml", "environment.yml"):
        (lock / file).write_bytes((archive.environments / sealed.environment / file).read_bytes())
    installed.code(
        f"""
        import timeproof
        more = dict(root=sys.argv[1], environment=sys.argv[2], options=ToyOptions(scale=3.0))
        timeproof.archive({MODEL}, rows, grid_size=3, **more)
        """,
        archive.root,
        lock,
    )
    ref = archive.locate(f"grid-size-3/{NAME}")
    environment = read_metadata(archive, ref).environment.name
    words = ["regress", archive.root, "--artifact", f"*/{NAME}/*", "--env", environment]
    document = installed.run("-m", "timeproof", *words, "--out", tmp_path / "out", "--json")
    assert [cell["verdict"] for cell in json.loads(document)["cells"]] == ["identical"]
    # From here on without the plugin: this process does not hold it.
    assert verify(archive).ok
    assert timeproof.replay(str(ref), root=archive.root).passes()
    plan = make_plan(archive, [environment], [str(ref)])
    assert [cell[0].ref for cell in plan.cells()] == [ref]
