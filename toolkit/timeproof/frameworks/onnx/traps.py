"""What makes an ONNX file answer otherwise on another CPU, or another time: found by reading the file.

Says what is refused, what is kept only on request, and what is merely worth a note. No IO here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import SATURATING, SaveOptions
from timeproof.frameworks.onnx.graph import Graph, Node

# Domains whose operators only onnxruntime's own optimiser makes, for the processor or device at hand
# (core/graph/constants.h). com.microsoft itself holds its contributed operators, which run on any CPU.
_OPTIMISED = re.compile(
    r"com\.microsoft\.(nchwc|nhwc|dml|xnnpack|.*internal.*)|com\.ms\.internal.*|com\.intel\.ai|com\.xilinx"
)
_CONTRIBUTED = "com.microsoft"

_RANDOM = frozenset(
    {
        ("", "RandomNormal"),
        ("", "RandomNormalLike"),
        ("", "RandomUniform"),
        ("", "RandomUniformLike"),
        ("", "Multinomial"),
        ("", "Bernoulli"),
        (_CONTRIBUTED, "Sampling"),
        (_CONTRIBUTED, "BiasDropout"),
        (_CONTRIBUTED, "BitmaskDropout"),
        (_CONTRIBUTED, "BitmaskBiasDropout"),
    }
)

# Which input of an operator is the weights, and which their zero point (of the same type).
_INT8: Mapping[tuple[str, str], tuple[tuple[int, int | None], ...]] = MappingProxyType(
    {
        ("", "MatMulInteger"): ((1, 3),),
        ("", "ConvInteger"): ((1, 3),),
        ("", "QLinearMatMul"): ((3, 5),),
        ("", "QLinearConv"): ((3, 5),),
        (_CONTRIBUTED, "QLinearConv"): ((3, 5),),
        (_CONTRIBUTED, "MatMulIntegerToFloat"): ((1, 5),),
        (_CONTRIBUTED, "DynamicQuantizeMatMul"): ((1, 3),),
        (_CONTRIBUTED, "QGemm"): ((3, 5),),
        (_CONTRIBUTED, "QAttention"): ((1, 7),),
        (_CONTRIBUTED, "DynamicQuantizeLSTM"): ((1, 9), (2, 11)),
    }
)
_MULTIPLIES = frozenset({"Conv", "MatMul", "Gemm", "ConvTranspose"})
# Two products of an unsigned byte and a weight fit into 16 bits: 2 × 255 × 64 < 32768 < 2 × 255 × 65.
_SAFE = 64
_NAMED = 3  # how many a message names


def check_processor(domains: Iterable[str], graph: Graph) -> None:
    """Refuse a file that was made for one processor or device. Raises NotArchivable."""
    optimised = sorted(domain for domain in domains if _OPTIMISED.fullmatch(domain))
    if optimised:
        raise NotArchivable(
            f"the model was optimised by onnxruntime for one processor (it holds {', '.join(optimised)}): "
            "on another it opens without error and answers wrong",
            advice="archive the file as it was exported; one that onnxruntime saved at the level"
            " 'extended' or below is no trap",
        )
    if any((node.domain, node.kind) == (_CONTRIBUTED, "EPContext") for node in graph.nodes):
        raise NotArchivable(
            "the model holds code that was compiled for one accelerator (com.microsoft.EPContext)",
            advice="archive the file that it was compiled from",
        )
    if graph.prepacked:
        raise NotArchivable(
            "the model holds weights that onnxruntime packed for one processor's kernels (prepacked)",
            advice="archive the file as it was exported, or save it anew without"
            " session.save_external_prepacked_constant_initializers",
        )


def check_int8(graph: Graph, options: SaveOptions, notes: list[str]) -> tuple[str, ...]:
    """Refuse int8 weights that saturate on a CPU without VNNI, unless they are to be kept.

    Args:
        notes: gets a sentence about what is kept, or only possible.

    Returns:
        tuple: `saturating`, where that is kept.

    Raises:
        NotArchivable: naming the operators.
    """
    sure, maybe = _saturating(graph)
    dequantised = _dequantised(graph)
    level = options.framework.graph_optimization
    if level in {"extended", "all"}:  # where onnxruntime computes with them in int8
        sure += dequantised
    elif dequantised:
        notes.append(
            f"its int8 weights go beyond ±{_SAFE} ({_few(dequantised)}): at the optimisation levels extended"
            " and all, onnxruntime's own default, they saturate on a CPU without VNNI, and the answer is"
            f" another one; at {level}, which is recorded, they don't"
        )
    if maybe:
        notes.append(
            f"int8 products of values that are not in the file ({_few(maybe)}) may saturate on a CPU without"
            " VNNI; unsigned bytes (QUInt8) never do"
        )
    if not sure:
        return ()
    reason = f"its int8 weights go beyond ±{_SAFE} ({_few(sure)}): on a CPU without VNNI they saturate"
    if not options.keep_saturating:
        raise NotArchivable(
            f"{reason}, and the answer is another one",
            advice="quantise with unsigned weights and activations (QuantType.QUInt8) or with"
            " reduce_range=True, which answer alike everywhere; or keep it, marked, with"
            " --keep-saturating (keep_saturating=True)",
        )
    notes.append(f"{reason}; kept on request")
    return (SATURATING,)


def _saturating(graph: Graph) -> tuple[list[str], list[str]]:
    """Name the products of int8 weights that can saturate, and those of which the file doesn't tell."""
    sure: list[str] = []
    maybe: list[str] = []
    for node in graph.nodes:
        for place, zero in _INT8.get((node.domain, node.kind), ()):
            name = _input(node, place)
            weights = graph.weights.get(name)
            if weights is None:
                if zero is not None and _input(node, zero) in graph.weights:
                    maybe.append(node.label)
            elif weights.largest is None:
                maybe.append(f"{node.label} {name}")
            elif weights.largest > _SAFE:
                sure.append(f"{node.label} {name}")
    return sure, maybe


def _dequantised(graph: Graph) -> list[str]:
    """Name weights that are dequantised before they are multiplied: in int8 at the higher levels only."""
    if not any(not node.domain and node.kind in _MULTIPLIES for node in graph.nodes):
        return []
    labels = []
    for node in graph.nodes:
        if node.kind == "DequantizeLinear":
            weights = graph.weights.get(_input(node, 0))
            if weights is not None and weights.largest is not None and weights.largest > _SAFE:
                labels.append(f"DequantizeLinear {weights.name}")
    return labels


def _input(node: Node, place: int) -> str:
    return node.inputs[place] if place < len(node.inputs) else ""


def random_operators(graph: Graph) -> list[str]:
    """Name the operators that draw random numbers, each once."""
    return sorted({node.label for node in graph.nodes if _is_random(node)})


def _is_random(node: Node) -> bool:
    # A Dropout is on only where its third input, training_mode, is given.
    trains = not node.domain and node.kind == "Dropout" and bool(_input(node, 2))
    return trains or (node.domain, node.kind) in _RANDOM


def remarks(graph: Graph) -> list[str]:
    """Say what is no trap, but should be known."""
    notes = []
    contributed = sorted({node.kind for node in graph.nodes if node.domain == _CONTRIBUTED})
    if contributed:
        notes.append(
            f"onnxruntime's own operators are in it ({_few(contributed)}): onnxruntime runs them on any CPU,"
            " other runtimes may not"
        )
    seeded = sorted({node.label for node in graph.nodes if _is_random(node) and node.seeded})
    if seeded:
        notes.append(
            f"{_few(seeded)} draws random numbers from a seed in the file: the recorded answer is the first"
            " of a session; a session that is asked again answers otherwise"
        )
    return notes


def facts(graph: Graph) -> dict[str, Json]:
    """What the metadata keeps of all this."""
    return {"random": list(random_operators(graph))}


def _few(names: list[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - _NAMED} more" if len(distinct) > _NAMED else ""
    return ", ".join(distinct[:_NAMED]) + more
