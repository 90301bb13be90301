"""A .skops file's bytes follow from the object alone, and what they name is read without loading anything."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from support.laws import examples
from support.sklearn_models import KINDS, NUMBERS, TARGET, WORDS, pipeline

from timeproof.errors import NotArchivable
from timeproof.frameworks.sklearn import dumping, skops_file
from timeproof.frameworks.sklearn.probe import schema

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_ARRAYS = arrays.arrays(st.sampled_from(["<f8", "<i4", "<U3"]), st.integers(0, 4))
_RECORDS = arrays.arrays(np.dtype([("a", "u1"), ("b", "<f8")], align=True), 3)
_VALUES = st.recursive(
    _PLAIN | _ARRAYS | _RECORDS | st.sets(st.text(max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


def written(model: object) -> bytes:
    data, _ = dumping.dump(model)
    return data


@examples(60)
@given(_VALUES)
def test_equal_parameters_give_equal_bytes_that_hold_them(value: Any) -> None:
    estimator = FunctionTransformer(kw_args={"value": value})
    data = written(estimator)
    assert data == written(estimator)
    assert data == written(copy.deepcopy(estimator))
    assert data == skops_file.normalised(data)
    loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    assert data == written(loaded)
    np.testing.assert_equal(loaded.kw_args["value"], value)


def fitted() -> dict[str, Any]:
    return {
        "forest": RandomForestClassifier(3, random_state=0).fit(NUMBERS, KINDS),
        "boosting": HistGradientBoostingRegressor(max_iter=3, random_state=0).fit(NUMBERS, TARGET),
        "table": pipeline(LogisticRegression()),
        "text": make_pipeline(TfidfVectorizer(stop_words=["the"]), LogisticRegression()).fit(WORDS, KINDS),
    }


def test_a_model_its_copy_and_what_is_loaded_back_have_the_same_bytes() -> None:
    for name, model in fitted().items():
        data = written(model)
        loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
        assert data == written(copy.deepcopy(model)) == written(loaded), name


def test_two_processes_that_hash_text_otherwise_write_the_same_bytes() -> None:
    code = (
        "import hashlib\nfrom frameworks.test_sklearn_skops_file import fitted, written\n"
        "print([hashlib.sha256(written(model)).hexdigest() for model in fitted().values()])\n"
    )
    folder = os.path.dirname(os.path.dirname(__file__))
    runs = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([folder, *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_stock_skops_reads_what_is_written_and_answers_the_same() -> None:
    model = fitted()["table"]
    data = written(model)
    assert schema.read_packed  # the reader that the container uses, too
    types = skops_file.read_bytes(data)
    assert types["_skops_version"] == skops.__version__


class Shift(FunctionTransformer):
    """A class of a user's own."""


def double(x: Any) -> Any:
    return x * 2


@pytest.mark.parametrize(
    ("step", "word"),
    [
        (FunctionTransformer(lambda x: x), "<lambda>"),
        (FunctionTransformer(double), "double"),
        (Shift(), "Shift"),
        (FunctionTransformer(np.load), "numpy.load"),
        (FunctionTransformer(eval), "builtins.eval"),
        (FunctionTransformer(os.system), "system"),
    ],
)
def test_own_code_and_what_does_more_than_calculate_is_refused_by_name(step: Any, word: str) -> None:
    with pytest.raises(NotArchivable) as caught:
        dumping.dump(make_pipeline(step, LogisticRegression()))
    assert word in caught.value.message
    assert "ONNX" in caught.value.advice


def test_numpys_functions_that_calculate_are_stored() -> None:
    _, types = dumping.dump(FunctionTransformer(np.log1p, inverse_func=np.expm1))
    assert any(name.endswith(".log1p") for name in types)
    assert "sklearn.preprocessing._function_transformer.FunctionTransformer" in types
