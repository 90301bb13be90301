"""Run a Transformers model: read its folder, and ask it on arrays, on texts, or by generate."""

import importlib
import os
from typing import Any, Callable, Dict, List, Optional, Tuple

from timeproof_probe import loaders

from . import asking, reading

MODULES = ("transformers", "torch", "tokenizers", "safetensors", "numpy")
TORCH = "pytorch"  # the loader of torch's own models: it lies beside this one, for this one needs torch


def warm() -> None:
    reading.stay_offline()
    importlib.import_module("torch")
    importlib.import_module("transformers")


def prepare(
    directory: str, model: str, inputs: List[Tuple[str, Any]], options: Dict[str, Any], threads: Optional[int]
) -> Tuple[Callable[[], Any], List[Tuple[str, Any]]]:
    """Read the tokenizer; give what builds the model, each time anew, and the inputs that are no texts."""
    reading.stay_offline()
    loaders.load(TORCH).set_threads(threads)
    folder = os.path.join(directory, os.path.dirname(model))
    about_texts = options.get("texts") or {"inputs": []}
    arrays = dict(inputs)
    texts = [[str(text) for text in arrays.pop(name)] for name in about_texts["inputs"]]
    tokenizer = reading.read_tokenizer(folder, about_texts) if texts else None

    def build() -> Any:
        return asking.Asker(reading.build(folder, options), options, tokenizer, texts)

    return build, list(arrays.items())


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    torch: Any = importlib.import_module("torch")
    pytorch = loaders.load(TORCH)
    build, arrays = prepare(directory, model, inputs, options, threads)
    model_asker = build()  # outside of inference_mode: tensors that are made in it take other kernels
    with torch.inference_mode():
        answer = pytorch.ask(model_asker, pytorch.tensors_of(arrays, options), options)
    return [(name, *pytorch.tensors.to_array(tensor)) for name, tensor in answer]
