"""Capturing real virtual environments: what belongs, and every way in which one can't be captured."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.environment_making import pip, run

from timeproof.environments.capture.flow import CapturedEnvironment, capture
from timeproof.environments.interpreter.inspection import inspect
from timeproof.environments.lock.reading import read_lock
from timeproof.errors import NotCapturable, NotFound
from timeproof.store.packages import PackageStore

pytestmark = pytest.mark.slow

Venv = Callable[..., Path]
CODE = "import six, packaging; print(six.__name__)"


def site(python: Path) -> Path:
    return inspect(python).folders[0]


def refusal(python: Path, store: PackageStore) -> list[str]:
    with pytest.raises(NotCapturable) as caught:
        capture(python, store, name="t")
    return list(caught.value.problems)


def small_wheel(folder: Path, name: str = "homemade", *, module: bytes = b"x = 1\n") -> Path:
    """Build a wheel that no index has."""
    source = folder / f"{name}-source"
    source.mkdir()
    (source / f"{name}.py").write_bytes(module)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n'
    )
    # A build backend of a few lines: no index is needed to build with it.
    (source / "backend.py").write_text(
        f"""
import base64, hashlib, pathlib, zipfile
NAME = {name!r}
def _write(folder, editable):
    here = pathlib.Path(__file__).parent
    body = {{
        f"{{NAME}}-1.0.dist-info/METADATA":
            f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: 1.0\\n".encode(),
        f"{{NAME}}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    if editable:
        body[f"__editable__{{NAME}}.pth"] = str(here).encode()
    else:
        body[f"{{NAME}}.py"] = (here / f"{{NAME}}.py").read_bytes()
    rows = []
    path = pathlib.Path(folder) / f"{{NAME}}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for key, data in body.items():
            wheel.writestr(key, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{{key}},sha256={{digest}},{{len(data)}}")
        record = f"{{NAME}}-1.0.dist-info/RECORD"
        wheel.writestr(record, "\\n".join([*rows, record + ",,"]) + "\\n")
    return path.name
def build_wheel(folder, settings=None, metadata=None):
    return _write(folder, False)
def build_editable(folder, settings=None, metadata=None):
    return _write(folder, True)
"""
    )
    run(sys.executable, "-I", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source)
    return next(folder.glob(f"{name}-*.whl"))


def test_a_virtual_environment_is_captured_to_exact_files(venv: Venv, store: PackageStore) -> None:
    python = venv("six", "packaging")
    captured = capture(python, store, name="small")
    assert isinstance(captured, CapturedEnvironment)
    names = [(p.manager, p.name) for p in captured.lock.packages]
    assert names == [("conda", "python"), ("pip", "packaging"), ("pip", "six")]
    for package in captured.lock.packages:
        store.open_verified(package.sha256, package.file_name).close()
    assert read_lock(captured.lock.to_bytes(), "x") == captured.lock
    assert captured.environment_yml.startswith("name: small\n")
    assert f"- python={captured.python_version}\n" in captured.environment_yml
    assert "  - six==" in captured.environment_yml
    text = captured.lock.to_bytes().decode()
    assert str(Path(sys.base_prefix)) not in text
    assert "file://" not in text.partition("version: 1")[2]
    assert capture(python, store, name="small").lock == captured.lock


def test_installers_are_left_out_and_said_to_be(venv: Venv, store: PackageStore) -> None:
    captured = capture(venv("six", "pip", "setuptools"), store, name="t", without=["six"])
    assert [p.name for p in captured.lock.packages] == ["python"]
    left = dict(captured.left_out)
    assert left["six"] == "left out on request"
    assert "installer" in left["pip"]
    assert "installer" in left["setuptools"]


def test_scripts_and_data_files_are_part_of_the_proof(venv: Venv, store: PackageStore) -> None:
    # numpy brings compiled code and scripts; its entry points are made by pip, and exempt.
    python = venv("numpy")
    captured = capture(python, store, name="t")
    assert [p.name for p in captured.lock.packages] == ["python", "numpy"]


def test_one_changed_byte_of_an_installed_file_is_named(venv: Venv, store: PackageStore) -> None:
    python = venv("six", "packaging")
    path = site(python) / "packaging" / "version.py"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    problems = refusal(python, store)
    assert len(problems) == 1
    assert "packaging/version.py is not the wheel's" in problems[0]
    assert "pip install --force-reinstall --no-deps packaging==" in problems[0]


def test_a_change_that_the_installed_record_covers_up_is_still_found(venv: Venv, store: PackageStore) -> None:
    python = venv("six")
    folder = site(python)
    (folder / "six.py").write_text("evil = 1\n")
    (record,) = folder.glob("six-*.dist-info/RECORD")
    lines = [line for line in record.read_text().splitlines() if not line.startswith("six.py,")]
    record.write_text("\n".join([*lines, "six.py,,"]) + "\n")
    assert "six.py is not the wheel's" in refusal(python, store)[0]


def test_every_problem_is_named_in_one_error(venv: Venv, store: PackageStore, tmp_path: Path) -> None:
    python = venv("six", "packaging", "idna", small_wheel(tmp_path, "vanished"))
    editable = tmp_path / "edited"
    editable.mkdir()
    small_wheel(editable, "edited")
    pip(python, "install", "--no-deps", "--no-build-isolation", "-e", editable / "edited-source")
    folder = site(python)
    (folder / "six.py").unlink()
    next(folder.glob("packaging-*.dist-info/RECORD")).unlink()
    (folder / "idna" / "extra.py").write_text("x = 1\n")
    (tmp_path / "vanished-1.0-py3-none-any.whl").unlink()
    problems = "\n".join(refusal(python, store))
    assert "edited 1.0 is an editable install" in problems
    assert "six.py is missing" in problems
    assert "packaging" in problems
    assert "without a RECORD" in problems
    assert "idna/extra.py: code that no distribution brought" in problems
    assert "vanished 1.0: no index in use has a wheel of it (it was installed from file://" in problems


def test_a_local_wheel_that_is_still_there_is_captured(
    venv: Venv, store: PackageStore, tmp_path: Path
) -> None:
    wheel = small_wheel(tmp_path)
    captured = capture(venv(wheel), store, name="t")
    (package,) = [p for p in captured.lock.packages if p.manager == "pip"]
    with store.open_verified(package.sha256, package.file_name) as stream:
        assert stream.read() == wheel.read_bytes()


def test_a_local_wheel_that_has_changed_since_is_refused(
    venv: Venv, store: PackageStore, tmp_path: Path
) -> None:
    wheel = small_wheel(tmp_path)
    python = venv(wheel)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("more.py", "")
    assert "homemade 1.0: no index in use" in refusal(python, store)[0]


def test_code_without_a_distribution_is_named(venv: Venv, store: PackageStore) -> None:
    python = venv("six")
    (site(python) / "copied_in.py").write_text("x = 1\n")
    (site(python) / "hook.pth").write_text("import os\n")
    problems = refusal(python, store)
    assert [p.split(": ")[1] for p in problems] == ["copied_in.py", "hook.pth"]


def test_caches_and_tools_own_files_are_no_problem(venv: Venv, store: PackageStore) -> None:
    python = venv("six", "packaging")
    run(python, "-c", CODE)  # makes __pycache__
    (site(python) / "_virtualenv.py").write_text("")
    capture(python, store, name="t")


def test_what_is_not_an_interpreter_is_refused(store: PackageStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        capture(tmp_path / "python", store, name="t")


@pytest.mark.parametrize("minor", ["3.6", "3.8"])
def test_older_interpreters_are_captured_with_their_own_wheels(
    minor: str, sibling: Callable[[str], Path], venv: Venv, store: PackageStore
) -> None:
    other = sibling(minor)
    wheels = "six" if minor == "3.6" else "markupsafe==2.1.5"
    if minor == "3.6":
        python = venv(of=other)
        run(
            sys.executable,
            "-I",
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-compile",
            "--target",
            site(python),
            wheels,
        )
    else:
        python = venv(wheels, of=other)
    captured = capture(python, store, name="old")
    (wheel,) = [p for p in captured.lock.packages if p.manager == "pip"]
    assert captured.python_version.startswith(minor + ".")
    assert wheel.file_name.endswith(".whl")
    if minor == "3.8":
        assert "cp38" in wheel.file_name


def test_a_virtual_environment_of_debians_python_is_captured(
    system_python: Path, venv: Venv, store: PackageStore
) -> None:
    captured = capture(venv("six", of=system_python), store, name="t")
    assert [p.name for p in captured.lock.packages] == ["python", "six"]


def test_debians_own_distributions_are_refused_in_one_line(system_python: Path, store: PackageStore) -> None:
    if not any(d.name == "six" for d in inspect(system_python).distributions):
        pytest.skip("apt installed no distribution here that an index has, too")
    (problem,) = refusal(system_python, store)
    assert "were installed by apt in" in problem
    assert "six" in problem
    assert "make a virtual environment" in problem
