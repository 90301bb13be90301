"""Make the golden archives of PyTorch's other forms. Run once, by hand; no test ever does.

    PYTHONPATH=tests:tests/user_code .venv-dev/bin/python tests/golden/make_torch.py \
        tests/golden/v1/torch_forms lockfiles/torch-2.13

An exported program with its own inputs; a scripted module; layers without a class; weights in a .safetensors
file with the name of their class. (Files of the first two say where on this machine they were made.)
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from support.exported_programs import ROWS, exported
from support.script_modules import scripted
from tiny_net import TinyNet

import timeproof
from golden.make import keep
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.frameworks.pytorch.probe import safetensors_file


def models(folder: Path) -> Iterator[tuple[Any, Any, PyTorchOptions | None]]:
    torch.manual_seed(0)
    yield exported(), None, None
    yield scripted(), ROWS, None
    layers = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    yield layers.eval(), ROWS, None
    arguments = {"inputs": 4, "classes": 3}
    weights = folder / "weights.safetensors"
    safetensors_file.write(str(weights), TinyNet(**arguments).state_dict().items(), {})
    yield weights, ROWS, PyTorchOptions(model_class="tiny_net:TinyNet", init_args=arguments)


def main(target: Path, environment: str) -> None:
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it exports and scripts
        root = Path(name) / "archive"
        for model, inputs, options in models(Path(name)):
            done = timeproof.archive(
                model, inputs, grid_size=6, root=root, environment=environment, options=options
            )
            print(done.ref, [w.kind for w in done.metadata.witnesses], done.metadata.notes, flush=True)
        keep(root, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
