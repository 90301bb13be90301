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
        tiny.bert().save_pretrained(folder / "saved")
        pixels = np.random.default_rng(1).random((2, 3, 8, 8), np.float32)
        return {
            "tokens": Sample(tiny.bert(), tiny.tokens()),
            "texts": Sample(tiny.bert(), tiny.TEXTS, TransformersOptions(tokenizer=tiny.wordpiece())),
            "generated": Sample(
                tiny.gpt2(),
                tiny.TEXTS[:2],
                TransformersOptions(tokenizer=tiny.byte_pairs(), generate={"max_new_tokens": 4}),
            ),
            "pixels": Sample(tiny.vit(), pixels),
            "folder": Sample(folder / "saved", tiny.tokens()),
        }

    def refused(self, folder: Path) -> Mapping[str, Sample]:
        (folder / "config.json").write_text("{}")
        return {
            "texts without a tokenizer": Sample(tiny.bert(), tiny.TEXTS),
            "a format": Sample(tiny.vit(), np.zeros((1, 3, 8, 8)), TransformersOptions(format="bin")),
            "a folder that holds no model": Sample(folder, tiny.tokens()),
        }
