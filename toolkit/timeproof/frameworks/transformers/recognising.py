"""Which live objects are models of transformers, and which of them no folder brings back."""

from __future__ import annotations

import importlib
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import comes_from

ATTENTIONS = ("eager", "sdpa")
_LIBRARY = ("transformers.", "transformers_modules.")  # the second: code that came with a model's folder
_WRAP = (
    "archive it as a PyTorch model: an nn.Module of your own that builds it from plain values"
    " (options=PyTorchOptions(init_args=…))"
)


def is_of_transformers(model: object) -> bool:
    """Say whether it is a model of the library, an adapter around one (PEFT), or a pipeline with one.

    A user's own class is not, even where it derives from the library's: its source is kept as PyTorch's.
    """
    if comes_from(model, "peft", frozenset({"PeftModel"})):
        return True
    if comes_from(model, "transformers", frozenset({"Pipeline"})):
        return True
    return comes_from(model, "transformers", frozenset({"PreTrainedModel"})) and (
        type(model).__module__.startswith(_LIBRARY)
    )


def check_model(model: Any) -> None:
    """Raise NotArchivable where a folder of save_pretrained would not bring the model back."""
    _check_wrappers(model)
    _check_class(model)
    _check_weights(model)
    attention = getattr(model.config, "_attn_implementation", None)
    if attention is not None and attention not in ATTENTIONS:
        raise NotArchivable(
            f"its attention is computed by {attention!r}, which needs hardware or a package of its own",
            advice="load it with attn_implementation='sdpa' (or 'eager'), and archive that",
        )


def _check_wrappers(model: Any) -> None:
    if comes_from(model, "peft", frozenset({"PeftModel"})) or getattr(model, "_hf_peft_config_loaded", False):
        raise NotArchivable(
            "the model carries an adapter (PEFT), which another package applies",
            advice="merge it into the weights (model = model.merge_and_unload()), and archive that model",
        )
    if comes_from(model, "transformers", frozenset({"Pipeline"})):
        raise NotArchivable(
            f"{type(model).__name__} is a pipeline: its own steps change with every release",
            advice="archive the model in it: timeproof.archive(pipe.model, texts, grid_size=…,"
            " options=TransformersOptions(tokenizer=pipe.tokenizer))",
        )


def _check_class(model: Any) -> None:
    kind = type(model)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__.startswith("transformers_modules.") or getattr(model.config, "auto_map", None):
        raise NotArchivable(
            f"{name} is code that came with the model (trust_remote_code), and not the library's own",
            advice=f"load it by the library's own class where there is one; or {_WRAP}",
        )
    if getattr(importlib.import_module("transformers"), kind.__name__, None) is not kind:
        raise NotArchivable(
            f"{name} is a part that transformers does not offer by name",
            advice=f"archive the model that it is part of; or {_WRAP}",
        )


def _check_weights(model: Any) -> None:
    quantised = getattr(model.config, "quantization_config", None) or getattr(model, "is_quantized", False)
    if quantised or getattr(model, "hf_quantizer", None) is not None:
        raise NotArchivable(
            "the model is quantized by another package, whose kernels no plain environment has",
            advice="archive the model that it was made from; or model.dequantize(), where its package can",
        )
    if absent := [name for name, parameter in model.named_parameters() if parameter.device.type == "meta"]:
        raise NotArchivable(
            f"{len(absent)} of its weights are not in memory ({absent[0]}, …): they are offloaded",
            advice="load the whole model: from_pretrained(folder) without device_map",
        )
