"""One table, as the libraries of trees take it: an array, a pandas DataFrame, a sparse matrix.

What the Booster is fed with is what is stored: categories as the numbers that the model itself knows them
by, missing values as NaN, a sparse matrix by its own arrays, since what it leaves out is 0 for LightGBM and
missing for XGBoost. No library is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, comes_from, json_values
from timeproof.frameworks.inputs import Inputs, Table, normalise_inputs

SPARSE_PARTS = ("data", "indices", "indptr")

# Column → the categories that the model was trained with, in the order of their numbers. A column that
# is not in it has the numbers of its own categories.
Trained = Mapping[int, Sequence[Any]]


def read_table(
    original: object,
    framework: str,
    trained: Callable[[Any], Trained],
    *,
    column_name: Callable[[Any], str] = str,
    only_trained: bool = False,
) -> Inputs:
    """Read the one table that a model of trees is asked with.

    Args:
        given: what the user handed in: a table, or a mapping from one name to it, or a list of one.
        framework: as a sentence names it, article included: "a LightGBM".
        trained: gives the model's categories for a DataFrame.
        column_name: how the library spells the name of a column.
        only_trained: refuse a category that the model was not trained with; otherwise it is a missing value.

    Raises:
        NotArchivable: it is no table of numbers.
    """
    name, table = single_table(original)
    if is_frame(table):
        frame = as_pandas(table, name)
        categories = trained(frame)
        if only_trained:
            _check_trained(frame, categories)
        array, features = _of_frame(frame, name, framework, categories, column_name)
        return Inputs({name: array}, original=table, table=Table(features))
    if is_sparse(table):
        return _of_sparse(table, name, framework)
    inputs = normalise_inputs(original)
    array = one_table(inputs, framework)
    plain = isinstance(table, (np.ndarray, list, tuple)) and not comes_from(table, "torch")
    # Neither library reads tensors and the like: such a table is asked with as an array.
    return Inputs(inputs, original=table if plain else array, table=Table())


def single_table(original: object) -> tuple[str, Any]:
    """Give the one table's name and the table, as `normalise_inputs` finds them."""
    if isinstance(original, Mapping) and len(original) == 1:
        ((name, table),) = original.items()
        return str(name), table
    if isinstance(original, (list, tuple)) and len(original) == 1:
        (item,) = original
        if not isinstance(item, (int, float, list)):
            return "input", item
    return "input", original


def is_pandas(table: object) -> bool:
    return comes_from(table, "pandas", frozenset({"DataFrame"})) and hasattr(table, "iloc")


def is_frame(table: object) -> bool:
    """Say whether it is a table with names: pandas', Polars', Arrow's."""
    return (
        is_pandas(table)
        or comes_from(table, "polars", frozenset({"DataFrame"}))
        or comes_from(table, "pyarrow", frozenset({"Table"}))
    )


def as_pandas(table: Any, name: str) -> Any:
    """Give a table with names as pandas' own. Raises NotArchivable."""
    if is_pandas(table):
        return table
    try:
        return table.to_pandas()
    except Exception as error:  # pandas or pyarrow is missing, or a type has no like there
        raise NotArchivable(
            f"the input {name!r} can't be read as a pandas DataFrame: {error}",
            advice="install pandas and pyarrow beside the model, or give the table as a pandas DataFrame",
        ) from error


def is_sparse(table: object) -> bool:
    return comes_from(table, "scipy.sparse") and hasattr(table, "tocsr")


def one_table(inputs: Mapping[str, Array], framework: str) -> Array:
    """Give the one input, numbers `[rows, columns]`. Raises NotArchivable for anything else.

    Args:
        framework: as a sentence names it, article included: "a LightGBM".
    """
    if len(inputs) != 1:
        raise NotArchivable(
            f"{framework} model takes one table, not {len(inputs)} inputs",
            advice="give one array [rows, columns]",
        )
    (table,) = inputs.values()
    if table.ndim != 2 or table.dtype.kind not in "fiub":
        raise NotArchivable(
            f"{framework} model takes a table of numbers, not {table.dtype} of shape {list(table.shape)}",
            advice="give one array [rows, columns] of numbers",
        )
    return table


def categorical_columns(frame: Any) -> list[int]:
    """The places of a DataFrame's columns of categories."""
    return [k for k, dtype in enumerate(frame.dtypes) if _is_category(dtype)]


def _is_category(dtype: object) -> bool:
    return comes_from(dtype, "pandas", frozenset({"CategoricalDtype"}))


def _of_sparse(matrix: Any, name: str, framework: str) -> Inputs:
    """Take a sparse matrix apart; formats other than csr and csc become csr, as both libraries do it."""
    form = matrix.format if matrix.format in {"csr", "csc"} else "csr"
    compressed = matrix if matrix.format == form else matrix.tocsr()
    if compressed.ndim != 2 or compressed.dtype.kind not in "fiub" or not compressed.shape[0]:
        raise NotArchivable(
            f"{framework} model takes a table of numbers, not a sparse matrix of {compressed.dtype} and of"
            f" shape {list(compressed.shape)}",
            advice="give the matrix [rows, columns] of numbers that you give to the model itself",
        )
    arrays = {f"{name}.{part}": np.array(getattr(compressed, part), order="C") for part in SPARSE_PARTS}
    shape: list[Json] = [int(size) for size in compressed.shape]
    return Inputs(arrays, original=matrix, table=Table(sparse={"format": form, "shape": shape}))


def _of_frame(
    frame: Any, name: str, framework: str, trained: Trained, column_name: Callable[[Any], str]
) -> tuple[Array, tuple[Mapping[str, Json], ...]]:
    """Give a DataFrame's numbers as both libraries read them, and what its columns are."""
    columns, features, strange = [], [], []
    for k, (label, dtype) in enumerate(zip(frame.columns, frame.dtypes, strict=True)):
        feature: dict[str, Json] = {"name": column_name(label), "type": str(dtype)}
        series = frame.iloc[:, k]
        if _is_category(dtype):
            categories = list(trained.get(k, series.cat.categories))
            feature["categories"] = [plain(category) for category in categories]
            columns.append(_codes(series, categories))
        elif (numbers := _numbers(series, dtype)) is not None:
            columns.append(numbers)
        else:
            strange.append(f"{column_name(label)}: {dtype}")
        features.append(feature)
    if strange:
        raise NotArchivable(
            f"the input {name!r} has columns that {framework} model can't read: {', '.join(strange[:20])}",
            advice="give the table that the model itself answers: columns of int, float, bool or category",
        )
    if not columns or not len(frame):
        raise NotArchivable(f"the input {name!r} is empty", advice="give at least one row and one column")
    # As LightGBM chooses it. XGBoost makes float32 of everything, whatever it comes as.
    dtype = np.result_type(np.float32, *(column.dtype for column in columns))
    return np.column_stack([column.astype(dtype) for column in columns]), tuple(features)


def _check_trained(frame: Any, trained: Trained) -> None:
    for k, categories in trained.items():
        used = frame.iloc[:, k].cat.remove_unused_categories().cat.categories
        if unseen := [str(category) for category in used if category not in categories]:
            raise NotArchivable(
                f"the column {frame.columns[k]!r} has categories that the model was not trained with:"
                f" {', '.join(unseen[:20])}. Some versions of XGBoost refuse them, others take them for the"
                " next category that they know",
                advice="give rows whose categories the model knows, or none",
            )


def _codes(series: Any, categories: list[Any]) -> Array:
    """The places of the values among `categories`, NaN where a value is missing or not among them."""
    if list(series.cat.categories) != categories:
        series = series.cat.set_categories(categories)
    codes = np.asarray(series.cat.codes)
    return np.where(codes == -1, np.nan, codes) if (codes == -1).any() else codes


def _numbers(series: Any, dtype: Any) -> Array | None:
    """A column's numbers, with NaN for what pandas calls missing; None where it holds no numbers."""
    if hasattr(series, "sparse"):
        series, dtype = series.sparse.to_dense(), dtype.subtype
    stored = getattr(dtype, "numpy_dtype", dtype)  # of nullable columns, and of those kept by pyarrow
    if not isinstance(stored, np.dtype) or stored.kind not in "fiub":
        return None
    if isinstance(dtype, np.dtype):
        return np.asarray(series)
    wide = np.result_type(stored, np.float32)
    return np.asarray(series.to_numpy(dtype=wide, na_value=np.nan))


def plain(value: object) -> Json:
    """Spell a category or a class for JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (str, bool, int, float)) else str(value)


def question_of(inputs: Mapping[str, Array], framework: str) -> tuple[Any, Table]:
    """What the model itself is asked with, and what is known of it. Raises NotArchivable for no table."""
    if isinstance(inputs, Inputs) and inputs.table is not None:
        return inputs.original, inputs.table
    return one_table(inputs, framework), Table()


def hyper_parameters(parameters: Mapping[str, object], notes: list[str]) -> dict[str, Json]:
    """Give the parameters as JSON values; what has none is left out, with a note."""
    values: dict[str, Json] = {}
    for name, value in sorted(parameters.items()):
        if isinstance(value, (float, np.floating)) and not math.isfinite(value):
            values[name] = None
            if not math.isnan(value) or name != "missing":  # XGBoost's own default, on every wrapper
                notes.append(f"the parameter {name!r} is stored as null: it was {value}")
            continue
        try:
            values[name] = json_values(value, f"the parameter {name!r}", notes)
        except NotArchivable:
            notes.append(
                f"the parameter {name!r} is not stored: it is a {type(value).__qualname__}; "
                "predictions do not need it"
            )
    return values
