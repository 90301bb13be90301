"""What a user says of a Transformers model."""

from __future__ import annotations

from collections.abc import Mapping

from timeproof.frameworks.options import FrameworkOptions


class TransformersOptions(FrameworkOptions):
    """Options of a model of Hugging Face transformers.

    Args:
        tokenizer: what made the inputs: a tokenizer or a processor, kept beside the model. Where the inputs
            are texts, the container asks its own copy of it, and the tokens are part of the answer.
        tokenize: how texts become tokens, as the tokenizer's call takes it, such as
            `{"padding": True, "truncation": True, "max_length": 64}`.
        generate: ask `model.generate` instead of the model, greedily, with these arguments, such as
            `{"max_new_tokens": 16}`.
        dtype: of a folder's model: torch's name of it; what its config.json says where None.
        attention: of a folder's model: `eager` or `sdpa`; `eager` where None.
    """

    tokenizer: object | None = None
    tokenize: Mapping[str, object] | None = None
    generate: Mapping[str, object] | None = None
    dtype: str | None = None
    attention: str | None = None
