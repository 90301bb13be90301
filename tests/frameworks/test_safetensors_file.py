"""The header of a `.safetensors` file: what it says is true of the file, or it is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.laws import examples

from timeproof.frameworks.imports import BadData
from timeproof.frameworks.safetensors_file import TensorEntry, parse_header, read_header

WEIGHT = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
SIZES = {"F64": 8, "F32": 4, "BF16": 2, "I8": 1, "BOOL": 1}


def written(folder: Path, header: Any, data: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@examples(50)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(SIZES)), st.lists(st.integers(0, 4), max_size=3)), max_size=5)
)
def test_what_a_header_declares_is_read_as_it_was_declared(kinds: list[tuple[str, list[int]]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    expected, place = {}, 0
    for k, (dtype, shape) in enumerate(kinds):
        size = SIZES[dtype]
        for length in shape:
            size *= length
        header[f"tensor {k}"] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + size]}
        expected[f"tensor {k}"] = TensorEntry(dtype, tuple(shape), place, place + size)
        place += size
    parsed = parse_header(json.dumps(header).encode(), place)
    assert parsed.tensors == expected
    assert parsed.about == {"format": "pt"}
    with pytest.raises(BadData):
        parse_header(json.dumps(header).encode(), place + 1)


def test_a_whole_file_is_read_and_a_cut_one_is_not(tmp_path: Path) -> None:
    path = written(tmp_path, {"weight": WEIGHT}, bytes(24))
    assert read_header(path).tensors["weight"].shape == (2, 3)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadData):
            read_header(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"[1]", "no JSON object"),
        (b"{", "no safetensors file"),
        (b'{"a": 1, "a": 1}', "stands twice"),
        ({"__metadata__": {"format": 1}}, "object of strings"),
        ({"a": {**WEIGHT, "more": 1}}, "not just dtype"),
        ({"a": {**WEIGHT, "dtype": "F31"}}, "which the format does not name"),
        ({"a": {**WEIGHT, "dtype": ["F32"]}}, "which the format does not name"),
        ({"a": {**WEIGHT, "shape": [2, -3]}}, "has the shape"),
        ({"a": {**WEIGHT, "shape": [2, True]}}, "has the shape"),
        ({"a": {**WEIGHT, "data_offsets": [0, 24, 24]}}, "lies at"),
        ({"a": {**WEIGHT, "data_offsets": [24, 0]}}, "not those of F32"),
        ({"a": {**WEIGHT, "shape": [2, 4]}}, "not those of F32"),
        ({"a": WEIGHT, "b": WEIGHT}, "begins at 0, not at 24"),
        ({"a": {**WEIGHT, "data_offsets": [8, 32]}}, "begins at 8, not at 0"),
    ],
)
def test_a_header_that_is_none_is_refused_by_what_is_wrong(tmp_path: Path, header: Any, words: str) -> None:
    with pytest.raises(BadData, match=words):
        read_header(written(tmp_path, header, bytes(24)))


def test_a_header_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as stream:
        stream.write((200_000_000).to_bytes(8, "little") + b"{")
        stream.truncate(300_000_000)
    with pytest.raises(BadData, match="at most"):
        read_header(path)
