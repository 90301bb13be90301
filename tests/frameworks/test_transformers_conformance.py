"""Transformers does what every framework must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support import tiny_transformers as tiny

from timeproof.frameworks.transformers import FRAMEWORK, TransformersOptions
from timeproof.testing.conformance import FrameworkTests, Sample

pytest.importorskip("transformers")


class TestTransformers(FrameworkTests):
    framework = FRAMEWORK

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        # Few: each runs in processes of its own, and each imports torch. test_transformers_models.py
        # asks many in one process.
        tiny.gpt2().save_pretrained(folder / "saved")
        return {
            "texts": Sample(tiny.bert(), tiny.TEXTS, TransformersOptions(tokenizer=tiny.wordpiece())),
            "folder": Sample(
                folder / "saved", tiny.tokens(), TransformersOptions(generate={"max_new_tokens": 3})
            ),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        (folder / "config.json").write_text("{}")
        return {
            "texts without a tokenizer": Sample(tiny.bert(), tiny.TEXTS),
            "a format": Sample(tiny.vit(), np.zeros((1, 3, 8, 8)), TransformersOptions(format="bin")),
            "a folder that holds no model": Sample(folder, tiny.tokens()),
        }
