"""Make the golden archive of CatBoost. Run once, by hand; no test ever does.

    PYTHONPATH=tests .venv-dev/bin/python tests/golden/make_catboost.py tests/golden/v1/catboost LOCK

It is an archive of its own: the demo's environment holds no CatBoost. LOCK is the folder of an environment
with catboost and onnxruntime, which measures the copies. Simulated CPUs prove that the bits hold on others.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support.catboost_models import mixed, numeric, regressor

import timeproof
from golden.make import keep


def main(target: Path, environment: str) -> None:
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for model, inputs in (numeric(), mixed(iterations=3), regressor()):
            done = timeproof.archive(
                model, inputs, grid_size=6, root=root, environment=environment, prove_portable=True
            )
            proofs = [(proof.cpu, proof.profile, proof.verdict) for proof in done.metadata.proofs]
            print(done.ref, proofs, [copy.distance.summary for copy in done.metadata.copies], flush=True)
        keep(root, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
