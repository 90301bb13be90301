"""The names of an XGBoost model's features, read from the bytes of its file."""

from __future__ import annotations

import pytest
from support.mlflow_folders import folder

from timeproof.frameworks.xgboost.model_file import feature_names

MARK = b"L\x00\x00\x00\x00\x00\x00\x00\rfeature_names[#L"


def test_names_are_read_from_ubjson_as_from_json():
    assert feature_names(folder("xgboost_frame") / "model.ubj") == ("a", "b", "c", "d")
    assert feature_names(folder("xgboost_ubj") / "model.ubj") == ()


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\x00\x00\x00\x00\x00\x00\x00\x02SL\x00\x00\x00\x00\x00\x00\x00\x01a",
        b"\xff" * 8 + b"SL" + b"\xff" * 8,
        b"\x00\x00\x00\x00\x00\x00\x00\x01SL\x00\x00\x00\x00\x00\x00\x00\x01\xff",
        b"\x00\x00\x00\x00\x00\x00\x00\x01C",
    ],
)
def test_a_damaged_file_names_none(tmp_path, rest):
    (tmp_path / "m.ubj").write_bytes(b"{" + MARK + rest)
    assert feature_names(tmp_path / "m.ubj") == ()
