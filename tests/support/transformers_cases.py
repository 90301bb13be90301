"""Models of transformers that are saved, and asked by the loader in this very process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from timeproof.frameworks.base import Array, Saved, SaveOptions
from timeproof.frameworks.inputs import read_inputs
from timeproof.frameworks.pytorch.probe import float64 as pytorch_float64
from timeproof.frameworks.pytorch.probe import load as pytorch_load
from timeproof.frameworks.transformers import FRAMEWORK, TransformersOptions
from timeproof.frameworks.transformers.probe import load
from timeproof_probe import loaders


def take_loaders_of_this_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the loader torch's own, which lies beside it in an image."""
    modules = {None: pytorch_load, "float64": pytorch_float64}
    monkeypatch.setattr(loaders, "load", lambda framework, witness=None: modules[witness])


class Case:
    """A model that was saved into `folder`, and its user's own answer."""

    def __init__(self, folder: Path, model: Any, inputs: Any, **options: Any) -> None:
        adapter = FRAMEWORK.make_adapter()
        self.folder = folder
        self.inputs = read_inputs(adapter, model, inputs)
        self.saved: Saved = adapter.save(
            model, self.inputs, folder, "hf_v1", SaveOptions(TransformersOptions(**options))
        )
        self.live = adapter.answers(model, self.inputs, self.saved)

    def ask(self, loader: Any = load) -> dict[str, Array]:
        answer = loader.run(
            str(self.folder), self.saved.model, list(self.inputs.items()), dict(self.saved.options), None, {}
        )
        return {name: array for name, array, _ in answer}

    def assert_same(self) -> None:
        answer = self.ask()
        assert list(answer) == list(self.live)
        for name, array in self.live.items():
            assert array.tobytes() == answer[name].tobytes(), name
