"""The user's cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from timeproof.base.cachedir import cache_folder


def test_the_users_own_setting_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("remote", "a") == tmp_path / "timeproof" / "remote" / "a"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", [None, ""])
def test_without_a_setting_it_is_in_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if setting is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", setting)
    assert cache_folder() == tmp_path / ".cache" / "timeproof"
