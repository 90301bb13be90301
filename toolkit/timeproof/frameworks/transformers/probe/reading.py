"""Read a folder of save_pretrained: configuration, tensors, tokenizer; by the library's own classes.

The training process and the container share it. Nothing is fetched, no code of the folder is run, and no
pickle is read. It imports torch and transformers only when it is called.
"""

import importlib
import json
import os
import re
from typing import Any, Dict

from timeproof_probe.file_checks import Refused

_CLASS = re.compile(r"[A-Z][A-Za-z0-9_]*")
_IMPLEMENTATION = re.compile(r"[a-z][a-z0-9_]*")
_SHOWN = 3  # tensors that a message names


def stay_offline() -> None:
    """Tell the libraries to fetch nothing, and to tokenise in one thread."""
    for name, value in (
        ("HF_HUB_OFFLINE", "1"),
        ("TRANSFORMERS_OFFLINE", "1"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ):
        os.environ.setdefault(name, value)


def class_named(name: Any, base: str) -> Any:
    """Give a class that transformers offers by name. Raises Refused for any other object."""
    transformers: Any = importlib.import_module("transformers")
    kind = getattr(transformers, name, None) if isinstance(name, str) and _CLASS.fullmatch(name) else None
    if not isinstance(kind, type) or not issubclass(kind, getattr(transformers, base)):
        raise Refused("transformers {} offers no class {!r}".format(transformers.__version__, name))
    return kind


def read_config(folder: str) -> Dict[str, Any]:
    """Read config.json. Raises Refused where it asks for code, or for another package's kernels."""
    path = os.path.join(folder, "config.json")
    try:
        with open(path, encoding="utf-8") as stream:
            config = json.load(stream)
    except (ValueError, RecursionError) as error:
        raise Refused("config.json is no JSON: {}".format(error))
    if not isinstance(config, dict):
        raise Refused("config.json holds no JSON object")
    for key, meaning in (
        ("auto_map", "code of its own"),
        ("quantization_config", "a quantized model"),
    ):
        if config.get(key):
            raise Refused("config.json asks for {} ({})".format(meaning, key))
    return config


def build(folder: str, options: Dict[str, Any]) -> Any:
    """Load the model, in evaluation mode. Raises Refused where a tensor is missing or of another shape."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")

    kind = class_named(options["class"], "PreTrainedModel")
    kind_of_config = getattr(kind.config_class, "model_type", None)
    config = read_config(folder)
    if config.get("model_type") not in (None, kind_of_config):
        raise Refused(
            "config.json is of a {!r}, and {} is made from a {!r}".format(
                config.get("model_type"), options["class"], kind_of_config
            )
        )
    # The argument was renamed: transformers 5 warns of the old name.
    major = int(transformers.__version__.split(".")[0])
    settings = {"dtype" if major >= 5 else "torch_dtype": getattr(torch, options["dtype"])}
    for key, argument in (("attention", "attn_implementation"), ("experts", "experts_implementation")):
        if options.get(key):
            if not _IMPLEMENTATION.fullmatch(
                options[key]
            ):  # the library fetches what has a slash in its name
                raise Refused("{!r} is no {} of the library's own".format(options[key], key))
            settings[argument] = options[key]
    transformers.utils.logging.disable_progress_bar()
    module, info = kind.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **settings
    )
    missing = sorted(info.get("missing_keys") or ())
    if missing:  # the library would make them up by random numbers
        names = ", ".join(missing[:_SHOWN])
        raise Refused("the files lack {} of the model's tensors: {}".format(len(missing), names))
    shapes = sorted(str(item) for item in info.get("mismatched_keys") or ())
    if shapes:
        raise Refused("tensors have other shapes than the model's: {}".format(", ".join(shapes[:_SHOWN])))
    # A mapped file's tensors lie anywhere; torch's own memory is aligned, and kernels choose by that.
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data = tensor.data.clone()
    # Loading computes the buffers that no file holds in float32; the user's model.to(bfloat16) has cast them.
    buffers = dict(module.named_buffers())
    for name, dtype in (options.get("dtypes") or {}).items():
        if name in buffers:
            buffers[name].data = buffers[name].data.to(getattr(torch, dtype))
    return module.eval()


def read_tokenizer(folder: str, about: Dict[str, Any]) -> Any:
    """Load the tokenizer.

    Args:
        about: `tokenizer`: its class; None: the one that its files name. `names`: what it gives, such
            as input_ids; None: what that class gives by itself.
    """
    settings: Dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if about.get("names"):
        settings["model_input_names"] = about["names"]
    if about["tokenizer"] is None:
        transformers: Any = importlib.import_module("transformers")
        return transformers.AutoTokenizer.from_pretrained(folder, **settings)
    kind = class_named(about["tokenizer"], "PreTrainedTokenizerBase")
    return kind.from_pretrained(folder, **settings)
