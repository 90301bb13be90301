"""Which environment a name or a folder means, and what is refused before anything is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.paths import REPOSITORY

from timeproof.errors import BadArchive, BadRequest, LockFailed, NotFound
from timeproof.runs.environment_provider import by_name, choose, read_lock_folder
from timeproof.testing.archives import ENVIRONMENT, publish_environment


def test_a_folder_name_means_that_environment_and_a_name_the_newest_one(small):
    publish_environment(small, "other", "thing-2.0")
    assert by_name(small, ENVIRONMENT).folder == ENVIRONMENT
    assert by_name(small, "small").folder == ENVIRONMENT
    assert by_name(small, "other").name == "other"
    assert choose(small, "other") == by_name(small, "other")


def test_an_unknown_name_is_refused_with_the_names_there_are(small):
    for name in ("unknown", "smal", ENVIRONMENT[:-1]):
        with pytest.raises(NotFound) as caught:
            choose(small, name)
        assert ENVIRONMENT in caught.value.advice


def test_an_environment_and_an_interpreter_exclude_each_other(small):
    with pytest.raises(BadRequest, match="are both named"):
        choose(small, ENVIRONMENT, python=Path(sys.executable))


def test_a_folder_without_a_lock_is_refused_with_the_command_that_makes_one(small, tmp_path):
    with pytest.raises(LockFailed) as caught:
        choose(small, tmp_path)
    assert f"timeproof lock {tmp_path}" in caught.value.advice


def test_a_lock_is_read_with_its_request_where_there_is_one(tmp_path):
    folder = REPOSITORY / "lockfiles" / "lightgbm-4.0.0"
    lock, request = read_lock_folder(folder)
    assert "lightgbm" in {package.name for package in lock.packages}
    assert request == (folder / "environment.yml").read_text()
    (tmp_path / "conda-lock.yml").write_bytes((folder / "conda-lock.yml").read_bytes())
    assert read_lock_folder(tmp_path) == (lock, "")


def test_a_lock_that_is_none_is_refused_by_its_path(tmp_path):
    (tmp_path / "conda-lock.yml").write_text("- a list")
    with pytest.raises(BadArchive, match=r"conda-lock\.yml") as caught:
        read_lock_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)
