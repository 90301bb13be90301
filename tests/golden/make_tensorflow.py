"""Make the golden archive of TensorFlow. Run once, by hand; no test ever does.

    PYTHONPATH=tests .venv-zoo-tensorflow/bin/python tests/golden/make_tensorflow.py \\
        tests/golden/v1/tensorflow lockfiles/tensorflow-2.21

It is an archive of its own: the demo's environment holds no TensorFlow. What must hold on every CPU is proved
on simulated ones.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support.tensorflow_models import affine, pictures

import timeproof
from golden.make import keep


def main(target: Path, environment: str) -> None:
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for model, inputs in (pictures(), affine()):
            done = timeproof.archive(
                model, inputs, grid_size=6, root=root, environment=environment, prove_portable=True
            )
            proofs = [(proof.cpu, proof.profile, proof.verdict) for proof in done.metadata.proofs]
            print(done.ref, proofs, [copy.distance.summary for copy in done.metadata.copies], flush=True)
        keep(root, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
