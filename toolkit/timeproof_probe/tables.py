"""The one table that a model of trees takes, put together from the recorded arrays.

An artifact's option `sparse` says that its arrays are those of a sparse matrix: `format` (csr or csc) and
`shape`. Without it there is one array, which is the table.
"""

import importlib
from typing import Any, Dict, List, Tuple

from timeproof_probe.file_checks import Refused

_PARTS = 3  # data, indices, indptr


def assembled(inputs: List[Tuple[str, Any]], options: Dict[str, Any], framework: str) -> Any:
    """Give the table, or the sparse matrix. Raises Refused.

    Args:
        framework: as a sentence names it, article included.
    """
    sparse = options.get("sparse")
    if sparse is None:
        if len(inputs) != 1:
            raise Refused("{} model takes one input, not {}".format(framework, len(inputs)))
        return inputs[0][1]
    if sparse["format"] not in ("csr", "csc") or len(inputs) != _PARTS:
        raise Refused("the recorded arrays make up no sparse matrix that is known")
    scipy: Any = importlib.import_module("scipy.sparse")
    make = scipy.csr_matrix if sparse["format"] == "csr" else scipy.csc_matrix
    return make(tuple(array for _, array in inputs), shape=tuple(sparse["shape"]))
