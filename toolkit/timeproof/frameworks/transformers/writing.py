"""Write a live model, and what made its inputs, as save_pretrained does: JSON, safetensors, plain text."""

from __future__ import annotations

import importlib
import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timeproof.base.paths import list_tree
from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import comes_from
from timeproof.frameworks.transformers import local_folder
from timeproof.frameworks.transformers.probe import reading

_TOKENIZER = frozenset({"PreTrainedTokenizerBase"})
_PLAIN = "PreTrainedTokenizerFast"
_LOG = logging.getLogger("timeproof")
_MAKERS = frozenset({"ProcessorMixin", "ImageProcessingMixin", "FeatureExtractionMixin"})


def tokenizer_of(maker: object) -> Any:
    """Give the tokenizer that the user gave, or that is in the processor; None where there is none.

    Raises:
        BadRequest: it is neither.
        NotArchivable: it is code of its own.
    """
    if maker is None:
        return None
    if not comes_from(maker, "transformers", _TOKENIZER | _MAKERS):
        raise BadRequest(
            f"the tokenizer is a {type(maker).__module__}.{type(maker).__qualname__}",
            advice="give one of transformers: PreTrainedTokenizerFast(tokenizer_object=…) wraps another",
        )
    tokenizer = maker if comes_from(maker, "transformers", _TOKENIZER) else getattr(maker, "tokenizer", None)
    for part in (maker, tokenizer):
        if part is not None and not type(part).__module__.startswith("transformers."):
            raise NotArchivable(
                f"{type(part).__module__}.{type(part).__qualname__} is code of its own, which no file holds",
                advice="give the tokens as the inputs, made by it before",
            )
    return tokenizer


def write(model: Any, maker: Any, folder: Path) -> list[str]:
    """Write all of it into `folder`; give the files' names. Raises NotArchivable."""
    plainly = {"safe_serialization": True} if _takes(model.save_pretrained, "safe_serialization") else {}
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")  # the library's own, of what it will rename
            model.save_pretrained(folder, **plainly)
            if maker is not None:
                maker.save_pretrained(folder)
    except Exception as error:  # whatever the library raises, of shared tensors or a generation's settings
        raise NotArchivable(
            f"save_pretrained does not save it: {type(error).__name__}: {str(error).strip()[:500]}",
            advice="mend that first: model.save_pretrained(folder) must work",
        ) from error
    names = list_tree(folder)
    if strange := [name for name in names if not local_folder.is_plain(name)]:
        raise NotArchivable(
            f"save_pretrained writes {', '.join(strange[:3])}, which is code, a pickle, or in a folder",
            advice="give the tokens as the inputs, without tokenizer=; or use the library's own classes",
        )
    return names


def tokenizer_record(tokenizer: Any, folder: Path, texts: list[list[str]], settings: Any) -> dict[str, Json]:
    """Say by which class the container reads the tokenizer, and what that gives.

    It is the plain one, which follows tokenizer.json alone, where it makes the same tokens; else its
    own. For classes change: transformers 5 builds some by rules of its own, whatever that file says.

    Args:
        settings: of the call that makes tokens of the texts.
    """
    record: dict[str, Json] = {"tokenizer": _PLAIN, "names": list(tokenizer.model_input_names)}
    try:
        with _quiet():
            plain = reading.read_tokenizer(str(folder), record)
        if plain(*texts, **settings).data == tokenizer(*texts, **settings).data:
            return record
    except Exception as error:  # it has no such file, or no token to pad with, which the live one says, too
        _LOG.debug("%s is not read by its tokenizer.json: %s", type(tokenizer).__name__, error)
    return {**record, "tokenizer": type(tokenizer).__name__}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars and warnings off the terminal meanwhile."""
    messages: Any = importlib.import_module("transformers.utils.logging")
    bars_enabled, verbosity = messages.is_progress_bar_enabled(), messages.get_verbosity()
    messages.disable_progress_bar()
    messages.set_verbosity_error()
    try:
        yield
    finally:
        messages.set_verbosity(verbosity)
        if bars_enabled:
            messages.enable_progress_bar()


def _takes(function: Any, name: str) -> bool:
    return name in inspect.signature(function).parameters
