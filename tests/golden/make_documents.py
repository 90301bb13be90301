"""Make the golden archive of PMML and PFA. Run once, by hand; no test ever does.

    PYTHONPATH=tests .venv-dev/bin/python tests/golden/make_documents.py tests/golden/v1/pmml_pfa LOCK

LOCK is the folder of an environment with LightGBM. Its model has a PMML and a PFA copy; these are archived as
models of their own, too: the PMML by its own verification and by its inputs, the PFA by its inputs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import lightgbm
import numpy as np

import timeproof
from golden.make import keep
from timeproof.frameworks.lightgbm import LightGBMOptions

RNG = np.random.default_rng(20260103)
TABLE = RNG.normal(size=(40, 3))
TABLE[RNG.random(TABLE.shape) < 0.1] = np.nan
CLASSES = np.digitize(np.nan_to_num(TABLE[:, 0]), [-0.5, 0.5])


def main(target: Path, environment: str) -> None:
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        model = lightgbm.LGBMClassifier(n_estimators=2, min_child_samples=4, n_jobs=1, verbose=-1)
        options = LightGBMOptions(pmml=True, pfa=True)
        rows = TABLE[:11]
        done = timeproof.archive(
            model.fit(TABLE, CLASSES), rows, grid_size=6, root=root, environment=environment, options=options
        )
        print(done.ref, [copy.distance.summary for copy in done.metadata.copies], flush=True)
        folder, built = done.path.parent, done.metadata.environment.name
        document = folder / "model_lgb_v1.pmml"
        print(timeproof.import_models(document, grid_size=6, root=root, environment=built).refs)
        for path in (document, folder / "model_lgb_v1.pfa"):
            print(timeproof.archive(path, rows, grid_size=6, root=root, environment=built).ref, flush=True)
        keep(root, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
