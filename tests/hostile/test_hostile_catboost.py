"""CatBoost files that are cut, false or another's: named, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

catboost = pytest.importorskip("catboost")

from support.catboost_models import numeric  # noqa: E402

import timeproof  # noqa: E402
from timeproof.base.paths import list_tree  # noqa: E402
from timeproof.errors import BadModel, NotArchivable, TimeproofError  # noqa: E402
from timeproof.frameworks.choose import spec_for_file  # noqa: E402
from timeproof.store.layout import Archive  # noqa: E402
from timeproof.testing import archives  # noqa: E402


def written(folder: Path, form: str = "cbm") -> bytes:
    model, _ = numeric()
    model.save_model(str(folder / f"good.{form}"), format=form)
    return (folder / f"good.{form}").read_bytes()


def files_in(archive: Archive) -> list[str]:
    return [path for path in list_tree(archive.root) if not path.endswith(".lock")]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("half.cbm", lambda data: data[: len(data) // 2]),
        ("head.cbm", lambda data: data[:4]),
        ("zeros.cbm", lambda data: data[:8] + bytes(200)),
        ("random.cbm", lambda data: data[:8] + bytes(range(1, 255)) * 4),  # CatBoost aborts the process
        ("flipped.cbm", lambda data: data[:40] + bytes([data[40] ^ 255]) + data[41:]),
        ("newer.cbm", lambda data: data.replace(b"FlabuffersModel_v1", b"FlabuffersModel_v9")),
    ],
)
def test_a_spoilt_file_is_refused_by_the_container_and_nothing_is_published(
    tmp_path: Path, name: str, spoil: Any
) -> None:
    good = written(tmp_path)
    (tmp_path / name).write_bytes(spoil(good))
    assert (tmp_path / name).read_bytes() != good
    archive = Archive(tmp_path / "archive")
    archives.publish_environment(archive)
    before = files_in(archive)
    with pytest.raises(TimeproofError) as caught:
        archives.seal(archive, tmp_path / name, numeric()[1])
    assert caught.value.exit_code in {2, 5}
    assert caught.value.advice
    assert files_in(archive) == before


def test_json_that_is_cut_is_refused_too(tmp_path: Path) -> None:
    data = written(tmp_path, "json")
    (tmp_path / "cut.json").write_bytes(data[: len(data) // 2])
    archive = Archive(tmp_path / "archive")
    archives.publish_environment(archive)
    with pytest.raises(TimeproofError) as caught:
        archives.seal(archive, tmp_path / "cut.json", numeric()[1])
    assert caught.value.exit_code in {2, 5}
    assert not list(archive.refs())


def test_files_are_told_by_their_bytes_whatever_they_are_called(tmp_path: Path) -> None:
    for form in ("cbm", "json"):
        (tmp_path / "x.bin").write_bytes(written(tmp_path, form))
        assert spec_for_file(tmp_path / "x.bin").name == "catboost"
    (tmp_path / "x.cbm").write_bytes(b'{"learner": {}}')
    assert spec_for_file(tmp_path / "x.cbm").name == "xgboost"
    for data in (b'{"other": 1}', b"CBM", b"\x80\x04K\x01."):
        (tmp_path / "x.cbm").write_bytes(data)
        with pytest.raises(NotArchivable) as caught:
            spec_for_file(tmp_path / "x.cbm")
        assert caught.value.advice


def test_a_pickled_model_is_named_and_not_loaded(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "m.pkl").write_bytes(pickle.dumps(numeric()[0]))
    with pytest.raises(BadModel, match=r"pickle of .*CatBoost") as caught:
        timeproof.archive(tmp_path / "m.pkl", numeric()[1], grid_size=1, root=tmp_path / "a")
    assert "archive the object" in caught.value.advice
    assert not (tmp_path / "a").exists()
