"""Save PyTorch models: the state, the class's own source, and an ONNX copy; never a pickled module."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
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
)
from timeproof.frameworks.options import options_of
from timeproof.frameworks.pytorch import FRAMEWORK, asking, onnx_export, quantised, sources, weights_files
from timeproof.frameworks.pytorch import call as pytorch_call
from timeproof.frameworks.pytorch import differences as pytorch_differences
from timeproof.frameworks.pytorch.call import evaluating
from timeproof.frameworks.pytorch.init_args import check_kind
from timeproof.frameworks.pytorch.layers import construction_of
from timeproof.frameworks.pytorch.options import PyTorchOptions
from timeproof.frameworks.pytorch.passing import narrow_types, passed_by_name
from timeproof.frameworks.pytorch.probe import load
from timeproof.frameworks.pytorch.safetensors_copy import write_copy
from timeproof.frameworks.pytorch.state import check_state
from timeproof.frameworks.transformers.recognising import is_of_transformers
from timeproof.store.schema.v1 import ProfileRecord


class PyTorch(AdapterDefaults):
    name = FRAMEWORK.name
    exports = "onnx"

    def recognises(self, model: object) -> bool:
        return (
            comes_from(model, "torch", frozenset({"Module"}))
            and not comes_from(model, "torch", frozenset({"ScriptModule"}))
            and not is_of_transformers(model)
        )

    def input_name(self, model: object) -> str | None:  # noqa: ARG002 - every adapter is called alike
        return None

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>.pth`, its weights as `.safetensors` beside it, and `source_<tag>/`.

        Raises:
            NotArchivable: the class can't be rebuilt from its source and `init_args`, or the state holds
                what `weights_only` refuses to load.
        """
        chosen = options_of(PyTorchOptions, options.framework)
        if chosen.format not in {None, "pth"}:
            raise BadRequest(
                f"PyTorch models are not saved as {chosen.format!r}", advice="leave the format out"
            )
        if chosen.model_class is not None:
            raise BadRequest(
                "a class is named for a model that is one already",
                advice="model_class (--class) goes with a .safetensors file: leave it out",
            )
        torch: Any = importlib.import_module("torch")
        check_kind(model)
        kind = type(model)
        notes: list[str] = []
        named, narrow = passed_by_name(inputs), narrow_types(inputs)
        call = pytorch_call.bind(model, list(inputs), named=named, narrow=narrow)
        construction = construction_of(model, chosen, notes)
        built_with = construction.init_args
        captured = sources.capture_all(construction.classes)
        file = f"model_{tag}.pth"
        torch.save(_state(model, chosen, built_with, options.timestamp), folder / file)
        files = [SavedFile(file, "model", "torch-state")]
        if chosen.safetensors:
            files += write_copy(model.state_dict(), folder / file, folder, tag, notes)
        root = f"source_{tag}"
        written = [f"{root}/{path}" for path in sources.write(captured, folder / root)] if captured else []
        files += [SavedFile(path, "source", "python") for path in written]
        notes += sources.doubts(captured)
        if construction.layers is not None:
            notes.append(
                "it is built of layers: what each was built with is archived, and no source of torch's"
            )
        elif not captured:
            notes.append(f"the class is an installed library's ({kind.__module__}): no source is copied")
        return Saved(
            framework=self.name,
            framework_version=str(torch.__version__),
            files=tuple(files),
            model=file,
            class_module=kind.__module__,
            class_name=kind.__qualname__,
            init_args=built_with,
            options={
                "module": kind.__module__,
                "qualname": kind.__qualname__,
                "init_args": built_with,
                **({"layers": construction.layers} if construction.layers is not None else {}),
                "source": root if captured else None,
                "quantized": quantised_modules(model),
                "call": [argument.to_json() for argument in call],
                **_types(model),
            },
            copies=(),
            source_files=tuple(written),
            notes=tuple(notes),
            input_names=tuple(inputs),
        )

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Run the model here as it is, on its own device, in evaluation mode, without gradients.

        Raises NotArchivable, too, where it is in training mode and answers otherwise in it.
        """
        if isinstance(model, Path):
            raise NoRuntime(
                "a file of weights is loaded in the container alone",
                advice="hand in the answer that you know (expected=…), or archive the live module",
            )
        return asking.answers(model, inputs, asking.recorded_call(saved))

    def differences(self, model: Any, saved: Saved) -> list[str]:
        torch: Any = importlib.import_module("torch")

        def rebuild() -> Any:
            with torch.random.fork_rng(devices=[]):
                tree = saved.options.get("layers")
                module = load.build_layers(tree) if tree is not None else type(model)(**saved.init_args)
            module.load_state_dict(model.state_dict())
            return module

        return pytorch_differences.reasons(model, saved, rebuild)

    def wants_export(self, options: SaveOptions) -> bool:
        return options_of(PyTorchOptions, options.framework).onnx

    def check_profile(self, saved: Saved, profile: ProfileRecord, *, keep: bool) -> Saved:
        return quantised.check_profile(saved, profile, keep=keep)

    def interchange(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        folder: Path,
        tag: str,
        options: SaveOptions,
        saved: Saved,
    ) -> Saved:
        """Write `model_<tag>.onnx` beside the state, where the exporter can; a note says why not."""
        notes: list[str] = []
        with evaluating(model):
            exported = onnx_export.export(
                model, inputs, asking.recorded_call(saved), folder, tag, options, notes
            )
        if exported is None:
            return replace(saved, notes=(*saved.notes, *notes))
        copy, files = exported
        return replace(
            saved, files=(*saved.files, *files), copies=(*saved.copies, copy), notes=(*saved.notes, *notes)
        )

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy a .safetensors file, and the source of the class that the user names for it."""
        return weights_files.save_file(path, inputs, folder, tag, options)


def _types(model: Any) -> dict[str, Json]:
    """Name the types that neither the state nor the class carries.

    `dtypes`: of buffers that are not part of the state; `default_dtype`: torch's, where it is not float32.
    """
    torch: Any = importlib.import_module("torch")
    state = model.state_dict()
    dtypes: dict[str, Json] = {
        name: str(buffer.dtype).removeprefix("torch.")
        for name, buffer in model.named_buffers()
        if name not in state and (buffer.is_floating_point() or buffer.is_complex())
    }
    default = str(torch.get_default_dtype()).removeprefix("torch.")
    return {
        **({"dtypes": dtypes} if dtypes else {}),
        **({"default_dtype": default} if default != "float32" else {}),
    }


def quantised_modules(model: Any) -> list[Json]:
    """Name the kinds of quantized modules in it: their kernels are FBGEMM's, which differ by CPU."""
    kinds = {type(module) for module in model.modules()}
    names = {kind.__name__ for kind in kinds if ".quantized" in kind.__module__}
    return [*sorted(name for name in names if not name.endswith("PackedParams"))]


def _state(
    model: Any, options: PyTorchOptions, built_with: Mapping[str, Json], timestamp: str
) -> dict[str, object]:
    """What the model's file holds. Raises NotArchivable for what `weights_only` refuses to load."""
    torch: Any = importlib.import_module("torch")
    state, optimizer_state = model.state_dict(), _optimizer_state(options.optimizer)
    check_state(state, "model_state")
    check_state(optimizer_state, "optimizer_state")
    return {
        "model_state": state,
        "epoch": options.epoch,
        "optimizer_state": optimizer_state,
        "meta": {
            "torch_version": str(torch.__version__),
            "model_class": f"{type(model).__module__}.{type(model).__qualname__}",
            "init_args": built_with,
            "timestamp": timestamp,
        },
    }


def _optimizer_state(optimizer: object) -> object:
    if optimizer is None or isinstance(optimizer, dict):
        return optimizer
    if not hasattr(optimizer, "state_dict"):
        raise NotArchivable(
            f"the optimizer is a {type(optimizer).__name__}", advice="give the optimizer, or its state_dict()"
        )
    return optimizer.state_dict()
