"""Save TorchScript modules: a live one as torch.jit.save writes it, a file's bytes as they are."""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timeproof.base.strictjson import Json
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import (
    AdapterDefaults,
    Array,
    NoRuntime,
    Saved,
    SavedFile,
    SaveOptions,
    comes_from,
    copy_bytes,
)
from timeproof.frameworks.options import options_of
from timeproof.frameworks.pytorch import asking, quantised
from timeproof.frameworks.pytorch import call as pytorch_call
from timeproof.frameworks.pytorch.call import Argument
from timeproof.frameworks.pytorch.passing import narrow_types, passed_by_name
from timeproof.frameworks.torchscript import FRAMEWORK
from timeproof.frameworks.torchscript.code_files import read_script
from timeproof.frameworks.torchscript.options import TorchScriptOptions
from timeproof.store.schema.v1 import ProfileRecord

_DEPRECATED = (
    "TorchScript is deprecated since PyTorch 2.11, and some later release will not read it: archive the"
    " module that it was made from as well, or its torch.export program, while you have it"
)
_PLACES = "the file says where on its author's machine the source lay (debug records)"
_KINDS = frozenset({"ScriptModule", "ScriptFunction"})


class TorchScript(AdapterDefaults):
    name = FRAMEWORK.name

    def recognises(self, model: object) -> bool:
        return comes_from(model, "torch", _KINDS)

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.pt`, without the debug records, which name paths of this machine."""
        _check_options(options)
        if not comes_from(model, "torch", frozenset({"ScriptModule"})):
            raise NotArchivable(
                "the model is a TorchScript function, no module",
                advice="save it (function.save('model.pt')) and archive that file",
            )
        torch: Any = importlib.import_module("torch")
        named, narrow = passed_by_name(inputs), narrow_types(inputs)
        call = pytorch_call.bind(model, list(inputs), named=named, narrow=narrow)
        stream = io.BytesIO()  # into a stream: by a path, torch names the archive's folder after the file
        with _undisturbed():
            torch.jit.save(model, stream)
        file = f"model_{tag}.pt"
        (folder / file).write_bytes(_without_places(torch, stream.getvalue()))
        return _saved(folder / file, file, inputs, call, str(torch.__version__))

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a TorchScript file; only the container loads it. Raises NotArchivable."""
        _check_options(options)
        named, narrow = passed_by_name(inputs), narrow_types(inputs)
        call = tuple(Argument(name, name if named else None, narrow.get(name)) for name in inputs)
        file = f"model_{tag}.pt"
        copy_bytes(path, folder / file)
        return _saved(folder / file, file, inputs, call, None)

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask a live module here; a file is never loaded in this process."""
        if isinstance(model, Path):
            raise NoRuntime(
                "a TorchScript file is loaded in the container alone",
                advice="hand in the answer that you know (expected=…), or archive the loaded module",
            )
        with _undisturbed():
            return asking.answers(model, inputs, asking.recorded_call(saved))

    def check_profile(self, saved: Saved, profile: ProfileRecord, *, keep: bool) -> Saved:
        return quantised.check_profile(saved, profile, keep=keep)


def _check_options(options: SaveOptions) -> None:
    form = options_of(TorchScriptOptions, options.framework).format
    if form not in {None, "pt"}:
        raise BadRequest(f"TorchScript modules are not saved as {form!r}", advice="leave the format out")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep torch's own warnings of the deprecation from the user: a note of the artifact's says it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        yield


def _saved(
    path: Path, file: str, inputs: Mapping[str, Array], call: tuple[Argument, ...], version: str | None
) -> Saved:
    """Say what was written, from the file itself."""
    script = read_script(path)
    notes = [_DEPRECATED]
    if script.names_places:
        notes.append(_PLACES)
    if script.libraries:
        notes.append(f"it calls operators of {', '.join(script.libraries)}, which the environment must hold")
    quantized: list[Json] = [*script.quantized]
    return Saved(
        framework=FRAMEWORK.name,
        framework_version=version,
        files=(SavedFile(file, "model", "torchscript"),),
        model=file,
        class_module=None,
        class_name=None,
        init_args={},
        options={
            "call": [argument.to_json() for argument in call],
            "libraries": list(script.libraries),
            "quantized": quantized,
            "facts": {"random": list(script.random)},
        },
        copies=(),
        source_files=(),
        notes=tuple(notes),
        input_names=tuple(inputs),
    )


def _without_places(torch: Any, data: bytes) -> bytes:
    """Write the archive again without its debug records; as it is where this torch can't do that."""
    stream = io.BytesIO()
    try:
        reader = torch._C.PyTorchFileReader(io.BytesIO(data))
        writer = torch._C.PyTorchFileWriter(stream)
        for name in reader.get_all_records():
            # The writer adds these three itself.
            if not name.endswith(".debug_pkl") and name not in {
                "version",
                "byteorder",
                ".data/serialization_id",
            }:
                record = reader.get_record(name)
                writer.write_record(name, record, len(record))
        writer.write_end_of_file()
    except (AttributeError, RuntimeError, TypeError):
        return data
    return stream.getvalue()
