"""Ask a PyTorch model in float64: every parameter and input widened, every output rounded once at the end.

Sums of float32 depend on the CPU in their last bits; those of float64 do, too, but far below what is
left after rounding. So this answer holds where the native one can't.
"""

import importlib
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from timeproof_probe.file_checks import Refused
from timeproof_probe.work_limit import Work

from . import load, tensors

MODULES = load.MODULES

# They hand values on, or round them: a float32 constant may pass through them, and is exact in float64; and
# what float64 has computed may be rounded, as it is at the end. Only nothing may be computed in less.
_HANDING_ON = frozenset(
    {
        *("alias", "as_strided", "clone", "contiguous", "copy_", "detach", "lift_fresh", "lift_fresh_copy"),
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
        *("full", "full_like", "new_full", "fill_", "masked_fill", "masked_fill_", "scalar_tensor"),
        *("zeros", "zeros_like", "new_zeros", "zero_", "ones", "ones_like", "new_ones"),
        *("cat", "stack", "flip", "index", "index_select", "narrow", "select", "slice", "unfold"),
        *("split", "split_with_sizes", "unsafe_split", "unbind", "expand", "repeat"),
        *("permute", "t", "transpose", "reshape", "_reshape_alias", "view", "_unsafe_view"),
        *("squeeze", "unsqueeze", "_to_copy", "to"),
    }
)


# Where the left matrix stands among an operator's arguments; its last axis is what is summed over.
_MATRIX = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1, "addbmm": 1, "addmv": 1}
# Whole layers: each position goes through all of their weights.
_LAYERS = frozenset(
    {
        "linear",
        "_native_multi_head_attention",
        "_transformer_encoder_layer_fwd",
        "lstm",
        "gru",
        "mkldnn_rnn_layer",
    }
)


def _products(torch: Any, name: str, args: Any, result: Any) -> int:
    """Count an operator's multiply-adds, from the shapes of what it takes and gives."""
    tensors_in = [arg for arg in args if torch.is_tensor(arg)]
    if name in ("convolution", "_convolution"):
        transposed = len(args) > 6 and bool(args[6])
        each = (args[0] if transposed else result).numel()
        return int(each * args[1].numel() // max(1, args[1].shape[0]))
    if name in _MATRIX:
        return int(result.numel() * args[_MATRIX[name]].shape[-1])
    if name.startswith("_scaled_dot_product"):
        return int(2 * args[0].numel() * args[1].shape[-2])
    if name in _LAYERS and tensors_in:
        weights = sum(arg.numel() for arg in tensors_in[1:] if arg.dim() == 2)
        return int(tensors_in[0].numel() // max(1, tensors_in[0].shape[-1]) * weights)
    return 0


def _watcher(torch: Any, work: Work) -> Any:
    """Give a mode that counts the work, and notes each operator with a result narrower than float64."""
    try:
        modes: Any = importlib.import_module("torch.utils._python_dispatch")
        base: Any = modes.TorchDispatchMode
    except (ImportError, AttributeError):
        raise Refused("this torch can't tell whether it computed in float64 throughout")
    wide = (torch.float64, torch.complex128)

    class Watch(base):  # type: ignore[misc]  # torch is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.narrow: Set[str] = set()

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # else torch imports its compiler, 800 modules, to keep that out of here

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG002
            outcome = func(*args, **(kwargs or {}))
            name = func.overloadpacket.__name__
            parts = outcome if isinstance(outcome, (list, tuple)) else [outcome]
            results = [part for part in parts if torch.is_tensor(part)]
            work.add(
                sum(part.numel() for part in results),
                _products(torch, name, args, results[0]) if results else 0,
            )
            if name not in _HANDING_ON:
                floats = [
                    p for p in parts if torch.is_tensor(p) and (p.is_floating_point() or p.is_complex())
                ]
                if any(part.dtype not in wide for part in floats):
                    self.narrow.add(name)
            return outcome

    return Watch()


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],
) -> List[Tuple[str, Any, str]]:
    """Give the outputs in the native ones' types, as (name, array, the type it was made from or "").

    Raises Refused, as `widened` does.
    """
    return widened(load.prepare(directory, model, options, threads, sizes), inputs, options)


def widened(
    build: Callable[[], Any], inputs: List[Tuple[str, Any]], options: Dict[str, Any]
) -> List[Tuple[str, Any, str]]:
    """Ask a module in float64, and round its outputs once at the end.

    The native types are found by asking natively first. Raises Refused where float64 is nothing new, where
    the model goes through something narrower, or where it computes more than `options["work"]`.

    Args:
        build: gives the module, each time anew.
    """
    torch: Any = importlib.import_module("torch")

    arguments = load.tensors_of(inputs, options)
    with torch.no_grad():
        kinds = {name: tensor.dtype for name, tensor in load.ask(build(), arguments, options)}
    if torch.float64 in kinds.values() or torch.complex128 in kinds.values():
        raise Refused("an output is of float64 natively: there is nothing wider to round from")
    module = build().double()
    wide = [tensor.double() if tensor.is_floating_point() else tensor for tensor in arguments]
    watch = _watcher(torch, Work(options.get("work")))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), watch:
            answer = load.ask(module, wide, options)
    finally:
        torch.set_default_dtype(before)
    if watch.narrow:
        raise Refused(
            "it computes in less than float64 on the way: {}".format(", ".join(sorted(watch.narrow)))
        )
    if [name for name, _ in answer] != list(kinds):
        raise Refused("in float64 it gives other outputs")
    outputs = []
    for name, tensor in answer:
        array, made_from = tensors.to_array(tensor.to(kinds[name]))
        outputs.append((name, array, made_from))
    return outputs
