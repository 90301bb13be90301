"""Models of transformers: what is recorded, refused and answered; the loader asked in this very process."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import tiny_transformers as tiny

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.choose import spec_for
from timeproof.frameworks.inputs import read_inputs
from timeproof.frameworks.pytorch.probe import float64 as pytorch_float64
from timeproof.frameworks.pytorch.probe import load as pytorch_load
from timeproof.frameworks.transformers import FRAMEWORK, TransformersOptions, writing
from timeproof.frameworks.transformers.probe import float64, load
from timeproof_probe import loaders
from timeproof_probe.file_checks import Refused

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
PIXELS = np.random.default_rng(1).random((2, 3, 8, 8), np.float32)
SOUND = np.random.default_rng(1).random((1, 4, 20), np.float32)


@pytest.fixture(autouse=True)
def _loaders_of_this_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an image torch's loader lies beside this one."""
    there = {None: pytorch_load, "float64": pytorch_float64}
    monkeypatch.setattr(loaders, "load", lambda framework, witness=None: there[witness])


class Case:
    """A model that was saved into `folder`, and its user's own answer."""

    def __init__(self, folder: Path, model: Any, inputs: Any, **options: Any) -> None:
        adapter = FRAMEWORK.make_adapter()
        self.folder = folder
        self.inputs = read_inputs(adapter, model, inputs)
        self.saved: Saved = adapter.save(
            model, self.inputs, folder, "hf_v1", SaveOptions(TransformersOptions(**options))
        )
        self.own = adapter.answers(model, self.inputs, self.saved)

    def ask(self, loader: Any = load) -> dict[str, Array]:
        answer = loader.run(
            str(self.folder), self.saved.model, list(self.inputs.items()), dict(self.saved.options), None, {}
        )
        return {name: array for name, array, _ in answer}

    def assert_same(self) -> None:
        answer = self.ask()
        assert list(answer) == list(self.own)
        for name, array in self.own.items():
            assert array.tobytes() == answer[name].tobytes(), name


def half(model: Any, dtype: str) -> Any:
    return model.to(getattr(torch, dtype))


def trained_on_eager() -> Any:
    model = tiny.bert()
    model.set_attn_implementation("eager")
    return model


MODELS = {
    "bert, tokens": (tiny.bert, tiny.tokens(), {}, ["logits"]),
    "bert, eager": (trained_on_eager, tiny.tokens(), {}, ["logits"]),
    "bert, bfloat16": (lambda: half(tiny.bert(), "bfloat16"), tiny.tokens(), {}, ["logits"]),
    "bert, float16": (
        lambda: half(tiny.bert("BertModel"), "float16"),
        tiny.tokens(),
        {},
        ["last_hidden_state", "pooler_output"],
    ),
    "llama, bfloat16, its frequencies too": (
        lambda: half(tiny.llama(), "bfloat16"),
        tiny.tokens(),
        {},
        ["logits"],
    ),
    "gpt2, its cache left out": (tiny.gpt2, {"input_ids": tiny.tokens()["input_ids"]}, {}, ["logits"]),
    "vit, one array": (tiny.vit, PIXELS, {}, ["logits"]),
    "whisper": (
        tiny.whisper,
        {"input_features": SOUND, "decoder_input_ids": np.array([[1, 5, 6]])},
        {},
        ["logits", "encoder_last_hidden_state"],
    ),
    "whisper, generated": (
        tiny.whisper,
        {"input_features": SOUND},
        {"generate": {"max_new_tokens": 3}},
        ["sequences", "scores"],
    ),
    "t5": (
        tiny.t5,
        {**tiny.tokens(), "decoder_input_ids": np.array([[0, 5], [0, 7]])},
        {},
        ["logits", "encoder_last_hidden_state"],
    ),
    "t5, generated": (tiny.t5, tiny.tokens(), {"generate": {"max_new_tokens": 3}}, ["sequences", "scores"]),
    "hidden states": (
        lambda: tiny.bert(output_hidden_states=True),
        tiny.tokens(),
        {},
        ["logits", "hidden_states_0", "hidden_states_1"],
    ),
    "tuples by the user's configuration": (
        lambda: tiny.bert("BertModel", return_dict=False),
        tiny.tokens(),
        {},
        ["last_hidden_state", "pooler_output"],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_gives_the_live_answer_bit_for_bit(name: str, tmp_path: Path) -> None:
    make, inputs, options, outputs = MODELS[name]
    case = Case(tmp_path, make(), inputs, **options)
    assert list(case.own) == outputs
    case.assert_same()


def test_texts_become_the_same_tokens_and_these_are_part_of_the_answer(tmp_path: Path) -> None:
    tokenizer = tiny.wordpiece()
    case = Case(tmp_path, tiny.bert(), tiny.TEXTS, tokenizer=tokenizer)
    assert list(case.own) == ["logits", "input_ids", "token_type_ids", "attention_mask"]
    assert case.own["input_ids"].tolist() == tokenizer(tiny.TEXTS, padding=True)["input_ids"]
    assert case.inputs["texts"].dtype.kind == "U"
    assert {file.role for file in case.saved.files} == {"model", "external"}
    case.assert_same()


def test_a_tokenizer_is_read_by_its_file_alone_where_that_makes_the_same_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tiny.wordpiece()
    about = Case(tmp_path, tiny.bert(), tiny.TEXTS, tokenizer=tokenizer).saved.options["texts"]
    assert about == {
        "inputs": ["texts"],
        "settings": {"padding": True},
        "tokenizer": "PreTrainedTokenizerFast",
        "names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    other = tiny.byte_pairs()
    monkeypatch.setattr(writing.reading, "read_tokenizer", lambda folder, about: other)
    (tmp_path / "more").mkdir()
    about = Case(tmp_path / "more", tiny.bert(), tiny.TEXTS, tokenizer=tokenizer).saved.options["texts"]
    assert isinstance(about, dict)
    assert about["tokenizer"] == type(tokenizer).__name__


def test_texts_are_cut_and_paired_as_the_user_says(tmp_path: Path) -> None:
    pairs = {"text": tiny.TEXTS, "text_pair": tiny.TEXTS[::-1]}
    settings = {"max_length": 9, "truncation": True, "padding": "max_length"}
    case = Case(tmp_path, tiny.bert(), pairs, tokenizer=tiny.wordpiece(), tokenize=settings)
    assert case.own["input_ids"].shape == (3, 9)
    assert set(np.unique(case.own["token_type_ids"])) == {0, 1}
    case.assert_same()


def test_a_tokenizer_beside_tokens_is_kept_and_not_asked(tmp_path: Path) -> None:
    case = Case(tmp_path, tiny.bert(), tiny.tokens(), tokenizer=tiny.wordpiece())
    roles = {Path(file.path).name: file.role for file in case.saved.files}
    assert roles["tokenizer.json"] == "optional"
    assert "not asked" in " ".join(case.saved.notes)


def test_texts_that_an_array_can_not_hold_are_refused(tmp_path: Path) -> None:
    for inputs, words in (
        (["a\0"], "NUL"),
        ({"text": ["a"], "title": ["b"]}, "one list of them"),
        ({"text": ["a", "b"], "text_pair": ["b"]}, "one length"),
        ({"text_pair": ["b"]}, "one list of them"),
    ):
        with pytest.raises(NotArchivable, match=words) as caught:
            Case(tmp_path, tiny.bert(), inputs, tokenizer=tiny.wordpiece())
        assert caught.value.advice


def test_equal_models_give_equal_files(tmp_path: Path) -> None:
    contents = []
    for place in (tmp_path / "one", tmp_path / "two"):
        place.mkdir()
        case = Case(place, tiny.bert(), tiny.TEXTS, tokenizer=tiny.wordpiece())
        contents.append({file.path: (place / file.path).read_bytes() for file in case.saved.files})
    assert contents[0] == contents[1]


def test_a_witness_in_float64_is_near_and_keeps_the_tokens(tmp_path: Path) -> None:
    case = Case(tmp_path, tiny.bert(), tiny.TEXTS, tokenizer=tiny.wordpiece())
    wide = case.ask(float64)
    assert wide["logits"].dtype == np.float32
    assert np.allclose(wide["logits"], case.own["logits"], atol=1e-6)
    assert np.array_equal(wide["input_ids"], case.own["input_ids"])


def test_what_computes_in_less_than_float64_has_no_such_witness(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="less than float64"):
        Case(tmp_path, tiny.t5(), {**tiny.tokens(), "decoder_input_ids": np.ones((2, 2), int)}).ask(float64)
    (tmp_path / "more").mkdir()
    with pytest.raises(Refused, match="generate"):
        Case(tmp_path / "more", tiny.t5(), tiny.tokens(), generate={"max_new_tokens": 2}).ask(float64)


def test_a_model_that_was_left_in_training_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="training mode"):
        Case(tmp_path, tiny.bert(hidden_dropout_prob=0.5).train(), tiny.tokens())


def test_what_the_outputs_mean_is_recorded(tmp_path: Path) -> None:
    case = Case(tmp_path, tiny.bert(id2label={0: "no", 1: "yes"}), tiny.tokens())
    assert case.saved.signature == {"classes": ["no", "yes"]}
    assert case.saved.scores["logits"] is True
    (tmp_path / "more").mkdir()
    case = Case(tmp_path / "more", tiny.bert(num_labels=1), tiny.tokens())
    assert case.saved.scores["logits"] is False
    assert case.saved.signature == {}


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


def test_another_process_may_ask_a_folder_itself(tmp_path: Path) -> None:
    tiny.bert().save_pretrained(tmp_path / "model")
    tiny.wordpiece().save_pretrained(tmp_path / "model")
    adapter = FRAMEWORK.make_adapter()
    opened: Any = adapter.load_file(tmp_path / "model")
    inputs = read_inputs(adapter, opened, tiny.TEXTS)
    (tmp_path / "artifact").mkdir()
    saved = adapter.save_file(
        tmp_path / "model", inputs, tmp_path / "artifact", "hf_v1", SaveOptions(TransformersOptions())
    )
    options = SimpleNamespace(options=saved.options)
    answer = adapter.answers(opened, inputs, options)  # type: ignore[arg-type]  # as that process gives them
    model = tiny.bert()
    model.set_attn_implementation("eager")
    tokens = tiny.wordpiece()(tiny.TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**tokens).logits.numpy()
    assert np.array_equal(answer["logits"], expected)
    assert list(answer) == ["logits", "input_ids", "token_type_ids", "attention_mask"]
