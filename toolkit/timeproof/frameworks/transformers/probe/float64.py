"""Ask a Transformers model in float64, as torch's own models are asked; its tokens stay tokens."""

from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe import loaders
from timeproof_probe.file_checks import Refused

from . import load

MODULES = load.MODULES


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the outputs in the native ones' types, as (name, array, the type it was made from or "").

    Raises Refused where the model goes through something narrower, or generates: another rounding may choose
    another token, and then all that follows is another text.
    """
    if options.get("generate") is not None:
        raise Refused("generate is asked in the model's own type only")
    build, arrays = load.prepare(directory, model, inputs, options, threads)
    answer: List[Tuple[str, Any, str]] = loaders.load(load.TORCH, "float64").widened(build, arrays, options)
    return answer
