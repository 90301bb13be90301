"""Folders of models that are cut, false, or ask for code: each is named, with a way out; nothing is left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny_transformers as tiny

from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import Saved, SaveOptions
from timeproof.frameworks.choose import spec_for_file
from timeproof.frameworks.inputs import read_inputs
from timeproof.frameworks.transformers import FRAMEWORK, TransformersOptions
from timeproof.frameworks.transformers.probe import asking, reading
from timeproof_probe.file_checks import Refused

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of save_pretrained, in shards, with its tokenizer."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    tiny.bert().save_pretrained(folder, max_shard_size="4KB")
    tiny.wordpiece().save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def save(folder: Path, inputs: Any = None, **options: Any) -> Saved:
    target = folder.parent / "artifact"
    target.mkdir()
    adapter = FRAMEWORK.make_adapter()
    arrays = read_inputs(adapter, folder, tiny.tokens() if inputs is None else inputs)
    return adapter.save_file(folder, arrays, target, "hf_v1", SaveOptions(TransformersOptions(**options)))


def edit(path: Path, **changes: Any) -> None:
    value = json.loads(path.read_text())
    for key, change in changes.items():
        value.pop(key, None) if change is None else value.update({key: change})
    path.write_text(json.dumps(value))


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **changes)


def shard(place: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model.safetensors.index.json"
        places = json.loads(path.read_text())["weight_map"]
        edit(path, weight_map=places | {next(iter(places)): place})

    return change


def cut_shard(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes()[:-10])


def pickled(folder: Path) -> None:
    for path in folder.glob("model*"):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def linked(folder: Path) -> None:
    path = folder / "config.json"
    path.rename(folder.parent / "elsewhere.json")
    path.symlink_to(folder.parent / "elsewhere.json")


def huge(folder: Path) -> None:
    os.truncate(folder / "config.json", 17 * 2**20)


def deep(folder: Path) -> None:
    (folder / "config.json").write_text('{"a":' * 200_000)


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no configuration": (lambda f: (f / "config.json").unlink(), "no file .*config.json", "save_pretrained"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is no JSON", "save_pretrained"),
    "no object": (lambda f: (f / "config.json").write_text("[]"), "no JSON object", "save_pretrained"),
    "huge JSON": (huge, "at most 16777216", "save_pretrained"),
    "deep JSON": (deep, "no JSON", "save_pretrained"),
    "code in the folder": (config(auto_map={"AutoModel": "mine.Net"}), "auto_map", "transformers itself"),
    "quantized": (config(quantization_config={"bits": 4}), "quantized", "made from"),
    "no architecture": (config(architectures=None), "which class", "save_pretrained"),
    "two architectures": (config(architectures=["BertModel", "GPT2Model"]), "which class", "save_pretrained"),
    "an architecture that is a path": (config(architectures=["os.system"]), "which class", "save_pretrained"),
    "no model type": (config(model_type=None), "model_type", "save_pretrained"),
    "a cut shard": (cut_shard, "safetensors: its tensors have", "save_pretrained"),
    "a shard outside": (shard("../elsewhere.safetensors"), "no file beside it", "save_pretrained"),
    "a shard by its whole path": (shard("/etc/passwd"), "no file beside it", "save_pretrained"),
    "a shard that is absent": (shard("absent.safetensors"), "no file .*absent", "save_pretrained"),
    "pickled weights": (pickled, "pytorch_model.bin: a pickle", "safe_serialization=True"),
    "no weights": (lambda f: [p.unlink() for p in f.glob("model*")], "holds no weights", "save_pretrained"),  # type: ignore[dict-item, return-value]
    "a link": (linked, "symbolic link", "cp -rL"),
    "an adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "PEFT", "merge_and_unload"),  # type: ignore[dict-item, return-value]
    "a tokenizer that is code": (
        lambda f: edit(f / "tokenizer_config.json", auto_map={"AutoTokenizer": "mine.T"}),
        "code of its own",
        "tokens as the inputs",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_folder_that_is_no_whole_model_is_refused_by_what_is_wrong(name: str, folder: Path) -> None:
    spoil, words, advice = FAULTS[name]
    spoil(folder)
    assert spec_for_file(folder) == FRAMEWORK
    with pytest.raises(NotArchivable, match=words) as caught:
        save(folder)
    assert advice in caught.value.advice
    assert list((folder.parent / "artifact").iterdir()) == []


def test_a_whole_folder_in_shards_is_copied_byte_for_byte(folder: Path) -> None:
    saved = save(folder)
    names = {Path(file.path).name for file in saved.files}
    assert names == {path.name for path in folder.iterdir()}
    for file in saved.files:
        assert (folder.parent / "artifact" / file.path).read_bytes() == (
            folder / Path(file.path).name
        ).read_bytes()
    roles = {Path(file.path).name: file.role for file in saved.files}
    assert roles["config.json"] == "model"
    assert roles["model.safetensors.index.json"] == "external"
    assert roles["tokenizer.json"] == "optional", "the container gets no file that it does not ask"


def test_what_lies_beside_the_model_is_not_archived(folder: Path) -> None:
    for name in ("run.py", "optimizer.pt", "README.md", "pytorch_model.bin"):
        (folder / name).write_bytes(b"print()")
    saved = save(folder, tiny.TEXTS)
    names = {Path(file.path).name for file in saved.files}
    assert not names & {"run.py", "optimizer.pt", "README.md", "pytorch_model.bin"}
    assert "pytorch_model.bin is left out" in " ".join(saved.notes)
    assert {file.role for file in saved.files} == {"model", "external"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int3"}, "int3"),
        ({"attention": "flash"}, "flash"),
        ({"tokenizer": 7}, "own tokenizer"),
        ({"format": "bin"}, "bin"),
        ({"tokenize": {"padding": True}}, "no texts"),
        ({"generate": {"do_sample": True}}, "not greedy"),
    ],
)
def test_options_that_fit_no_folder_are_refused(folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        save(folder, **options)
    assert caught.value.advice


def test_texts_need_a_tokenizer_in_the_folder(folder: Path) -> None:
    for path in (*folder.glob("tok*"), *folder.glob("vocab*"), *folder.glob("special*")):
        path.unlink()
    with pytest.raises(NotArchivable, match="has no tokenizer"):
        save(folder, tiny.TEXTS)


OPTIONS = {
    "class": "BertForSequenceClassification",
    "dtype": "float32",
    "attention": "eager",
    "experts": None,
}


@pytest.mark.parametrize(
    ("options", "change", "words"),
    [
        ({"class": "os"}, None, "offers no class 'os'"),
        ({"class": "BertConfig"}, None, "offers no class"),
        ({"class": "pipeline"}, None, "offers no class"),
        ({"class": "__builtins__"}, None, "offers no class"),
        ({"class": "NoSuchModel"}, None, "offers no class"),
        ({"class": "GPT2Model"}, None, "is of a 'bert'"),
        ({"class": "BertForQuestionAnswering"}, None, "lack 2 of the model's tensors: qa_outputs.bias"),
        ({"attention": "somebody/kernel"}, None, "no attention of the library's own"),
        ({"experts": "somebody/kernel"}, None, "no experts of the library's own"),
        ({}, config(auto_map={"AutoModel": "mine.Net"}), "code of its own"),
        ({}, config(quantization_config={"bits": 4}), "quantized"),
    ],
)
def test_the_container_builds_a_class_of_the_library_from_whole_tensors_only(
    folder: Path, options: dict[str, Any], change: Callable[[Path], None] | None, words: str
) -> None:
    if change is not None:
        change(folder)
    with pytest.raises(Refused, match=words):
        reading.build(str(folder), {**OPTIONS, **options})


def test_generate_is_told_nothing_that_brings_code() -> None:
    options = {"generate": {"custom_generate": "folder", "trust_remote_code": True}, "left_out": []}
    with pytest.raises(Refused, match="custom_generate, trust_remote_code"):
        asking.Asker(tiny.gpt2(), options)()


def test_the_container_reads_no_pickle_even_where_one_lies_there(folder: Path) -> None:
    pickled(folder)
    with pytest.raises(OSError, match="safetensors"):
        reading.build(str(folder), OPTIONS)


def test_the_container_takes_no_tokenizer_but_the_librarys(folder: Path) -> None:
    with pytest.raises(Refused, match="offers no class"):
        reading.read_tokenizer(str(folder), {"tokenizer": "BertModel"})
