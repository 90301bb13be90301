"""A live scikit-learn model as the bytes of a .skops file, and the list of what that file may make."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks.sklearn.probe import allowed, schema
from timeproof.frameworks.sklearn.skops_file import normalised, read_bytes

_SHOWN = 3  # types in a message
_OWN_CODE = (
    "skops stores no code. Archive the part that is the libraries' own, with the inputs that your part makes;"
    " or say the same by scikit-learn's own steps; or archive an ONNX file of the whole (skl2onnx)"
)
_OWN_FUNCTION = (
    "give FunctionTransformer a NumPy function that calculates (numpy.log1p) or none; or apply your function"
    " before the pipeline, and archive it without that step; or archive an ONNX file of the whole (skl2onnx)"
)


def dump(model: Any) -> tuple[bytes, list[str]]:
    """Give the file's bytes and the types that it makes, as the live object has them.

    Raises NotArchivable: skops is missing, has no form for a part of the model, or a part is the user's code.
    """
    skops = _skops()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = skops.dumps(model)
        except Exception as error:  # whatever a part's own reduction raises
            reason = f"{type(error).__name__}: {str(error)[:300]}"
            raise NotArchivable(
                f"skops has no form for this {type(model).__name__}: {reason}",
                advice="archive an ONNX file that you convert the model to (skl2onnx); or, of a search,"
                " the estimator inside (search.best_estimator_)",
            ) from error
    data = normalised(data)
    types = types_of(read_bytes(data), f"the {type(model).__name__}")
    return data, types


def types_of(tree: dict[str, Any], where: str) -> list[str]:
    """List what a file makes, sorted. Raises NotArchivable where something may not be made.

    Args:
        where: what holds it, as a sentence begins.
    """
    try:
        kinds = schema.kinds_in(tree)
    except schema.BadSkops as error:
        raise NotArchivable(f"{where}: {error}", advice="give the file as skops.io.dump wrote it") from None
    refused = allowed.refused(kinds)
    if refused:
        listed = "; ".join(f"{name}: {why}" for name, why in refused[:_SHOWN])
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        functions = {allowed.name_of(kind) for kind in kinds if kind[0] in {"FunctionNode", "MethodNode"}}
        own_function = all(name in functions for name, _ in refused)
        raise NotArchivable(
            f"{where} holds what can't be archived: {listed}{more}",
            advice=_OWN_FUNCTION if own_function else _OWN_CODE,
        )
    return sorted({allowed.name_of(kind) for kind in kinds})


def remarks(model: Any) -> Iterator[str]:
    """Give sentences about what a user should know of the model."""
    jobs = sorted({str(value) for name, value in _parameters(model) if name.endswith("n_jobs") and value})
    if jobs and jobs != ["1"]:
        yield (
            f"its n_jobs is {', '.join(jobs)}: under a profile of one thread the container runs it by one,"
            " and a forest's sums may differ in the last bits from those of several threads"
        )


def _parameters(model: Any) -> list[tuple[str, Any]]:
    try:
        return sorted(model.get_params(deep=True).items())
    except Exception:  # an estimator that breaks scikit-learn's rules
        return []


def _skops() -> Any:
    try:
        return importlib.import_module("skops.io")
    except ImportError as error:
        raise NotArchivable(
            f"scikit-learn models are stored by skops, which can't be imported here: {error}",
            advice="pip install skops, beside the model's scikit-learn, and archive again: skops runs in the"
            " container, too",
        ) from error
