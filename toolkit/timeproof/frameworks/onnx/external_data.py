"""The external data of ONNX files: the files that hold it, checked, copied and renamed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks.base import SavedFile, copy_bytes
from timeproof.frameworks.onnx.probe import onnxfile, wire_format


def keep_copy(
    path: Path, renamed: Mapping[str, str], folder: Path, tag: str
) -> tuple[tuple[SavedFile, ...], tuple[str, ...]]:
    """Copy an `.onnx` file and what holds its external data; give the files, and notes on their new names.

    Args:
        renamed: what `external_names` gave.
    """
    file = f"model_{tag}.onnx"
    for location, name in renamed.items():
        copy_bytes(path.parent / location, folder / name)
    if renamed:
        _relocate(path, folder / file, renamed)
    else:
        copy_bytes(path, folder / file)
    more = [SavedFile(name, "external", "onnx-external-data") for name in renamed.values()]
    notes = tuple(f"{name} holds the external data of {old}" for old, name in renamed.items())
    return (SavedFile(file, "model", "onnx"), *more), notes


def external_names(path: Path, file: onnxfile.OnnxFile, tag: str) -> dict[str, str]:
    """Check each data file, and name it `model_<tag>_<k>.data`; gives the new names by place."""
    renamed: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for item in file.external:
        if item.location in renamed:
            continue
        try:
            onnxfile.check_location(item.location)
        except wire_format.BadOnnx as error:
            raise NotArchivable(f"{path}: {error}", advice=_EXTERNAL_ADVICE) from None
        source = path.parent / item.location
        folder = path.parent
        for part in item.location.split("/"):
            folder = folder / part
            if folder.is_symlink():
                raise NotArchivable(
                    f"{path}: external data at {item.location!r}, which is a symbolic link",
                    advice=_EXTERNAL_ADVICE,
                )
        if not source.is_file():
            raise NotArchivable(
                f"{path}: external data at {item.location!r}, where there is no file", advice=_EXTERNAL_ADVICE
            )
        renamed[item.location] = f"model_{tag}_{len(renamed)}.data"
        sizes[item.location] = source.stat().st_size
    try:
        onnxfile.check_external(file, sizes)
    except wire_format.BadOnnx as error:
        raise NotArchivable(f"{path}: {error}", advice=_EXTERNAL_ADVICE) from None
    return renamed


_EXTERNAL_ADVICE = "save the model anew, with its data beside it (onnx.save_model)"


def _relocate(path: Path, target: Path, renamed: Mapping[str, str]) -> None:
    """Write the model with its external data's places renamed; everything else stays as it is."""
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError:
        raise NotArchivable(
            f"{path} keeps its data in other files, and renaming them needs the onnx package",
            advice="pip install onnx, or save the model as one file",
        ) from None
    model = onnx.load(os.fspath(path), load_external_data=False)
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = renamed[entry.value]
    data = model.SerializeToString()
    places = {item.location for item in onnxfile.inspect(data).external} - set(renamed.values())
    if places:
        raise NotArchivable(
            f"{path}: external data of a kind that can't be renamed, at {', '.join(sorted(places))}",
            advice="save the model as one file (onnx.save_model with save_as_external_data=False)",
        )
    with target.open("xb") as writer:
        writer.write(data)


def _tensors(message: Any) -> Iterator[Any]:
    """Give every TensorProto below a protobuf message, wherever it hides."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for below in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _tensors(below)
