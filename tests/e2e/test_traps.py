"""Traps on a real engine: what is refused leaves nothing, what is kept is marked wherever it is shown."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_models
from typer.testing import CliRunner

import timeproof
from timeproof.cli.main import make_app
from timeproof.errors import SealFailed
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.store.layout import Archive
from timeproof.store.verify import verify

pytestmark = pytest.mark.container

DROPS = """
import torch


class Drops(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(4, 3)

    def forward(self, x):
        return torch.nn.functional.dropout(self.lin(x), 0.5)
"""


@pytest.fixture
def archive(
    sealed: Any, copy_of: Callable[..., Archive], started: list[str]
) -> tuple[Archive, dict[str, Any]]:
    there = copy_of(sealed)
    return there, {"grid_size": 3, "root": there.root, "environment": sealed.environment}


def test_dropout_that_is_left_on_seals_only_on_request_and_is_marked(
    archive: tuple[Archive, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, more = archive
    (tmp_path / "e2e_drops.py").write_text(DROPS)
    monkeypatch.syspath_prepend(str(tmp_path))
    from e2e_drops import Drops  # type: ignore[import-not-found]

    before = sorted(map(str, there.refs()))
    with pytest.raises(SealFailed, match=r"two seeds give two answers.*e2e_drops\.py:11"):
        timeproof.archive(Drops(), tiny_models.ROWS, options=PyTorchOptions(onnx=False), **more)
    assert sorted(map(str, there.refs())) == before
    assert verify(there).ok
    done = timeproof.archive(
        Drops(), tiny_models.ROWS, options=PyTorchOptions(onnx=False), keep_random=True, **more
    )
    assert timeproof.replay(str(done.ref), root=there.root).passes(), "one seed gives one answer"
    shown = CliRunner().invoke(make_app(), ["show", str(done.ref), "--archive", str(there.root)])
    assert "kept on request" in shown.output
    assert "random" in shown.output
    del sys.modules["e2e_drops"]


def test_a_conversion_that_is_handed_in_is_measured_in_the_container(
    archive: tuple[Archive, dict[str, Any]], tmp_path: Path
) -> None:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    there, more = archive
    model, rows = tiny_models.leaves()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        made = convert_lightgbm(model, initial_types=[("rows", FloatTensorType([None, 4]))], target_opset=15)
    (tmp_path / "converted.onnx").write_bytes(made.SerializeToString())
    model.booster_.save_model(tmp_path / "trees.txt")
    np.save(tmp_path / "rows.npy", rows)
    words = [
        "archive",
        str(tmp_path / "trees.txt"),
        "--inputs",
        str(tmp_path / "rows.npy"),
        "--grid-size",
        "3",
    ]
    words += ["--archive", str(there.root), "--env", more["environment"]]
    words += ["--copy", f"onnx={tmp_path / 'converted.onnx'}"]
    done = CliRunner().invoke(make_app(), words)
    assert done.exit_code == 0, done.output
    (ref,) = [r for r in there.refs() if str(r).startswith("grid-size-3/lightgbm/v2")]
    shown = CliRunner().invoke(make_app(), ["show", str(ref), "--archive", str(there.root)])
    assert "onnx copy" in shown.output
    assert verify(there).ok
