"""What `lock` and `capture` print of real locks, as text and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import REPOSITORY

from timeproof.cli import capture_cmd, lock_cmd
from timeproof.environments.capture.flow import CapturedEnvironment
from timeproof.environments.lock.difference import differences
from timeproof.environments.lock.document import Lock
from timeproof.environments.lock.reading import read_lock

PATH = Path("lockfiles/x/conda-lock.yml")


def lock_of(name: str) -> Lock:
    path = REPOSITORY / "lockfiles" / name / "conda-lock.yml"
    return read_lock(path.read_bytes(), path)


@pytest.fixture(scope="module")
def old() -> Lock:
    return lock_of("lightgbm-4.0.0")


@pytest.fixture(scope="module")
def new() -> Lock:
    return lock_of("lightgbm-4.1.0")


def test_a_first_lock_says_how_many_packages_it_has(old, capsys):
    lock_cmd._print(old, PATH, None, written=True)
    text = capsys.readouterr().out
    assert text == f"locked {len(old.packages)} packages for linux-64 into {PATH}\n"
    assert lock_cmd._as_json(old, PATH, None, written=True)["changes"] is None


def test_an_equal_lock_is_said_to_be_the_same(old, capsys):
    lock_cmd._print(old, PATH, (), written=False)
    text = capsys.readouterr().out
    assert text.startswith("would lock ")
    assert text.endswith(", the same as before\n")
    assert lock_cmd._as_json(old, PATH, (), written=False) == {
        "lock": str(PATH),
        "lock_sha256": old.digest.hex,
        "dated": old.dated,
        "platforms": ["linux-64"],
        "packages": len(old.packages),
        "written": False,
        "changes": [],
    }


def test_changes_are_listed_with_both_versions(old, new, capsys):
    changes = differences(old, new)
    assert changes
    lock_cmd._print(new, PATH, changes, written=True)
    text = capsys.readouterr().out
    assert "lightgbm" in text
    assert "4.0.0" in text
    assert "4.1.0" in text
    assert f", {len(changes)} changed" in text
    assert len(lock_cmd._as_json(new, PATH, changes, written=True)["changes"]) == len(changes)


def test_a_lock_that_can_not_be_read_is_as_good_as_none(tmp_path, old):
    assert lock_cmd._read_earlier(tmp_path / "nowhere.yml") is None
    for text in ("", "- a list", "version: 1\n", "\0"):
        (tmp_path / "conda-lock.yml").write_text(text)
        assert lock_cmd._read_earlier(tmp_path / "conda-lock.yml") is None
    assert lock_cmd._read_earlier(REPOSITORY / "lockfiles/lightgbm-4.0.0/conda-lock.yml") == old


def test_a_capture_lists_what_was_left_out_by_its_reason(old, capsys):
    left_out = (("timeproof", "not needed"), *((f"tool{k}", "an [installer]") for k in range(6)))
    captured = CapturedEnvironment(old, "name: x\n", left_out, "3.11.7", (), ())
    capture_cmd._print(captured, PATH, 1_400_000)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"locked {len(old.packages)} packages, 1.4 MB, into {PATH}"
    assert second == "  left out: timeproof: not needed"
    assert third == "  left out: tool0, tool1, tool2, tool3 and 2 more: an [installer]"
    document = capture_cmd._as_json(captured, PATH.parent)
    assert (document["folder"], document["python"]) == (str(PATH.parent), "3.11.7")
    assert [package["sha256"] for package in document["packages"]] == [p.sha256.hex for p in old.packages]
    assert document["left_out"][0] == ["timeproof", "not needed"]
