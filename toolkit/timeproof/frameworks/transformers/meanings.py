"""What a Transformers model's outputs mean, by its class and its configuration. No IO here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from timeproof.base.strictjson import Json

# What models hand on to their own next call; the library's own list is each configuration's.
_FOR_THE_NEXT_CALL = ("past_key_values", "cache_params")
_CLASSIFIES = "Classification"
_SPEAKS = ("CausalLM", "LMHeadModel", "MaskedLM", "ConditionalGeneration", "ForPreTraining")
_CACHING = ("CausalLM", "LMHeadModel", "ConditionalGeneration")
_NO_SCORES = (
    *("last_hidden_state", "pooler_output", "encoder_last_hidden_state", "image_embeds", "text_embeds"),
    *("input_ids", "attention_mask", "token_type_ids", "sequences"),
)
_CLASSES = 10_000  # names of classes that the metadata repeats


def left_out(ignored: Iterable[str]) -> list[Json]:
    """Name the outputs that are no part of the answer.

    Args:
        ignored: what the configuration's class ignores at inference.
    """
    return [*dict.fromkeys((*_FOR_THE_NEXT_CALL, *ignored))]


def buffer_types(model: Any) -> dict[str, Json]:
    """Name torch's types of the floating buffers that no file holds, such as rotary frequencies."""
    state = model.state_dict()
    return {
        name: str(buffer.dtype).removeprefix("torch.")
        for name, buffer in model.named_buffers()
        if name not in state and buffer.is_floating_point()
    }


def scores(architecture: str, config: Mapping[str, Any]) -> dict[str, bool]:
    """Say of each output whether its last axis holds class scores, where the architecture tells."""
    marks = dict.fromkeys(_NO_SCORES, False)
    if _CLASSIFIES in architecture:
        labels = config.get("id2label")
        number = len(labels) if isinstance(labels, Mapping) else 2
        marks["logits"] = config.get("problem_type") != "regression" and number > 1
    elif architecture.endswith(_SPEAKS):
        marks["logits"] = marks["scores"] = True
    return marks


def signature(config: Mapping[str, Any]) -> dict[str, Json]:
    """Give the names of the classes, in the order of the scores, where somebody named them."""
    labels = config.get("id2label")
    if not isinstance(labels, Mapping) or not 0 < len(labels) <= _CLASSES:
        return {}
    by_number = {str(key): str(value) for key, value in labels.items()}
    names = [by_number.get(str(k), "") for k in range(len(by_number))]
    made_up = all(name == f"LABEL_{k}" for k, name in enumerate(names))
    return {} if made_up or "" in names else {"classes": [*names]}


def remarks(architecture: str, config: Mapping[str, Any], *, generating: bool) -> list[str]:
    """Sentences about what the answer does not hold, and what it is."""
    if generating:
        return ["the answer is that of generate, greedily: the sequences, and the scores of each step"]
    if config.get("use_cache") and architecture.endswith(_CACHING):
        return ["past_key_values, which only speed up the next call, are left out of the answer"]
    return []
