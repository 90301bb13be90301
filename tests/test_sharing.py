"""What the tests' own helpers promise: tiers by imports, folders made once, turns at the engine."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from support.paths import TESTS
from support.sharing import in_use, made_once, turn_at_the_engine
from support.tiers import tiers_of
from support.waiting import HANG_SECONDS, wait_until


@pytest.fixture
def _own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_file_is_in_the_tier_of_what_it_imports_itself_or_through_a_helper(tmp_path: Path) -> None:
    for name, source in (
        ("direct", "import torch"),
        ("skipping", "import pytest\nonnx = pytest.importorskip('onnx')"),
        ("through", "from direct import x"),
        ("browser", "from playwright.sync_api import expect"),
        ("late", "def test():\n    import torch"),
    ):
        (tmp_path / f"{name}.py").write_text(source)
    tiers = {path.stem: set(tiers_of(path)) for path in tmp_path.glob("*.py")}
    assert tiers == {
        "direct": {"framework"},
        "skipping": {"framework"},
        "through": {"framework"},
        "browser": {"browser"},
        "late": set(),
    }
    assert tiers_of(TESTS / "frameworks/test_trees_tables.py") == {"framework"}


def test_many_who_ask_at_once_get_the_folder_that_one_of_them_made(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    makers: list[Path] = []
    folders: list[Path] = []

    def make(folder: Path) -> None:
        makers.append(folder)
        (folder / "content").write_text("whole")

    def ask() -> None:
        folder = made_once(tmp_path_factory, "for-this-test", make)
        assert (folder / "content").read_text() == "whole"
        folders.append(folder)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(makers) == 1
    assert folders == makers * 8


@pytest.mark.usefixtures("_own_locks")
def test_who_is_alone_waits_for_all_others_and_all_others_for_him() -> None:
    order: list[str] = []
    leave, finish = threading.Event(), threading.Event()
    both = threading.Barrier(3, timeout=HANG_SECONDS)

    def share() -> None:
        with turn_at_the_engine(alone=False):
            both.wait()  # two of them are inside at the same time
            leave.wait(HANG_SECONDS)
            order.append("shared")

    def be_alone() -> None:
        with turn_at_the_engine(alone=True):
            order.append("alone begins")
            finish.wait(HANG_SECONDS)
            order.append("alone ends")

    def come_later() -> None:
        with turn_at_the_engine(alone=False):
            order.append("later")

    threads = [threading.Thread(target=share) for _ in range(2)]
    for thread in threads:
        thread.start()
    both.wait()
    threads.append(threading.Thread(target=be_alone))
    threads[-1].start()
    leave.set()
    wait_until(lambda: "alone begins" in order)
    threads.append(threading.Thread(target=come_later))
    threads[-1].start()
    finish.set()
    for thread in threads:
        thread.join(HANG_SECONDS)
    assert order == ["shared", "shared", "alone begins", "alone ends", "later"]


@pytest.mark.usefixtures("_own_locks")
def test_only_the_last_user_is_told_so() -> None:
    with in_use("an image") as second_is_last:
        with in_use("an image") as first_is_last:
            assert not first_is_last()
        assert second_is_last()
