"""Make the golden archive of scikit-learn. Run once, by hand; no test ever does.

    PYTHONPATH=tests .venv-dev/bin/python tests/golden/make_sklearn.py tests/golden/v1/sklearn LOCK

It is an archive of its own: the demo's environment holds no skops. LOCK is the folder of an environment with
scikit-learn, skops, pandas and onnxruntime, which measures the copies.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from support.sklearn_models import KINDS, NUMBERS, frame, pipeline

import timeproof
from golden.make import keep


def main(target: Path, environment: str) -> None:
    forest = RandomForestClassifier(4, max_depth=3, random_state=0).fit(NUMBERS, KINDS)
    table = pipeline(HistGradientBoostingClassifier(max_iter=2, random_state=0))
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own, while they save and export
        root = Path(name)
        for model, inputs in ((forest, NUMBERS), (table, frame())):
            done = timeproof.archive(model, inputs, grid_size=6, root=root, environment=environment)
            print(done.ref, [copy.distance.summary for copy in done.metadata.copies], done.metadata.notes)
        keep(root, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
