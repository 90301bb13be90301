"""Save models of Hugging Face transformers: a folder of save_pretrained, asked as its user asks it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.frameworks import model_files
from timeproof.frameworks.base import AdapterDefaults, Array, Saved, SaveOptions, answering
from timeproof.frameworks.inputs import Inputs
from timeproof.frameworks.options import options_of
from timeproof.frameworks.pytorch import call as pytorch_call
from timeproof.frameworks.pytorch import differences as pytorch_differences
from timeproof.frameworks.pytorch.call import Argument, evaluating
from timeproof.frameworks.pytorch.probe import tensors
from timeproof.frameworks.transformers import FRAMEWORK, local_folder, meanings, question, writing
from timeproof.frameworks.transformers.options import TransformersOptions
from timeproof.frameworks.transformers.probe import asking, reading
from timeproof.frameworks.transformers.recognising import check_model, is_of_transformers
from timeproof.frameworks.transformers.texts import read_inputs, text_names, texts_of
from timeproof_probe import output_names
from timeproof_probe.file_checks import Refused

_OWN_MARKS = (
    "_is_hf_initialized",
    "name_or_path",
)  # attributes that the library sets, and no answer depends on


@dataclass(frozen=True, slots=True)
class SavedModel(Saved):
    """A saved model, and the live tokenizer that its user's process asks."""

    tokenizer: Any = None


@dataclass(frozen=True, slots=True)
class OpenedFolder:
    """A folder that this process may load: `answers` asks it in a process of its own."""

    path: Path


class Transformers(AdapterDefaults):
    name = FRAMEWORK.name

    def recognises(self, model: object) -> bool:
        return is_of_transformers(model)

    def input_name(self, model: object) -> str | None:
        name = getattr(model, "main_input_name", None)
        return name if isinstance(name, str) else None

    def inputs(self, model: object, original: object) -> Inputs:
        """Read arrays, and texts, which stay texts."""
        return read_inputs(original, self.input_name(model) or "input")

    def save(
        self, model: Any, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Write `model_<tag>/`: config.json, safetensors, and the tokenizer's files where it is given.

        Raises:
            NotArchivable: the folder would not bring the model back.
        """
        chosen = options_of(TransformersOptions, options.framework)
        question.check_options(chosen, is_folder=False)
        check_model(model)
        notes: list[str] = []
        tokenizer = writing.tokenizer_of(chosen.tokenizer)
        way = question.of_live_model(model, inputs, tokenizer, chosen, notes)
        written = writing.write(model, chosen.tokenizer, folder / f"model_{tag}")
        if isinstance(about := way["texts"], dict):
            about |= writing.tokenizer_record(
                tokenizer, folder / f"model_{tag}", texts_of(inputs, text_names(inputs)), about["settings"]
            )
        config, generating = model.config.to_dict(), way["generate"] is not None
        notes += meanings.remarks(type(model).__name__, config, generating=generating)
        if chosen.tokenizer is not None and way["texts"] is None:
            notes.append("the tokenizer is kept, and not asked: the inputs are what it made")
        return SavedModel(
            framework=self.name,
            framework_version=str(importlib.import_module("transformers").__version__),
            files=local_folder.saved_files(written, f"model_{tag}", tokenizing=way["texts"] is not None),
            model=f"model_{tag}/{local_folder.CONFIG}",
            class_module=type(model).__module__,
            class_name=type(model).__qualname__,
            init_args={},
            options={
                "class": type(model).__name__,
                "dtype": str(model.dtype).removeprefix("torch."),
                "attention": getattr(model.config, "_attn_implementation", None),
                "experts": getattr(model.config, "_experts_implementation", None),
                "dtypes": meanings.buffer_types(model),
                **way,
                "left_out": meanings.left_out(getattr(model.config, "keys_to_ignore_at_inference", ())),
            },
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
            scores=meanings.scores(type(model).__name__, config),
            signature=meanings.signature(config),
            tokenizer=tokenizer,
        )

    def save_file(
        self, path: Path, inputs: Mapping[str, Array], folder: Path, tag: str, options: SaveOptions
    ) -> Saved:
        """Copy the files of a local folder that the model needs; nothing is loaded."""
        chosen = options_of(TransformersOptions, options.framework)
        question.check_options(chosen, is_folder=True)
        contents = local_folder.read(path)
        notes = list(contents.notes)
        way = question.of_folder(contents, inputs, chosen, notes)
        local_folder.copy(path, contents.files, folder / f"model_{tag}")
        generating = way["generate"] is not None
        notes += meanings.remarks(contents.architecture, contents.config, generating=generating)
        dtype, attention = question.dtype_of(contents, chosen, notes), chosen.attention or "eager"
        if chosen.attention is None:
            notes.append(
                "its attention is computed by 'eager', which every model has; attention= says another"
            )
        return SavedModel(
            framework=self.name,
            framework_version=None,
            files=local_folder.saved_files(
                contents.files, f"model_{tag}", tokenizing=way["texts"] is not None
            ),
            model=f"model_{tag}/{local_folder.CONFIG}",
            class_module="transformers",
            class_name=contents.architecture,
            init_args={},
            options={
                "class": contents.architecture,
                "dtype": dtype,
                "attention": attention,
                "experts": None,
                "dtypes": {},
                **way,
                "left_out": meanings.left_out(()),
            },
            copies=(),
            source_files=(),
            notes=tuple(notes),
            input_names=tuple(inputs),
            scores=meanings.scores(contents.architecture, contents.config),
            signature=meanings.signature(contents.config),
        )

    def load_file(self, path: Path) -> OpenedFolder:
        return OpenedFolder(path)

    def answers(self, model: Any, inputs: Mapping[str, Array], saved: Saved) -> dict[str, Array]:
        """Ask the model here as it is, in evaluation mode; a folder, in a process of its own.

        Raises NotArchivable, too, where it is in training mode and answers otherwise in it.
        """
        if isinstance(model, Path):
            original = inputs.original if isinstance(inputs, Inputs) else dict(inputs)
            return model_files.answers(self.name, model, original, saved.options)
        if isinstance(model, OpenedFolder):
            return _of_folder(model.path, inputs, saved.options)

        def ask(module: Any) -> dict[str, Array]:
            return _ask_here(module, inputs, saved.options, getattr(saved, "tokenizer", None))

        with evaluating(model):
            answer = ask(model)
        if training := [name or type(model).__name__ for name, m in model.named_modules() if m.training]:
            pytorch_call.require_same_in_training(model, ask, training)
        return answer

    def differences(self, model: Any, saved: Saved) -> list[str]:
        torch: Any = importlib.import_module("torch")

        def rebuild() -> Any:
            with torch.random.fork_rng(devices=[]):
                module = type(model)(model.config)
            module.load_state_dict(model.state_dict())
            return module

        listed = pytorch_differences.reasons(model, saved, rebuild)
        dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()})
        if len(dtypes) > 1:
            listed.append(f"its weights are of several types ({', '.join(dtypes)}), and load as one")
        return [reason for reason in listed if not any(mark in reason for mark in _OWN_MARKS)]


def _ask_here(
    module: Any, inputs: Mapping[str, Array], options: Mapping[str, Any], tokenizer: Any
) -> dict[str, Array]:
    """Ask a model in this process as the container does. Raises NotArchivable."""
    torch: Any = importlib.import_module("torch")
    names = options["texts"]["inputs"] if options["texts"] else []
    arrays = {name: array for name, array in inputs.items() if name not in names}
    call = tuple(Argument(**entry) for entry in options["call"])
    positional, by_name = pytorch_call.arguments(module, arrays, call)
    asker = asking.Asker(module, dict(options), tokenizer, texts_of(inputs, names))
    with answering(), torch.inference_mode():
        answer = asker(*positional, **by_name)
        try:
            outputs = output_names.flatten(answer, torch.is_tensor)
        except ValueError as error:
            raise NotArchivable(
                f"the model's answer can't be stored: {error}",
                advice="archive the part of it that gives tensors, or a module of your own around it",
            ) from None
        return {name: tensors.to_array(item)[0] for name, item in outputs}


def _of_folder(path: Path, inputs: Mapping[str, Array], options: Mapping[str, Any]) -> dict[str, Array]:
    """Load a folder in this process, and ask it. Raises NotArchivable."""
    reading.stay_offline()
    with answering():
        try:
            module = reading.build(str(path), dict(options))
            about = options["texts"]
            tokenizer = reading.read_tokenizer(str(path), about) if about else None
        except Refused as error:
            raise NotArchivable(f"{path}: {error}", advice=local_folder.SAVE_ANEW) from None
    return _ask_here(module, inputs, options, tokenizer)
