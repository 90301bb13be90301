"""Models of transformers that no folder brings back, and options that fit none: each is refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_transformers as tiny
from support.transformers_cases import Case

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.choose import spec_for
from timeproof.frameworks.transformers import FRAMEWORK

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
PIXELS = np.zeros((1, 3, 8, 8), np.float32)


def test_a_model_that_was_left_in_training_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="training mode"):
        Case(tmp_path, tiny.bert(hidden_dropout_prob=0.5).train(), tiny.tokens())


def test_the_library_says_which_of_its_models_are_its_own() -> None:
    class Mine(transformers.BertModel):  # type: ignore[misc, name-defined]
        pass

    assert spec_for(tiny.bert()) == FRAMEWORK
    mine = Mine(tiny.bert().config)
    assert spec_for(mine).name == "pytorch", "its source is the user's"
    outer = torch.nn.Sequential(tiny.bert())
    assert spec_for(outer).name == "pytorch"


def peft_model() -> Any:
    made = type("PeftModel", (torch.nn.Module,), {"__module__": "peft.peft_model"})
    return made()


def adapted() -> Any:
    model = tiny.bert()
    model._hf_peft_config_loaded = True
    return model


def quantized() -> Any:
    model = tiny.bert()
    model.config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    return model


def remote() -> Any:
    model = tiny.bert("BertModel")
    model.__class__ = type("Net", (type(model),), {"__module__": "transformers_modules.net"})
    return model


def flashing() -> Any:
    model = tiny.bert()
    model.config._attn_implementation_internal = "flash_attention_2"
    return model


def offloaded() -> Any:
    return tiny.bert().to("meta")


def part() -> Any:
    kind = importlib.import_module("transformers.models.clip.modeling_clip").CLIPTextModel
    inner = type("CLIPInner", (kind,), {"__module__": kind.__module__})
    config = transformers.CLIPTextConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=50
    )
    return inner(config)


@pytest.mark.parametrize(
    ("make", "words", "advice"),
    [
        (peft_model, "PEFT", "merge_and_unload"),
        (adapted, "PEFT", "merge_and_unload"),
        (quantized, "quantized", "made from"),
        (remote, "trust_remote_code", "PyTorchOptions"),
        (flashing, "flash_attention_2", "sdpa"),
        (offloaded, "not in memory", "device_map"),
        (part, "does not offer by name", "part of"),
    ],
)
def test_a_model_that_no_folder_brings_back_is_refused(
    tmp_path: Path, make: Any, words: str, advice: str
) -> None:
    model = make()
    assert spec_for(model) == FRAMEWORK
    with pytest.raises(NotArchivable, match=words) as caught:
        Case(tmp_path, model, tiny.tokens())
    assert advice in caught.value.advice
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokenizer": object()}, "object"),
        ({"dtype": "float16"}, "said of a folder"),
        ({"generate": {"num_beams": 4}}, "not greedy"),
        (
            {"generate": {"custom_generate": "mine", "trust_remote_code": True}},
            "can't be told custom_generate",
        ),
        ({"tokenize": {"padding": True}}, "no texts"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_options_that_fit_no_live_model_are_refused(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        Case(tmp_path, tiny.gpt2(), tiny.tokens(), **options)
    assert caught.value.advice


def test_a_model_that_generates_nothing_is_not_asked_to(tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="generates nothing"):
        Case(tmp_path, tiny.vit(), PIXELS, generate={"max_new_tokens": 2})


def test_a_tokenizer_without_padding_says_so_before_anything_is_built(tmp_path: Path) -> None:
    tokenizer = tiny.byte_pairs()
    tokenizer.pad_token = None
    with pytest.raises(NotArchivable, match="padding"):
        Case(tmp_path, tiny.gpt2(), tiny.TEXTS, tokenizer=tokenizer)


def test_what_makes_another_answer_is_named(tmp_path: Path) -> None:
    model = tiny.bert()
    case = Case(tmp_path, model, tiny.tokens())
    model.classifier.register_forward_hook(lambda module, args, output: output * 2)
    model.bert.pooler = torch.nn.Identity()
    reasons = FRAMEWORK.make_adapter().differences(model, case.saved)
    assert any("hook" in reason for reason in reasons)
