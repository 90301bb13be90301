"""A folder of save_pretrained, by its bytes: which files the model needs, and what can't be archived.

JSON is parsed within bounds, and the headers of safetensors are read; nothing is loaded, and nothing fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base.limits import LIMITS
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Role, SavedFile, copy_bytes
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import Foreign
from timeproof.frameworks.imports import BadData
from timeproof.frameworks.safetensors_file import read_header

CONFIG = "config.json"
SAVE_ANEW = "save it anew where the model is: model.save_pretrained(folder)"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_GENERATION = "generation_config.json"
# What tokenizers and processors read: their settings, and the vocabularies that the library's classes name.
_MAKERS = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "normalizer.json", "spiece.model", "sentencepiece.bpe.model"),
    *("tokenizer.model", "chat_template.jinja", "preprocessor_config.json", "processor_config.json"),
    *("video_preprocessor_config.json", "source.spm", "target.spm", "entity_vocab.json", "spm.model"),
)
_PLAIN = re.compile(
    r"[A-Za-z0-9._-]+\.(json|safetensors|txt|model|jinja|spm)|chat_templates/[A-Za-z0-9._-]+\.jinja"
)
_ARCHITECTURE = re.compile(r"[A-Z][A-Za-z0-9_]{0,199}")
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors")
# Weights that are pickles, or another library's.
_OTHERS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
_ADAPTER = "adapter_config.json"
_BIN = (
    "load it where it was made, and save its tensors as safetensors:"
    " AutoModel.from_pretrained(folder).save_pretrained(folder, safe_serialization=True),"
    " by the class that you use instead of AutoModel"
)


@dataclass(frozen=True, slots=True)
class FolderContents:
    """What a folder holds of a model.

    Args:
        files: the names of the files that it needs.
        tokenizer: whether a tokenizer's files are among them.
        pads: whether the tokenizer has a token to pad with.
    """

    path: Path
    config: Mapping[str, Any]
    architecture: str
    files: tuple[str, ...]
    tokenizer: bool
    pads: bool
    notes: tuple[str, ...]


def sniff(file: ModelFile) -> bool | Foreign:
    """Say whether a folder is one that save_pretrained writes, whole or not. Files are other frameworks'."""
    if not file.is_folder or any((file.path / name).exists() for name in ("MLmodel", "saved_model.pb")):
        return False
    marks = (CONFIG, _WEIGHTS, _INDEX, _ADAPTER, *_OTHERS)
    return any((file.path / name).is_file() for name in marks)


def is_plain(name: str) -> bool:
    """Say whether a file of that name is JSON, safetensors, or a tokenizer's own data."""
    return _PLAIN.fullmatch(name) is not None


def read(path: Path) -> FolderContents:
    """Read what the folder says of itself. Raises NotArchivable, naming the file, with a way that works."""
    if (path / _ADAPTER).exists():
        raise NotArchivable(
            f"{path} holds an adapter (PEFT), which another package applies to another model",
            advice="load both, merge them (model = model.merge_and_unload()), and archive the live model",
        )
    config = _read_json(path, CONFIG, LIMITS.json_bytes)
    _check_config(path, config)
    weights = _weights(path)
    generation = [_GENERATION] if (path / _GENERATION).exists() else []
    makers = [name for name in _MAKERS if (path / name).exists()]
    for name in (*generation, *makers):
        _check_file(path, name, LIMITS.tokenizer_bytes)
    settings = _read_json(path, _MAKERS[1], LIMITS.json_bytes) if _MAKERS[1] in makers else {}
    if settings.get("auto_map"):
        raise NotArchivable(
            f"{path / _MAKERS[1]} asks for a tokenizer that is code of its own (auto_map)",
            advice="give the tokens as the inputs, and leave the tokenizer's files out of the folder",
        )
    ignored = sorted(name for name in _OTHERS if (path / name).exists())
    return FolderContents(
        path=path,
        config=config,
        architecture=config["architectures"][0],
        files=(CONFIG, *weights, *generation, *makers),
        tokenizer=any(name in makers for name in _MAKERS if "processor" not in name),
        pads=settings.get("pad_token") is not None,
        notes=tuple(f"{name} is left out: the tensors are those of the safetensors" for name in ignored),
    )


def copy(path: Path, names: Iterable[str], folder: Path) -> None:
    """Copy the files' bytes. Raises OSError."""
    folder.mkdir()
    for name in names:
        copy_bytes(path / name, folder / name)


def saved_files(names: Iterable[str], folder: str, *, tokenizing: bool) -> tuple[SavedFile, ...]:
    """Say what each file is, config.json first.

    Args:
        tokenizing: the container asks the tokenizer, so that it needs its files.
    """
    listed = sorted(names, key=lambda name: (name != CONFIG, name))
    return tuple(SavedFile(f"{folder}/{name}", *_role(name, tokenizing)) for name in listed)


def _role(name: str, tokenizing: bool) -> tuple[Role, str]:
    if name == CONFIG:
        return "model", "transformers-config"
    if name.endswith(".safetensors"):
        return "external", "safetensors"
    if name == _INDEX:
        return "external", "safetensors-index"
    if name == _GENERATION:
        return "external", "transformers-generation"
    return "external" if tokenizing else "optional", "transformers-tokenizer"


def _check_config(path: Path, config: Mapping[str, Any]) -> None:
    where = path / CONFIG
    if config.get("auto_map"):
        raise NotArchivable(
            f"{where} asks for code that comes with the model (auto_map, trust_remote_code)",
            advice="load it by a class of transformers itself, where there is one, and save it by that; or"
            " archive it as a PyTorch model, with its source: an nn.Module of your own",
        )
    if config.get("quantization_config"):
        raise NotArchivable(
            f"{where} is of a quantized model, whose kernels are another package's",
            advice="archive the model that it was made from",
        )
    architectures = config.get("architectures")
    if (
        not isinstance(architectures, list)
        or len(architectures) != 1
        or not isinstance(architectures[0], str)
        or not _ARCHITECTURE.fullmatch(architectures[0])
    ):
        raise NotArchivable(
            f"{where} does not say which class the model is of (architectures: {str(architectures)[:80]})",
            advice=f"{SAVE_ANEW}, which writes it",
        )
    if not isinstance(config.get("model_type"), str):
        raise NotArchivable(f"{where} names no model_type", advice=SAVE_ANEW)


def _weights(path: Path) -> list[str]:
    """Name the files of tensors, the index first. Raises NotArchivable."""
    if (path / _WEIGHTS).exists():
        _tensors(path, _WEIGHTS)
        return [_WEIGHTS]
    if not (path / _INDEX).exists():
        if unread := [name for name in _OTHERS if (path / name).exists()]:
            raise NotArchivable(
                f"{path} holds its weights in {unread[0]}: a pickle, or another library's file",
                advice=_BIN,
            )
        raise NotArchivable(f"{path} holds no weights ({_WEIGHTS})", advice=SAVE_ANEW)
    places = _read_json(path, _INDEX, LIMITS.json_bytes).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise NotArchivable(f"{path / _INDEX} has no weight_map", advice=SAVE_ANEW)
    shards: dict[str, frozenset[str]] = {}
    for tensor, shard in places.items():
        if not isinstance(shard, str) or not _SHARD.fullmatch(shard):
            raise NotArchivable(
                f"{path / _INDEX} places {tensor[:80]!r} in {str(shard)[:80]!r}, which is no file beside it",
                advice=SAVE_ANEW,
            )
        if shard not in shards:
            shards[shard] = _tensors(path, shard)
        if tensor not in shards[shard]:
            raise NotArchivable(f"{path / shard} holds no tensor {tensor[:80]!r}", advice=SAVE_ANEW)
    return [_INDEX, *sorted(shards)]


def _tensors(path: Path, name: str) -> frozenset[str]:
    """Name the tensors of a file, whose header is checked. Raises NotArchivable."""
    _check_file(path, name, None)
    try:
        return frozenset(read_header(path / name).tensors)
    except BadData as error:
        raise NotArchivable(f"{path / name}: {error}", advice=SAVE_ANEW) from None


def _check_file(path: Path, name: str, limit: int | None) -> None:
    """Raise NotArchivable where it is no regular file in this very folder, or too large."""
    file = path / name
    if file.is_symlink():
        raise NotArchivable(
            f"{file} is a symbolic link, as in the cache of downloads",
            advice=f"copy the folder with what the links point to (cp -rL {path} COPY), and archive the copy",
        )
    if not file.is_file():
        raise NotArchivable(f"there is no file {file}", advice=SAVE_ANEW)
    if limit is not None and file.stat().st_size > limit:
        raise NotArchivable(f"{file} has {file.stat().st_size} bytes, at most {limit}", advice=SAVE_ANEW)


def _read_json(path: Path, name: str, limit: int) -> dict[str, Any]:
    """Read a JSON object; Infinity is allowed, for the library writes it. Raises NotArchivable."""
    _check_file(path, name, limit)
    try:
        value = json.loads((path / name).read_bytes())
    except (ValueError, RecursionError) as error:
        raise NotArchivable(f"{path / name} is no JSON: {str(error)[:200]}", advice=SAVE_ANEW) from None
    if not isinstance(value, dict):
        raise NotArchivable(f"{path / name} holds no JSON object", advice=SAVE_ANEW)
    return value
