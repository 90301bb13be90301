"""Make the golden archive of Transformers. Run once, by hand; no test ever does.

    PYTHONPATH=tests .venv-dev/bin/python tests/golden/make_transformers.py tests/golden/v1/transformers LOCK

It is an archive of its own: the demo's environment holds no transformers. LOCK is the folder of an
environment with transformers (lockfiles/transformers-5.24); this interpreter should have the same release.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support import tiny_transformers as tiny

import timeproof
from golden.make import keep
from timeproof.frameworks.transformers import TransformersOptions


def main(target: Path, environment: str) -> None:
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for model, inputs, options in (
            (tiny.bert(), tiny.TEXTS, {"tokenizer": tiny.wordpiece()}),
            (tiny.gpt2(), {"input_ids": tiny.tokens()["input_ids"]}, {"generate": {"max_new_tokens": 4}}),
        ):
            done = timeproof.archive(
                model,
                inputs,
                grid_size=6,
                root=root,
                environment=environment,
                options=TransformersOptions(**options),
            )
            print(done.ref, done.own, done.metadata.notes, flush=True)
        keep(root, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
