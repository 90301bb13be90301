"""Hold timeproof against the real MLflow of this venv: `make mlflow`.

MLflow writes folders; they are imported, sealed, replayed, and the archived answers compared with MLflow's.
Live models are archived by `log_model` and `autolog`. Every artifact that MLflow can serve is exported, and
`mlflow models predict --env-manager local` must answer the archived bits. Exit code 1: not all of it held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import make_folders
import numpy as np

import timeproof
import timeproof.mlflow
from timeproof.errors import TimeproofError
from timeproof.exporting.flow import ExportedFolder, export
from timeproof.importing.mlflow.flow import Request, import_folder
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.reference import read as read_reference

# What the models need, at the versions of this venv.
_WHEELS = (
    *("numpy", "scipy", "scikit-learn", "pandas", "skops", "onnx", "onnxruntime", "torch", "transformers"),
    *("xgboost-cpu", "lightgbm", "catboost"),
)
_REFUSED = frozenset({"own_code", "sklearn_pickle", "pytorch_pickle", "xgboost_no_example"})
_GRID = 5


class Report:
    """What held, line by line."""

    def __init__(self) -> None:
        self.failures = 0
        self._begun = time.monotonic()

    def line(self, step: str, name: str, text: str, *, holds: bool = True) -> None:
        self.failures += not holds
        seconds = time.monotonic() - self._begun
        print(f"{seconds:6.0f} s  {'ok  ' if holds else 'FAIL'}  {step:9} {name:24} {text}", flush=True)


def lock_folder(place: Path) -> Path:
    """An environment of what is installed here, less MLflow, with its lock; made once."""
    folder = place / "served"
    if not (folder / "conda-lock.yml").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"    - {name}=={metadata.version(name)}" for name in _WHEELS]
        python = ".".join(map(str, sys.version_info[:3]))
        head = [
            "name: served",
            "channels: [conda-forge, nodefaults]",
            "dependencies:",
            f"- python={python}",
            "- pip",
        ]
        (folder / "environment.yml").write_text("\n".join([*head, "- pip:", *lines, ""]))
        words = ["lock", folder, "--python", sys.executable, "--archive", place / "archive"]
        subprocess.run([sys.executable, "-m", "timeproof", *map(str, words)], check=True)
    return folder


def outputs(archive: Archive, ref: Ref) -> dict[str, Any]:
    facts = read_metadata(archive, ref)
    path = archive.root / ref.folder / facts.file("reference").path
    with path.open("rb") as stream:
        return read_reference(stream, facts.outputs, path)


def served(folder: Path) -> Any:
    """What the real command answers to the folder's serving example."""
    words = ["models", "predict", "-m", folder, "-i", folder / "serving_input_example.json", "-t", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", *map(str, words), "--env-manager", "local"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1][:300])
    return json.loads(done.stdout.strip().splitlines()[-1])["predictions"]


def expected_of(exported: ExportedFolder, arrays: dict[str, Any]) -> Any:
    """The archived answer as MLflow spells it."""
    if not exported.output:
        return {name: array.tolist() for name, array in arrays.items()}
    array = arrays[exported.output]
    return (array if exported.column is None else array[:, exported.column]).tolist()


def imports(report: Report, archive: Archive, environment: Path, folders: Path, only: list[str]) -> list[Ref]:
    from timeproof.engines.docker import connect

    refs = []
    for path in sorted(p for p in folders.iterdir() if (p / "MLmodel").is_file()):
        if only and path.name not in only:
            continue
        request = Request(path, _GRID, environment=environment, graph_optimization="all")
        try:
            done = import_folder(archive, request, connect)
        except TimeproofError as error:
            text = f"{error.kind}: {str(error).splitlines()[-1].strip()}"
            report.line("import", path.name, text[:150], holds=path.name in _REFUSED)
            continue
        ref = done.archived.ref if done.archived is not None else done.earlier
        assert ref is not None
        refs.append(ref)
        report.line("import", path.name, f"{ref}: {against_mlflow(path, outputs(archive, ref))}")
    return refs


def against_mlflow(folder: Path, arrays: dict[str, Any]) -> str:
    """How the archived answer stands to what MLflow's pyfunc answered."""
    file = folder.with_name(f"{folder.name}.answer.json")
    if not file.is_file():
        return "MLflow itself gave no answer"
    answer = json.loads(file.read_text())
    pairs = answer.items() if isinstance(answer, dict) else [(next(iter(arrays)), answer)]
    words = []
    for name, values in pairs:
        array = arrays.get(name, next(iter(arrays.values())))
        other = np.array(values)
        if other.shape != array.shape or other.dtype.kind != array.dtype.kind:
            words.append(f"{name}: MLflow gives {other.dtype} {list(other.shape)}, the model {array.dtype}")
        elif np.array_equal(other.astype(array.dtype), array):
            words.append(f"{name}: MLflow's own bits")
        else:
            words.append(f"{name}: {np.abs(other - array).max():.1e} from MLflow's")
    return ", ".join(words)


def live(report: Report, archive: Archive, environment: Path) -> list[Ref]:
    """Archive live models by the two hooks."""
    import lightgbm
    import mlflow
    import xgboost
    from catboost import CatBoostClassifier

    rows, frame, classes = make_folders.data()
    early = xgboost.XGBClassifier(n_estimators=30, max_depth=3, n_jobs=1, early_stopping_rounds=2)
    early.fit(frame[:25], classes[:25], eval_set=[(frame[25:], classes[25:])], verbose=False)
    cat = CatBoostClassifier(iterations=4, depth=2, verbose=0, allow_writing_files=False, thread_count=1)
    light = lightgbm.LGBMClassifier(n_estimators=4, num_leaves=4, verbose=-1, n_jobs=1, min_child_samples=2)
    models = {
        "xgboost_early_stop": (early, frame[:7]),
        "lightgbm_classifier": (light.fit(rows, classes), rows[:7]),
        "catboost_classifier": (cat.fit(rows, classes), rows[:7]),
    }
    refs = []
    more = {"grid_size": _GRID, "root": archive.root, "environment": environment}
    for name, (model, inputs) in models.items():
        done = timeproof.mlflow.log_model(model, inputs, name=name, **more)
        refs.append(done.archived.ref)
        tags = mlflow.get_logged_model(done.info.model_id).tags
        named = tags.get("timeproof.artifact") == str(done.archived.ref)
        report.line("log_model", name, f"{done.archived.ref}, {tags.get('timeproof.artifact')}", holds=named)
    with timeproof.mlflow.autolog(**more) as hook:
        mlflow.xgboost.autolog(log_input_examples=True)
        settings = {"max_depth": 2, "objective": "binary:logistic", "nthread": 1}
        xgboost.train(settings, xgboost.DMatrix(rows, label=classes), 3)
        mlflow.xgboost.autolog(disable=True)
        mlflow.lightgbm.log_model(light.booster_, name="unasked")
    text = f"archived {[str(a.ref) for a in hook.archived]}, failed {hook.failed}"
    names = [name for name, _ in hook.failed]
    report.line("autolog", "xgboost", text[:160], holds=len(hook.archived) == 1 and names == ["unasked"])
    mlflow.end_run()
    return [*refs, *(a.ref for a in hook.archived)]


def exports(report: Report, archive: Archive, refs: list[Ref], place: Path) -> None:
    for number, ref in enumerate(dict.fromkeys(refs)):
        target = place / f"exported-{number}"
        try:
            exported = export(archive, ref, target)
        except TimeproofError as error:
            report.line("export", str(ref), f"{error.kind}: {error}"[:150])
            continue
        wanted = expected_of(exported, outputs(archive, ref))
        try:
            answer = served(target)
        except (RuntimeError, ValueError, KeyError, IndexError) as error:
            report.line("predict", str(ref), str(error), holds=False)
            continue
        same = json.dumps(answer) == json.dumps(wanted)
        text = "identical" if same else f"{json.dumps(answer)[:60]} is not {json.dumps(wanted)[:60]}"
        report.line("predict", str(ref), f"{exported.flavor} {exported.output}: {text}", holds=same)


def main() -> int:
    import mlflow

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--place", type=Path, help="a folder that keeps everything; by default a temporary one"
    )
    parser.add_argument("--only", nargs="*", default=[], help="import these folders alone")
    parser.add_argument("--without-live", action="store_true", help="archive no live models by the hooks")
    options = parser.parse_args()
    place = options.place or Path(tempfile.mkdtemp(prefix="timeproof-mlflow-"))
    place = place.resolve()
    place.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place}/mlflow.db"
    os.chdir(place)
    print(f"MLflow {mlflow.__version__}, in {place}")
    report = Report()
    folders = place / "folders"
    if not folders.is_dir():
        make_folders.main(folders)
    archive = Archive(place / "archive")
    environment = lock_folder(place)
    refs = imports(report, archive, environment, folders, options.only)
    if not options.without_live:
        refs += live(report, archive, environment)
    result = timeproof.replay([str(ref) for ref in refs], root=archive.root)
    for replayed in result.replayed:
        report.line(
            "replay", str(replayed.ref), str(replayed.verdict), holds=str(replayed.verdict) == "identical"
        )
    exports(report, archive, refs, Path(tempfile.mkdtemp(prefix="exported-", dir=place)))
    print(f"{report.failures} did not hold")
    return int(report.failures > 0)


if __name__ == "__main__":
    sys.exit(main())
