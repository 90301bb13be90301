"""How a Transformers model is asked, as its metadata records it: `call`, `texts`, `generate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import Array, json_values
from timeproof.frameworks.pytorch import call as pytorch_call
from timeproof.frameworks.pytorch.call import Argument
from timeproof.frameworks.pytorch.passing import narrow_types, passed_by_name
from timeproof.frameworks.transformers.local_folder import FolderContents
from timeproof.frameworks.transformers.options import TransformersOptions
from timeproof.frameworks.transformers.probe.asking import GENERATION
from timeproof.frameworks.transformers.recognising import ATTENTIONS
from timeproof.frameworks.transformers.texts import PAIR, text_names

DTYPES = ("float32", "bfloat16", "float16", "float64")
_SEVERAL = ("num_beams", "num_return_sequences")


def check_options(chosen: TransformersOptions, *, is_folder: bool) -> None:
    """Raise BadRequest for an option that does not belong to such a model."""
    if chosen.format not in {None, "safetensors"}:
        raise BadRequest(
            f"Transformers models are not saved as {chosen.format!r}",
            advice="leave the format out: safetensors",
        )
    if not is_folder and (chosen.dtype or chosen.attention):
        raise BadRequest(
            "dtype and attention are said of a folder; a live model has its own",
            advice="leave them out, or convert the model: model.to(torch.bfloat16)",
        )
    if is_folder and chosen.tokenizer is not None:
        raise BadRequest(
            "a folder has its own tokenizer", advice="leave tokenizer= out, or archive the live model with it"
        )
    if chosen.dtype is not None and chosen.dtype not in DTYPES:
        raise BadRequest(
            f"the dtype {chosen.dtype!r} is not known", advice=f"it is one of {', '.join(DTYPES)}"
        )
    if chosen.attention is not None and chosen.attention not in ATTENTIONS:
        raise BadRequest(
            f"the attention {chosen.attention!r} is not known", advice=f"it is one of {', '.join(ATTENTIONS)}"
        )


def of_live_model(
    model: Any, inputs: Mapping[str, Array], tokenizer: Any, chosen: TransformersOptions, notes: list[str]
) -> dict[str, Json]:
    """Say how each input reaches the model. Raises NotArchivable where they don't fit its forward."""
    texts = text_names(inputs)
    if texts and tokenizer is None:
        raise NotArchivable(
            "the inputs are texts, and there is no tokenizer that makes tokens of them",
            advice="give options=TransformersOptions(tokenizer=tokenizer); or give the tokens:"
            " tokenizer(texts, padding=True, return_tensors='pt')",
        )
    generation = _generation(chosen, notes)
    if generation is not None and not getattr(model, "can_generate", lambda: False)():
        raise NotArchivable(
            f"{type(model).__name__} generates nothing",
            advice="leave generate out: the model itself is asked",
        )
    if texts or generation is not None:  # what forward needs beside them, tokens and generate bring
        call = _named(inputs, texts)
    else:
        call = pytorch_call.bind(
            model, list(inputs), named=passed_by_name(inputs), narrow=narrow_types(inputs)
        )
    pads = getattr(tokenizer, "pad_token", None) is not None
    return {
        "call": [argument.to_json() for argument in call],
        "texts": _about_texts(texts, chosen, notes, pads=pads),
        "generate": generation,
    }


def of_folder(
    contents: FolderContents, inputs: Mapping[str, Array], chosen: TransformersOptions, notes: list[str]
) -> dict[str, Json]:
    """Say how each input reaches the model of a folder. Raises NotArchivable."""
    texts = text_names(inputs)
    if texts and not contents.tokenizer:
        raise NotArchivable(
            f"the inputs are texts, and {contents.path} has no tokenizer",
            advice="save it there (tokenizer.save_pretrained(folder)), or give the tokens (input_ids, …)",
        )
    return {
        "call": [argument.to_json() for argument in _named(inputs, texts)],
        "texts": _about_texts(texts, chosen, notes, pads=contents.pads),
        "generate": _generation(chosen, notes),
    }


def dtype_of(contents: FolderContents, chosen: TransformersOptions, notes: list[str]) -> str:
    """Give the type in which a folder's model computes: the user's, else that of config.json."""
    stated = contents.config.get("dtype") or contents.config.get("torch_dtype")
    dtype = chosen.dtype or (stated if stated in DTYPES else None) or "float32"
    if chosen.dtype is None and dtype != "float32":
        notes.append(f"it computes in {dtype}, as its config.json says; dtype='float32' says another")
    return dtype


def _named(inputs: Mapping[str, Array], texts: list[str]) -> tuple[Argument, ...]:
    """Pass each array by its name where the user named it, else by its place."""
    named, narrow = passed_by_name(inputs), narrow_types(inputs)
    return tuple(
        Argument(name, name if named else None, narrow.get(name)) for name in inputs if name not in texts
    )


def _about_texts(names: list[str], chosen: TransformersOptions, notes: list[str], *, pads: bool) -> Json:
    """Which inputs are texts, and how they are tokenised, by the class that the files name."""
    if not names:
        if chosen.tokenize is not None:
            raise BadRequest(
                "tokenize says how texts become tokens, and there are no texts",
                advice="give a list of strings as the inputs, or leave tokenize out",
            )
        return None
    users: Mapping[str, object] = chosen.tokenize if chosen.tokenize is not None else {}
    settings = {**({"padding": True} if pads else {}), **users}
    for name in ("return_tensors", "text", PAIR):
        if name in settings:
            raise BadRequest(f"tokenize can't hold {name!r}", advice="the texts are the inputs")
    return {
        "inputs": [*names],
        "tokenizer": None,
        "settings": json_values(settings, "tokenize", notes),
    }


def _generation(chosen: TransformersOptions, notes: list[str]) -> Json:
    """How generate is asked, greedily; None where the model itself is asked. Raises BadRequest."""
    if chosen.generate is None:
        return None
    settings = json_values(chosen.generate, "generate", notes)
    assert isinstance(settings, dict)
    sampling = ["do_sample"] if settings.get("do_sample") else []
    if more := [*sampling, *(name for name in _SEVERAL if settings.get(name) not in (None, 1))]:
        raise BadRequest(
            f"generate with {', '.join(more)} is not greedy: small differences choose another text",
            advice="leave it out: what is archived is the greedy answer, with each step's scores",
        )
    if strange := sorted(set(settings) - GENERATION):
        raise BadRequest(
            f"generate can't be told {', '.join(strange)}", advice=f"it takes {', '.join(sorted(GENERATION))}"
        )
    return settings
