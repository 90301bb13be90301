"""Models of transformers as their users have them: the library's own classes, and tokenizers."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from models_text import PICTURES, SMALL, batch
from support import tiny_transformers as tiny
from zoo_case import Made, model, wrong

TEXTS = tiny.TEXTS
GROUPED = {**SMALL, "num_key_value_heads": 2}


def built(kind: str, settings: dict[str, Any]) -> Any:
    """Make the library's class `kind` from a configuration, as its user holds it."""
    model_class = getattr(transformers, kind)
    return model_class(model_class.config_class(**settings)).eval()


def by_names(net: Any, inputs: Any, *names: str, **options: Any) -> Made:
    """A model that is called with tensors by name; `names` are the outputs that its user takes."""

    def answer() -> dict[str, Any]:
        outputs = net(**inputs)
        return {name: outputs[name] for name in names}

    return Made(net, inputs, answer, options)


def on_texts(net: Any, tokenizer: Any, *names: str, **settings: Any) -> Made:
    """A model that is asked on texts."""

    def answer() -> dict[str, Any]:
        tokens = tokenizer(TEXTS, return_tensors="pt", **{"padding": True, **settings})
        tokens.pop(
            "token_type_ids", None
        ) if "token_type_ids" not in net.forward.__code__.co_varnames else None
        outputs = net(**tokens)
        return {**{name: outputs[name] for name in names}, "input_ids": tokens["input_ids"]}

    return Made(net, TEXTS, answer, {"tokenizer": tokenizer, **({"tokenize": settings} if settings else {})})


@model("BERT, as the library makes it, from its configuration")
def bert_of_the_library() -> Made:
    return by_names(built("BertModel", SMALL), batch(), "last_hidden_state", "pooler_output")


@model("BERT on texts, its tokenizer beside it")
def hf_bert_on_texts() -> Made:
    return on_texts(
        built("BertForSequenceClassification", {**SMALL, "num_labels": 3}), tiny.wordpiece(), "logits"
    )


@model("BERT on texts that are cut at eight tokens")
def hf_bert_on_cut_texts() -> Made:
    net = built("BertForTokenClassification", SMALL)
    return on_texts(net, tiny.wordpiece(), "logits", truncation=True, max_length=8, padding="max_length")


@model("GPT-2, its cache and all")
def hf_gpt2() -> Made:
    return by_names(built("GPT2LMHeadModel", tiny.GPT2), {"input_ids": batch()["input_ids"]}, "logits")


@model("GPT-2 that goes on with a text, greedily")
def hf_gpt2_generates() -> Made:
    net, tokenizer = built("GPT2LMHeadModel", tiny.GPT2), tiny.byte_pairs()
    settings = {"max_new_tokens": 6}

    def answer() -> dict[str, Any]:
        tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
        tokens.pop("token_type_ids", None)
        return {"sequences": net.generate(**tokens, do_sample=False, **settings)}

    return Made(net, TEXTS, answer, {"tokenizer": tokenizer, "generate": settings})


@model("Llama with grouped heads, in bfloat16")
def hf_llama_bfloat16() -> Made:
    net = built("LlamaForCausalLM", {**GROUPED, "use_cache": False}).to(torch.bfloat16)
    return by_names(net, batch(), "logits")


@model("Mixtral, whose experts are chosen by the token")
def hf_mixtral() -> Made:
    settings = {**GROUPED, "num_local_experts": 4, "use_cache": False}
    return by_names(built("MixtralForCausalLM", settings), batch(), "logits")


@model("T5, from words to words")
def hf_t5() -> Made:
    inputs = {**batch(), "decoder_input_ids": torch.tensor([[0, 5, 6], [0, 7, 8]])}
    settings = {"vocab_size": 200, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
    net = built("T5ForConditionalGeneration", {**settings, "decoder_start_token_id": 0})
    return by_names(net, inputs, "logits", "encoder_last_hidden_state")


@model("ViT by one array, with eager attention")
def hf_vit_eager() -> Made:
    net = built("ViTForImageClassification", {**PICTURES, "intermediate_size": 128, "num_labels": 5})
    net.set_attn_implementation("eager")
    pixels = torch.rand(2, 3, 32, 32)
    return Made(net, pixels, lambda: net(pixels).logits)


@model("Whisper that writes down a sound, greedily")
def hf_whisper_generates() -> Made:
    net = tiny.whisper()
    inputs = {"input_features": torch.rand(1, 4, 20)}
    settings = {"max_new_tokens": 5}
    return Made(
        net,
        inputs,
        # As a mapping: alone, Whisper's sequences come without the token that they begin with.
        lambda: {"sequences": net.generate(**inputs, return_dict_in_generate=True, **settings).sequences},
        {"generate": settings},
    )


@model("CLIP, words and pictures; its answer is nested")
def hf_clip() -> Made:
    seeing = {**PICTURES, "intermediate_size": 128, "projection_dim": 32}
    settings = {
        "text_config": {**SMALL, "projection_dim": 32},
        "vision_config": seeing,
        "projection_dim": 32,
    }
    inputs = {"pixel_values": torch.rand(2, 3, 32, 32), **batch()}
    return by_names(built("CLIPModel", settings), inputs, "logits_per_image", "text_embeds", "image_embeds")


@wrong("a pipeline", "pipeline")
def hf_pipeline() -> Made:
    net, tokenizer = built("BertForSequenceClassification", SMALL), tiny.wordpiece()
    pipe = transformers.pipeline("text-classification", model=net, tokenizer=tokenizer)
    return Made(pipe, TEXTS, lambda: [row["score"] for row in pipe(TEXTS)])


@wrong("texts without the tokenizer", "tokenizer")
def hf_texts_alone() -> Made:
    net = built("BertForSequenceClassification", SMALL)
    return Made(net, TEXTS, lambda: net(**batch()).logits)


@wrong("a head that no configuration names", "classifier", "does not replay", "lack")
def hf_head_of_ones_own() -> Made:
    net = built("BertForSequenceClassification", SMALL)
    net.classifier = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    return by_names(net.eval(), batch(), "logits")
