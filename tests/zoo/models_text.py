"""Transformers from their configurations, asked with named inputs in the order that tokenizers give them."""

from __future__ import annotations

from typing import Any

import nets_text
import torch
from zoo_case import Made, model, wrong

SMALL: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def batch(*, types: bool = False) -> dict[str, torch.Tensor]:
    """What a tokenizer gives for two sentences: padded, and in its own order."""
    tokens = torch.randint(3, 200, (2, 12))
    mask = torch.ones_like(tokens)
    mask[1, 7:] = 0
    found = {"input_ids": tokens * mask}
    if types:
        found["token_type_ids"] = (torch.arange(12) > 5).long().expand(2, 12).contiguous()
    return {**found, "attention_mask": mask}


def configured(kind: str, settings: dict[str, Any], inputs: dict[str, torch.Tensor]) -> Made:
    args = {"kind": kind, "settings": settings}
    net = nets_text.Configured(**args).eval()
    return Made(net, inputs, lambda: net(**inputs), {"init_args": args})


@model("BERT, inputs in its tokenizer's order")
def bert_classifier() -> Made:
    args = {"layers": 2, "width": 64, "labels": 3}
    net = nets_text.Classifier(**args).eval()
    inputs = batch(types=True)
    return Made(net, inputs, lambda: net(**inputs), {"init_args": args})


@model("BERT behind forward(**batch)")
def bert_by_keywords() -> Made:
    return configured("BertModel", SMALL, batch(types=True))


@model("DistilBERT, a sentence's embedding")
def distilbert_sentence() -> Made:
    net = nets_text.Sentence(64).eval()
    inputs = batch()
    return Made(net, inputs, lambda: net(**inputs), {"init_args": {"width": 64}})


@model("DistilBERT, the mask named first")
def distilbert_mask_first() -> Made:
    net = nets_text.Sentence(64).eval()
    inputs = dict(reversed(batch().items()))
    return Made(net, inputs, lambda: net(**inputs), {"init_args": {"width": 64}})


@model("RoBERTa for tokens")
def roberta_tokens() -> Made:
    return configured("RobertaForTokenClassification", {**SMALL, "max_position_embeddings": 70}, batch())


@model("ALBERT, whose layers are one")
def albert() -> Made:
    return configured("AlbertModel", {**SMALL, "embedding_size": 32}, batch())


@model("GPT-2, no cache")
def gpt2() -> Made:
    settings = {
        "vocab_size": 200,
        "n_positions": 64,
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "use_cache": False,
    }
    return configured("GPT2LMHeadModel", {**settings, "bos_token_id": 1, "eos_token_id": 2}, batch())


@model("GPT-2, whose answer holds its cache", refused=("cache", "Cache", "can't be stored"))
def gpt2_with_cache() -> Made:
    net = nets_text.TinyGpt(2, 64).eval()
    inputs = {"input_ids": batch()["input_ids"]}
    return Made(
        net, inputs, lambda: {"logits": net(**inputs).logits}, {"init_args": {"layers": 2, "width": 64}}
    )


@model("Llama with grouped heads")
def llama() -> Made:
    settings = {**SMALL, "num_key_value_heads": 2, "use_cache": False}
    return configured("LlamaForCausalLM", settings, batch())


@model("Qwen 3 with experts")
def qwen_experts() -> Made:
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}
    return configured(
        "Qwen3MoeForCausalLM", {**SMALL, **experts, "num_key_value_heads": 2, "use_cache": False}, batch()
    )


@model("T5's encoder")
def t5_encoder() -> Made:
    settings = {"vocab_size": 200, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
    return configured("T5EncoderModel", settings, batch())


@model("Whisper, the words named before the sound")
def whisper() -> Made:
    net = nets_text.Whisper(64).eval()
    inputs = {"input_features": torch.randn(1, 20, 100), "decoder_input_ids": torch.randint(3, 300, (1, 6))}
    return Made(net, inputs, lambda: net(**inputs), {"init_args": {"width": 64}})


@model("wav2vec 2 on raw sound")
def wav2vec2() -> Made:
    small = {
        k: SMALL[k] for k in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    }
    convolutions = {"conv_dim": [32, 32], "conv_stride": [5, 4], "conv_kernel": [10, 8]}
    more = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    return configured(
        "Wav2Vec2Model", {**small, **convolutions, **more}, {"input_values": torch.randn(2, 1600)}
    )


PICTURES = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@model("ViT of transformers")
def hf_vit() -> Made:
    settings = {**PICTURES, "intermediate_size": 128}
    return configured("ViTForImageClassification", settings, {"pixel_values": torch.rand(2, 3, 32, 32)})


@wrong(
    "the same ViT, its number of heads forgotten in init_args", "init_args", "num_attention_heads", "heads"
)
def hf_vit_forgotten_heads() -> Made:
    right = hf_vit()
    settings = {k: v for k, v in right.options["init_args"]["settings"].items() if k != "num_attention_heads"}
    settings["num_attention_heads"] = 8
    args = {"kind": "ViTForImageClassification", "settings": settings}
    return Made(right.model, right.inputs, right.answer, {"init_args": args, "onnx": False})


@model("SegFormer of transformers")
def hf_segformer() -> Made:
    settings = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "decoder_hidden_size": 32}
    return configured(
        "SegformerForSemanticSegmentation", settings, {"pixel_values": torch.rand(1, 3, 64, 64)}
    )


@model("CLIP, words and pictures; the answer is nested", refused="can't be stored")
def clip() -> Made:
    text = {**SMALL, "projection_dim": 32}
    seeing = {**PICTURES, "intermediate_size": 128, "projection_dim": 32}
    settings = {"text_config": text, "vision_config": seeing, "projection_dim": 32}
    inputs = {"pixel_values": torch.rand(2, 3, 32, 32), **batch()}
    return configured("CLIPModel", settings, inputs)
