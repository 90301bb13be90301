"""Names: what may be called a grid size or an artifact, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.archive_making import publish

from timeproof.errors import BadGridSize, BadRequest, NotFound, TimeproofError
from timeproof.store.layout import FIRST_TAGS, NAME, Archive, Ref, check_grid_size

ODD = [0, -3, 2.5, 8.0, "abc", "", "0", "-8", "8.0", " 8", "8\n", "８", "٨", True, False, None, 10**30]
ODD += ["9" * 20, "9" * 5000, [8], b"8", np.float64(8), np.bool_(True), np.array([8, 9]), np.array([[8]])]
ODD += [object(), float("nan")]

names = st.sampled_from(sorted(FIRST_TAGS)) | st.from_regex(NAME, fullmatch=True)
refs = st.builds(Ref, st.integers(1, 10**15), names, st.integers(1, 10**15))


@pytest.mark.parametrize("good", [1, 8, 10**15, "8", "+8", "0012", np.int64(7), np.uint8(200)], ids=repr)
def test_positive_whole_numbers_are_grid_sizes(good):
    assert check_grid_size(good) == int(good)


@pytest.mark.parametrize(
    "bad",
    ODD,
    ids=lambda v: repr(v)[:20],
)
def test_anything_else_is_a_clear_error(bad):
    with pytest.raises(BadGridSize) as caught:
        check_grid_size(bad)
    assert "grid size" in caught.value.message
    assert "whole number" in caught.value.advice
    assert caught.value.exit_code == 2


@given(refs)
def test_a_reference_reads_back_from_its_name(ref):
    assert Ref.parse(str(ref)) == ref


@given(refs)
def test_a_reference_is_read_from_the_path_of_its_metadata(ref):
    assert Ref.parse(ref.metadata) == ref
    assert Ref.parse("/somewhere/else/" + ref.metadata) == ref


@given(st.text(max_size=40))
def test_no_text_is_worse_than_a_bad_request(text):
    try:
        ref = Ref.parse(text)
    except BadRequest:
        return
    assert Ref.parse(str(ref)) == ref


@pytest.mark.parametrize(
    "bad",
    [
        "grid-size-0/pytorch/v1",
        "grid-size-8/pytorch/v0",
        "grid-size-8/TensorFlow/v1",
        "grid-size-8/7flow/v1",
        "grid-size-8/pytorch/v１",
        "grid-size-８/pytorch/v1",
        "grid-size-8/pytorch/v" + "9" * 5000,
        "grid-size-" + "9" * 5000 + "/pytorch/v1",
        "grid-size-8/xgboost/metadata_pt_v1.json",
        "grid-size-8/pytorch/v-1",
        "../grid-size-8",
        "",
        "\x00",
    ],
    ids=lambda v: repr(v)[:40],
)
def test_what_is_no_reference_is_a_bad_request_everywhere(bad, tmp_path):
    with pytest.raises(BadRequest):
        Ref.parse(bad)
    publish(Archive(tmp_path), "pytorch")
    with pytest.raises(TimeproofError) as caught:
        Archive(tmp_path).locate(bad)
    assert caught.value.exit_code == 2


def test_the_newest_version_is_found_by_number_not_by_spelling(tmp_path):
    archive = Archive(tmp_path)
    for _ in range(11):
        publish(archive, "onnx")
    assert archive.locate("grid-size-8/onnx") == Ref(8, "onnx", 11)
    assert [r.version for r in archive.refs()] == list(range(1, 12))


def test_what_is_not_there_says_what_is(tmp_path):
    archive = Archive(tmp_path)
    publish(archive, "onnx")
    publish(archive, "onnx")
    with pytest.raises(NotFound, match="no version 7") as caught:
        archive.locate("grid-size-8/onnx/v7")
    assert "v1, v2" in caught.value.advice
    with pytest.raises(NotFound, match="no xgboost artifact at grid size 8"):
        archive.locate("grid-size-8/xgboost")
    with pytest.raises(NotFound, match="no archive"):
        Archive(tmp_path / "nowhere").locate("grid-size-8/xgboost")


def test_artifacts_of_every_grid_size_are_listed_in_order(tmp_path):
    archive = Archive(tmp_path)
    for grid in (100, 9, 1):
        publish(archive, "xgboost", grid)
    publish(archive, "lightgbm", 9)
    (tmp_path / "grid-size-x").mkdir()
    (tmp_path / "grid-size-007").mkdir()
    assert [str(r) for r in archive.refs()] == [
        "grid-size-1/xgboost/v1",
        "grid-size-9/lightgbm/v1",
        "grid-size-9/xgboost/v1",
        "grid-size-100/xgboost/v1",
    ]
