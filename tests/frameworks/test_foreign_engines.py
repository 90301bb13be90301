"""Our copies in engines that are not ours, where an interpreter with one is named (tests/README.md)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost

from timeproof.frameworks import SaveOptions, adapter_for, read_inputs
from timeproof.frameworks.trees.copies import write_copies
from timeproof.frameworks.trees.recorded import Recorded

X = np.random.default_rng(11).normal(size=(60, 4)).astype(np.float32)
MISSING = np.where(np.abs(X) < 0.1, np.float32(np.nan), X)
CLASSES = np.digitize(X[:, 0] + X[:, 1], [-0.6, 0.6])
_MODELS = {
    "xgboost": lambda table: xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1).fit(table, CLASSES),
    "lightgbm": lambda table: lightgbm.LGBMClassifier(
        n_estimators=5, min_child_samples=4, n_jobs=1, verbose=-1
    ).fit(table, CLASSES),
}
_TITUS = """
import json, sys
from titus.genpy import PFAEngine
document, rows = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
(engine,) = PFAEngine.fromJson(document)
fields = [(f["name"], [k for k in f["type"] if k != "null"][0]) for f in document["input"]["fields"]]
answers = []
for row in rows:
    datum = {name: None if value is None else {kind: value} for (name, kind), value in zip(fields, row)}
    answers.append(engine.action(datum)["predict_proba"])
print(json.dumps(answers))
"""
_PMML = """
import json, sys, warnings
warnings.simplefilter("ignore")
import pandas
from sklearn_pmml_model.auto_detect import auto_detect_estimator
rows = json.load(open(sys.argv[2]))
names = json.loads(sys.argv[3])
model = auto_detect_estimator(pmml=sys.argv[1])
print(json.dumps(model.predict_proba(pandas.DataFrame(rows, columns=names)).tolist()))
"""


def _interpreter(variable: str) -> str:
    if variable not in os.environ:
        pytest.skip(f"{variable} names no interpreter")
    return os.environ[variable]


def _copied(model: Any, table: np.ndarray, form: str, folder: Path) -> tuple[Path, Any, np.ndarray]:
    adapter: Any = adapter_for(model)
    inputs = read_inputs(adapter, model, table)
    saved = adapter.save(model, inputs, folder, "x_v1", SaveOptions())
    recorded = Recorded(inputs, adapter.answers(model, inputs, saved), saved.options)
    saved = write_copies(
        {form: True}, lambda: adapter.ensemble(model, folder, saved), recorded, folder, "x_v1", saved
    )
    (copy,) = saved.copies
    return folder / copy.model, copy.options["columns"], model.predict_proba(table)


def _run(interpreter: str, program: str, document: Path, table: np.ndarray, *more: str) -> np.ndarray:
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in table]
    path = document.parent / "rows.json"
    path.write_text(json.dumps(rows))
    command = [interpreter, "-c", program, str(document), str(path), *more]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("library", _MODELS)
def test_titus_runs_our_pfa(library: str, tmp_path: Path) -> None:
    interpreter = _interpreter("TIMEPROOF_TITUS_PYTHON")
    document, _, expected = _copied(_MODELS[library](MISSING), MISSING, "pfa", tmp_path)
    np.testing.assert_allclose(_run(interpreter, _TITUS, document, MISSING), expected, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("library", _MODELS)
def test_sklearn_pmml_model_reads_our_pmml(library: str, tmp_path: Path) -> None:
    interpreter = _interpreter("TIMEPROOF_PMML_PYTHON")
    document, names, expected = _copied(_MODELS[library](X), X, "pmml", tmp_path)
    given = _run(interpreter, _PMML, document, X, json.dumps(names))
    np.testing.assert_allclose(given, expected, atol=2e-6)
