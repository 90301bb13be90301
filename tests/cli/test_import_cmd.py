"""`timeproof import`, by real imports: what it prints, and what it refuses by the file's name."""

from __future__ import annotations

import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support import tiny_models
from typer.testing import CliRunner

from timeproof.cli.main import make_app
from timeproof.testing.archives import ENVIRONMENT

pytest.importorskip("lightgbm")


def call(*words: object):
    result = CliRunner().invoke(make_app(), ["import", *(str(w) for w in words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def words(small, tmp_path) -> list[object]:
    """A LightGBM model with its inputs and answers; the environment is in the archive already."""
    model, inputs = tiny_models.leaves()
    model.booster_.save_model(tmp_path / "m.txt")
    np.save(tmp_path / "x.npy", inputs)
    np.save(tmp_path / "y.npy", model.booster_.predict(inputs))
    files = ["--inputs", tmp_path / "x.npy", "--expected", tmp_path / "y.npy"]
    return [tmp_path / "m.txt", *files, "-n", 5, "--env", ENVIRONMENT, "-a", small.root]


def test_an_import_names_its_artifact_and_the_second_time_the_one_that_is_there(words):
    first = call(*words)
    assert first.exit_code == 0, first.output
    assert "imported 1: grid-size-5/lightgbm/v1" in first.stdout
    second = call(*words)
    assert (second.exit_code, second.stdout) == (0, "the archive had 1 already, the same to the byte\n")


def test_json_lists_the_artifacts(words):
    assert json.loads(call(*words, "--json", "--tag", "run=1").stdout) == {
        "imported": ["grid-size-5/lightgbm/v1"],
        "there": [],
        "skipped": [],
        "notes": [],
    }


def test_changed_dtypes_are_printed_as_notes(words, tmp_path):
    x, narrow = np.load(tmp_path / "x.npy"), tmp_path / "narrow.npz"
    np.savez(narrow, predict=np.load(tmp_path / "y.npy").round().astype(np.float32))
    assert x.size
    result = call(*words, "--expected", narrow)
    assert result.exit_code == 0, result.output
    assert "note the answer predict is kept as float64, not float32" in result.stdout


@pytest.mark.parametrize("level", ["", "most", "BASIC"])
def test_an_unknown_level_of_optimisation_is_refused_with_the_levels_there_are(words, level):
    result = call(*words, "--graph-optimization", level)
    assert result.exit_code == 2
    assert "disable, basic, extended, all" in result.stderr


@pytest.mark.parametrize("tag", ["run", "=1", ""])
def test_a_tag_without_key_or_value_is_refused(words, tag):
    result = call(*words, "--tag", tag)
    assert result.exit_code == 2
    assert "is not KEY=VALUE" in result.stderr


def damage(path: Path, how: str) -> None:
    """Write an .npz that is damaged in a way of its own."""
    data = path.with_suffix(".npy").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("input.npy", data, zipfile.ZIP_LZMA if how == "lzma" else zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    if how == "lzma":
        raw[43:60] = b"\xff" * 17
    elif how == "name":
        raw[raw.rindex(b"PK\x01\x02") + 9] |= 0x08  # "names are UTF-8"
        raw[raw.rindex(b"input")] = 0xFF
    elif how == "deflate":
        raw[45:60] = b"\xff" * 15
    else:
        del raw[len(raw) // 2 :]
    path.write_bytes(raw)


@pytest.mark.parametrize("how", ["lzma", "name", "deflate", "cut"])
@pytest.mark.parametrize("option", ["--inputs", "--expected"])
def test_a_damaged_file_is_refused_by_its_name(words, tmp_path, small, option, how):
    before = sorted(p for p in small.root.rglob("*") if p.is_file())
    path = tmp_path / "x.npz"
    damage(path, how)
    result = call(*words, option, path)
    assert result.exit_code == 5, result.output
    assert "NotImportable" in result.stderr
    assert str(path) in result.stderr
    assert "Traceback" not in result.output
    assert sorted(p for p in small.root.rglob("*") if p.is_file() and p.suffix != ".lock") == [
        p for p in before if p.suffix != ".lock"
    ]


def test_the_damages_are_those_of_the_decompressors(tmp_path):
    """Each of the damaged files ends in another error of Python's own reader."""
    np.save(tmp_path / "x.npy", np.arange(40.0))
    errors = {}
    for how in ("lzma", "name", "deflate", "cut"):
        damage(tmp_path / "x.npz", how)
        try:
            with zipfile.ZipFile(tmp_path / "x.npz") as archive:
                archive.read(archive.infolist()[0])
        except Exception as error:
            errors[how] = type(error)
    assert errors["lzma"] is lzma.LZMAError
    assert errors["name"] is UnicodeDecodeError
    assert len(set(errors.values())) == 4
