"""Tiny models of transformers, made from configurations with random weights; and tokenizers trained here."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

TEXTS = [
    "the old lake keeps its cold water",
    "a model lasts as long as its answer",
    "cold",
]
_CORPUS = [*TEXTS, "water is as old as the lake", "the answer is cold", "its model keeps an answer"]
_WIDTH = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}


def build(kind: str, **settings: Any) -> Any:
    """Make a model of the library's class `kind` from a configuration, in evaluation mode."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(0)
    model_class = getattr(transformers, kind)
    return model_class(model_class.config_class(**settings)).eval()


def bert(kind: str = "BertForSequenceClassification", **more: Any) -> Any:
    return build(kind, **_WIDTH, vocab_size=99, max_position_embeddings=32, pad_token_id=0, **more)


def gpt2(**more: Any) -> Any:
    return build("GPT2LMHeadModel", **GPT2, **more)


GPT2 = {"vocab_size": 300, "n_positions": 40, "n_embd": 16, "n_layer": 1, "n_head": 2} | dict.fromkeys(
    ("bos_token_id", "eos_token_id"), 0
)


def llama() -> Any:
    return build("LlamaForCausalLM", **_WIDTH, num_key_value_heads=1, vocab_size=99, use_cache=False)


def vit() -> Any:
    return build("ViTForImageClassification", **_WIDTH, image_size=8, patch_size=4, num_labels=3)


def whisper() -> Any:
    return build(
        "WhisperForConditionalGeneration",
        vocab_size=60,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        num_mel_bins=4,
        max_source_positions=10,
        max_target_positions=12,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )


def t5() -> Any:
    return build(
        "T5ForConditionalGeneration",
        vocab_size=60,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )


def tokens(vocabulary: int = 60, rows: int = 2, length: int = 7) -> dict[str, npt.NDArray[np.int64]]:
    """Tokens as a tokenizer gives them: the second row is padded."""
    ids = np.random.default_rng(0).integers(3, vocabulary, (rows, length))
    mask = np.ones_like(ids)
    mask[1:, length - 2 :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


@cache
def _trained(kind: str, size: int, *specials: str) -> str:
    """Train a tokenizer of tokenizers, once: two trainings may number equally frequent words otherwise."""
    tokenizers: Any = importlib.import_module("tokenizers")
    trained = getattr(tokenizers, kind)()
    trained.train_from_iterator(_CORPUS, vocab_size=size, special_tokens=[*specials], show_progress=False)
    text: str = trained._tokenizer.to_str()
    return text


def wordpiece() -> Any:
    """A BERT tokenizer, trained on a few sentences."""
    transformers: Any = importlib.import_module("transformers")
    return transformers.BertTokenizerFast(
        tokenizer_object=_parsed(
            _trained("BertWordPieceTokenizer", 90, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        )
    )


def byte_pairs() -> Any:
    """A byte-level BPE tokenizer as GPT-2's, with a token to pad with."""
    transformers: Any = importlib.import_module("transformers")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=_parsed(_trained("ByteLevelBPETokenizer", 280, "<|end|>")),
        eos_token="<|end|>",
        pad_token="<|end|>",
        padding_side="left",
    )


def _parsed(text: str) -> Any:
    return importlib.import_module("tokenizers").Tokenizer.from_str(text)
