"""Write a live model, and what made its inputs, as save_pretrained does: JSON, safetensors, plain text."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timeproof.base.paths import list_tree
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import comes_from
from timeproof.frameworks.transformers import local_folder

_TOKENIZER = frozenset({"PreTrainedTokenizerBase"})
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars off the terminal meanwhile."""
    logging: Any = importlib.import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _takes(function: Any, name: str) -> bool:
    return name in inspect.signature(function).parameters
