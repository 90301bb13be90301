"""The toolkit's own pip: which options choose an interpreter's wheels, and what its report says."""

from __future__ import annotations

from pathlib import Path

import pytest

from timeproof.base.digests import Digest
from timeproof.environments.pip.client import Pin, Target, download, platform_options, wheel_of
from timeproof.errors import FetchFailed, UnsafePath

SHA256 = "a" * 64


def test_an_interpreter_that_can_run_pip_is_asked_itself() -> None:
    target = Target(Path("/python"), "3.11.7", "x86_64", "2.36")
    assert target.words("install") == (["--python", Path("/python")], [])


def test_an_older_one_is_described() -> None:
    before, after = Target(Path("/python"), "3.6.15", "x86_64", "2.17").words("install")
    assert before == []
    assert after[-2:] == ["--target", "."]
    assert Target(Path("/python"), "3.6.15", "x86_64", "2.17").words("download")[1] == after[:-2]


def test_the_description_names_every_wheel_that_fits() -> None:
    options = list(map(str, platform_options("3.6.15", "x86_64", "2.17")))
    pairs = list(zip(options[::2], options[1::2], strict=True))
    assert ("--python-version", "3.6") in pairs
    assert [value for name, value in pairs if name == "--abi"] == ["cp36m", "abi3", "none"]
    platforms = [value for name, value in pairs if name == "--platform"]
    assert platforms[0] == "manylinux_2_17_x86_64"
    assert platforms[-1] == "linux_x86_64"
    assert "manylinux_2_18_x86_64" not in platforms
    assert "cp38" in platform_options("3.8.1", "x86_64", "2.36")


@pytest.mark.parametrize(
    "archive", [{"hashes": {"sha256": SHA256}}, {"hash": f"sha256={SHA256}"}, {"hashes": {"md5": "x"}}, {}]
)
def test_a_wheel_of_a_report_is_read(archive: dict[str, object]) -> None:
    item = {
        "download_info": {
            "url": "https://x.test/a/My_Pkg-1.0%2Bcpu-py3-none-any.whl",
            "archive_info": archive,
        },
        "metadata": {"name": "My_Pkg", "version": "1.0+cpu", "requires_dist": ["six"]},
    }
    wheel = wheel_of(item)
    assert (wheel.key, wheel.file_name) == ("my-pkg", "My_Pkg-1.0+cpu-py3-none-any.whl")
    assert wheel.requires == ("six",)
    assert wheel.sha256 == (Digest(SHA256) if SHA256 in str(archive) else None)


@pytest.mark.parametrize("name", ["six-1.0.tar.gz", "six.whl", "six-1.0-x.whl"])
def test_only_wheels_are_fetched(tmp_path: Path, name: str) -> None:
    with pytest.raises(FetchFailed, match="is not a wheel"):
        download([Pin("six", "1.0", name, Digest(SHA256))], "3.11", tmp_path)


def test_a_file_name_that_leads_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafePath):
        download([Pin("six", "1.0", "../six-1.0-py3-none-any.whl", Digest(SHA256))], "3.11", tmp_path)
