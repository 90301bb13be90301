"""Tables, as people hand them to scikit-learn: taken apart into arrays, and put together as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
from scipy import sparse
from support.sklearn_models import ROWS, WORDS, frame

from timeproof.errors import NotArchivable
from timeproof.frameworks.inputs import Inputs
from timeproof.frameworks.sklearn.probe import frames
from timeproof.frameworks.sklearn.question import MANY_COLUMNS, question_of, read_question


def again(table: object) -> tuple[Any, Inputs]:
    """What the loader makes of the table's arrays."""
    inputs = read_question(table)
    _, question = question_of(inputs)
    assert all(array.dtype.kind in "fiubUmM" and not array.dtype.hasobject for array in inputs.values())
    return frames.assembled(list(inputs.items()), question.options), inputs


def every_type() -> pandas.DataFrame:
    return pandas.DataFrame(
        {
            "f": np.array([1.5, np.nan, -0.0]),
            "half": np.array([1, 2, 3], np.float16),
            "i": np.array([1, 2, 3], np.int8),
            "b": [True, False, True],
            "text": ["a", "", "long enough"],
            "gaps": pandas.Series(["a", None, np.nan], dtype=object),
            "na": pandas.Series(["a", pandas.NA, "b"], dtype="string"),
            "ordered": pandas.Categorical(["s", None, "l"], ["s", "m", "l"], ordered=True),
            "numbered": pandas.Categorical([10, 20, 10]),
            "Int": pandas.array([1, None, 3], dtype="Int16"),
            "Float": pandas.array([1.5, None, 3], dtype="Float32"),
            "maybe": pandas.array([True, None, False], dtype="boolean"),
            "day": pandas.to_datetime(["2026-01-02", None, "2026-03-04"]),
            "took": pandas.to_timedelta(["1 day", "2 s", None]),
        }
    )


def test_a_table_of_every_type_comes_back_as_it_was() -> None:
    table = every_type()
    back, inputs = again(table)
    pandas.testing.assert_frame_equal(back, table, check_index_type=False)
    assert [item is None for item in back["gaps"]] == [False, True, False], "None stays None, and NaN NaN"
    assert list(inputs)[:2] == ["input.f", "input.half"]


def test_a_table_with_an_index_of_its_own_keeps_its_rows() -> None:
    table = frame().sample(frac=1, random_state=0)
    back, _ = again({"birds": table})
    pandas.testing.assert_frame_equal(back, table.reset_index(drop=True))


def test_columns_may_be_numbers_and_may_have_one_name() -> None:
    table = pandas.DataFrame(np.arange(6.0).reshape(3, 2))
    pandas.testing.assert_frame_equal(again(table)[0], table, check_column_type=False)
    twice = pandas.DataFrame(np.arange(6.0).reshape(3, 2), columns=["a", "a"])
    back, inputs = again(twice)
    pandas.testing.assert_frame_equal(back, twice)
    assert list(inputs) == ["input.a", "input.a_2"]


def test_many_columns_of_a_type_share_an_array() -> None:
    table = pandas.DataFrame(np.arange(2.0 * (MANY_COLUMNS + 1)).reshape(2, -1)).add_prefix("x")
    table.insert(3, "word", ["a", "b"])
    back, inputs = again(table)
    pandas.testing.assert_frame_equal(back, table)
    assert [array.shape for array in inputs.values()] == [(2, 1), (2, MANY_COLUMNS + 1)]


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.coo_matrix])
def test_a_sparse_matrix_keeps_what_it_stores(make: Any) -> None:
    matrix = make(np.eye(3))
    back, inputs = again(matrix)
    assert (back != matrix.tocsr()).nnz == 0
    assert list(inputs) == ["input.data", "input.indices", "input.indptr"]


def test_text_comes_as_a_list_as_a_series_and_as_an_array() -> None:
    assert again(WORDS)[0].tolist() == WORDS
    assert again(pandas.Series(WORDS))[0].tolist() == WORDS
    places = frame()[["place"]].to_numpy()
    back, inputs = again(places)
    assert back.dtype == object
    assert [list(row) for row in back] == [list(row) for row in places]
    assert list(inputs) == ["input", "input.missing"]


def test_polars_tables_are_read_as_pandas_has_them() -> None:
    polars = pytest.importorskip("polars")
    back, inputs = again(polars.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}))
    assert back["b"].tolist() == ["x", "y"]
    assert len(inputs) == 2


@pytest.mark.parametrize(
    "table",
    [
        pandas.DataFrame({"a": [[1], [2]]}),
        pandas.DataFrame({"a": pandas.period_range("2026", periods=2, freq="D")}),
        pandas.DataFrame({"a": pandas.to_datetime(["2026-01-01"]).tz_localize("UTC")}),
        pandas.DataFrame({1.5: [1, 2]}),
        pandas.DataFrame({"a": ["nul\0"]}),
        pandas.DataFrame({"a": []}),
        pandas.DataFrame(index=range(3)),
        {"a": np.zeros(3), "b": np.zeros(3)},
        np.float64(3),
        np.zeros((2, 2), complex),
        [{"a": 1}],
        None,
    ],
    ids=lambda table: f"{type(table).__name__}",
)
def test_what_has_no_bytes_that_last_is_refused_with_advice(table: object) -> None:
    with pytest.raises(NotArchivable) as caught:
        read_question(table)
    assert caught.value.advice


def test_the_rows_of_the_helpers_table_are_those_of_its_numbers() -> None:
    assert len(frame()) == ROWS
