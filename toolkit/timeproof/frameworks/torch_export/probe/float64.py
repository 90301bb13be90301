"""Ask an exported program in float64, as PyTorch's own loader asks a module: widened, and watched."""

from typing import Any, Dict, List, Optional, Tuple

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
    """Give the outputs in the native ones' types; see PyTorch's `float64`. Raises Refused."""
    build = load.prepare(directory, model, options, threads)
    outputs: List[Tuple[str, Any, str]] = load.pytorch("float64").widened(build, inputs, options)
    return outputs
