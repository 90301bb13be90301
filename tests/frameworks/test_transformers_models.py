"""Models of transformers: what is recorded and answered; the loader is asked in this very process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import tiny_transformers as tiny
from support.transformers_cases import Case, take_loaders_of_this_tree

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import SaveOptions
from timeproof.frameworks.inputs import read_inputs
from timeproof.frameworks.transformers import FRAMEWORK, TransformersOptions, writing
from timeproof.frameworks.transformers.probe import float64
from timeproof_probe.file_checks import Refused

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
PIXELS = np.random.default_rng(1).random((2, 3, 8, 8), np.float32)
SOUND = np.random.default_rng(1).random((1, 4, 20), np.float32)


@pytest.fixture(autouse=True)
def _loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    take_loaders_of_this_tree(monkeypatch)


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
    assert list(case.live) == outputs
    case.assert_same()


def test_texts_become_the_same_tokens_and_these_are_part_of_the_answer(tmp_path: Path) -> None:
    tokenizer = tiny.wordpiece()
    case = Case(tmp_path, tiny.bert(), tiny.TEXTS, tokenizer=tokenizer)
    assert list(case.live) == ["logits", "input_ids", "token_type_ids", "attention_mask"]
    assert case.live["input_ids"].tolist() == tokenizer(tiny.TEXTS, padding=True)["input_ids"]
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
    assert case.live["input_ids"].shape == (3, 9)
    assert set(np.unique(case.live["token_type_ids"])) == {0, 1}
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
    assert np.allclose(wide["logits"], case.live["logits"], atol=1e-6)
    assert np.array_equal(wide["input_ids"], case.live["input_ids"])


def test_what_computes_in_less_than_float64_has_no_such_witness(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="less than float64"):
        Case(tmp_path, tiny.t5(), {**tiny.tokens(), "decoder_input_ids": np.ones((2, 2), int)}).ask(float64)
    (tmp_path / "more").mkdir()
    with pytest.raises(Refused, match="generate"):
        Case(tmp_path / "more", tiny.t5(), tiny.tokens(), generate={"max_new_tokens": 2}).ask(float64)


def test_what_the_outputs_mean_is_recorded(tmp_path: Path) -> None:
    case = Case(tmp_path, tiny.bert(id2label={0: "no", 1: "yes"}), tiny.tokens())
    assert case.saved.signature == {"classes": ["no", "yes"]}
    assert case.saved.scores["logits"] is True
    (tmp_path / "more").mkdir()
    case = Case(tmp_path / "more", tiny.bert(num_labels=1), tiny.tokens())
    assert case.saved.scores["logits"] is False
    assert case.saved.signature == {}


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
