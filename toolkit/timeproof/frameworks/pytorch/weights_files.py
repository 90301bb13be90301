"""Archive a .safetensors file with the class of its weights, whose source is copied and never imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import Array, Saved, SavedFile, SaveOptions, copy_bytes, json_values
from timeproof.frameworks.options import options_of
from timeproof.frameworks.pytorch import FRAMEWORK, sources
from timeproof.frameworks.pytorch.call import Argument
from timeproof.frameworks.pytorch.options import PyTorchOptions
from timeproof.frameworks.pytorch.passing import narrow_types, passed_by_name
from timeproof.frameworks.pytorch.probe import safetensors_file

_CLASS = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")


def save_file(path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions) -> Saved:
    """Write `model_<tag>.safetensors`, byte for byte the user's, and `source_<tag>/`.

    Raises:
        NotArchivable: no class is named, or it can't be found; the file is not one of the format.
    """
    chosen = options_of(PyTorchOptions, options.framework)
    if path.suffix != safetensors_file.SUFFIX and not _is_safetensors(path):
        raise NotArchivable(
            f"{path} holds weights without their class, or code that runs when it is loaded",
            advice="build the class, load these weights into it, and archive that live object from Python:"
            " timeproof.archive(model, inputs, …)",
        )
    if chosen.format not in {None, "safetensors"}:
        raise BadRequest(f"{path} is kept as it is, as safetensors", advice="leave the format out")
    header = _header(path)
    module, name = _class_of(path, chosen)
    notes: list[str] = []
    built_with = json_values(dict(chosen.init_args or {}), "init_args", notes)
    assert isinstance(built_with, dict)
    captured = sources.locate(module, name)
    file = f"model_{tag}{safetensors_file.SUFFIX}"
    copy_bytes(path, folder / file)
    root = f"source_{tag}"
    written = [f"{root}/{source}" for source in sources.write(captured, folder / root)] if captured else []
    notes += sources.doubts(captured)
    if not captured:
        notes.append(f"the class is an installed library's ({module}): no source is copied")
    named, narrow = passed_by_name(inputs), narrow_types(inputs)
    call: list[Json] = [Argument(k, k if named else None, narrow.get(k)).to_json() for k in inputs]
    return Saved(
        framework=FRAMEWORK.name,
        framework_version=None,
        files=(
            SavedFile(file, "model", "safetensors"),
            *(SavedFile(source, "source", "python") for source in written),
        ),
        model=file,
        class_module=module,
        class_name=name,
        init_args=built_with,
        options={
            "module": module,
            "qualname": name,
            "init_args": built_with,
            "source": root if captured else None,
            "quantized": [],
            "call": call,
            "facts": {"tensors": len(header.entries)},
        },
        copies=(),
        source_files=tuple(written),
        notes=tuple(notes),
        input_names=tuple(inputs),
    )


def _is_safetensors(path: Path) -> bool:
    try:
        safetensors_file.read_header(str(path))
    except (safetensors_file.BadSafetensors, OSError):
        return False
    return True


def _header(path: Path) -> safetensors_file.Header:
    try:
        header = safetensors_file.read_header(str(path))
    except safetensors_file.BadSafetensors as error:
        raise NotArchivable(
            f"{path} is not a .safetensors file that can be read: {error}",
            advice="save it again where the model is: safetensors.torch.save_model(model, path)",
        ) from None
    if not header.entries:
        raise NotArchivable(f"{path} holds no tensors", advice="give the file with the model's weights")
    return header


def _class_of(path: Path, options: PyTorchOptions) -> tuple[str, str]:
    if options.model_class is None:
        raise NotArchivable(
            f"{path} is safetensors: weights without their class",
            advice="name the class, and what it was built with: --class MODULE:CLASS --init-args '{…}'"
            " (PyTorchOptions(model_class=…, init_args=…)); or load them into the model and archive that",
        )
    match = _CLASS.fullmatch(options.model_class)
    if match is None:
        raise BadRequest(
            f"{options.model_class!r} names no class", advice="write MODULE:CLASS, such as mypackage.net:Net"
        )
    return match["module"], match["name"]
