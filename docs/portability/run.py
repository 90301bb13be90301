"""Which answers are the same on which CPU: the demo's artifacts and more, here and on five simulated CPUs.

Run by `make portability`. Every artifact is archived and sealed as usual; then the probe runs them all in one
container for each CPU and profile, and each answer is compared with what this machine gave in the same way.
Runs that are done are kept beside the archive, so an interrupted table goes on where it was.
"""

import argparse
import hashlib
import json
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

import digits  # the demo's
import models
import numpy as np
import table

import timeproof
from timeproof.base.limits import LIMITS
from timeproof.cli.console import TerminalProgress, out, reporting_errors
from timeproof.engines.docker import connect
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.replaying.flow import task_of
from timeproof.runs import cpu_emulator, image_provider
from timeproof.runs.container_run import run_probe
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive
from timeproof.store.read import read_environment, read_metadata

HERE = "native"
CPUS = table.CPUS
PROFILES = ("native", "portable")
DOUBLE = ("pytorch", "onnx")  # the frameworks that can be asked in float64


def _demo(grid_size, keep):
    """The four artifacts of `make demo`."""
    made = digits.cnn(grid_size)
    cnn = keep(f"demo CNN {grid_size}", made.pop("model"), made.pop("inputs"), options=PyTorchOptions(**made))
    keep(f"demo XGBoost {grid_size}", *digits.xgboost(grid_size))
    keep(f"demo LightGBM {grid_size}", *digits.lightgbm(grid_size))
    copy = next(c for c in cnn.metadata.copies if c.name == "onnx")
    keep(f"demo ONNX {grid_size}", cnn.path.parent / copy.file, digits.inputs_of(grid_size))


def archive_all(root, progress):
    """Archive what is not there yet. Returns the references by name, in the table's order."""
    there = Archive(root)
    by_name = {read_metadata(there, ref).tags.get("row"): ref for ref in there.refs()}
    refs = {}

    def keep(row, model, inputs, **more):
        environments = there.environment_names()
        done = timeproof.archive(
            model,
            inputs,
            root=root,
            tags={"row": row},
            environment=environments[-1] if environments else None,
            progress=progress,
            **{"grid_size": 8, **more},
        )
        refs[row] = done.ref
        return done

    for n in (8, 12):
        rows = [f"demo {kind} {n}" for kind in ("CNN", "XGBoost", "LightGBM", "ONNX")]
        if all(row in by_name for row in rows):
            refs |= {row: by_name[row] for row in rows}
        else:
            _demo(n, lambda *words, size=n, **more: keep(*words, **{"grid_size": size, **more}))
    for make in models.ALL:
        row = make.__name__.replace("_", " ", 1).replace("_", " ")
        if row in by_name:
            refs[row] = by_name[row]
            continue
        made = make()
        if isinstance(made, tuple):
            keep(row, *made)
        else:
            keep(row, made.pop("model"), made.pop("inputs"), options=PyTorchOptions(**made))
    return refs


def _tasks(archive, refs, profile):
    """Every artifact; without a profile also in float64, which needs none."""
    tasks = []
    for ref in refs.values():
        task = task_of(archive, ref, read_metadata(archive, ref))
        if profile == "native" and task.framework in DOUBLE:
            double = {"name": "float64", "framework": task.framework, "model": task.model}
            task = replace(task, copies=({**double, "options": dict(task.options), "witness": "float64"},))
        tasks.append(task)
    return tasks


def _answers(run):
    """What one container answered, `{artifact: {runner: {output: array}}}`, and why it did not."""
    arrays, failures = {}, {}
    for outcome in run.outcomes.values():
        arrays[outcome.id] = outcome.outputs
        if outcome.failure is not None:
            failures[outcome.id] = {"native": f"{outcome.failure}: {outcome.reason}"}
        for name, told in outcome.copies.items():
            if told.get("status") != "ok":
                failures.setdefault(outcome.id, {})[name] = f"{told.get('status')}: {told.get('reason')}"
    return {"arrays": arrays, "failures": failures, "seconds": run.result.seconds}


def _save(path, found):
    flat = {
        json.dumps([ref, runner, name]): array
        for ref, runners in found["arrays"].items()
        for runner, outputs in runners.items()
        for name, array in outputs.items()
    }
    facts = json.dumps({"failures": found["failures"], "seconds": found["seconds"]})
    part = path.with_suffix(".part.npz")
    np.savez(part, facts=np.array(facts), keys=np.array(json.dumps(list(flat))), **{
        f"a{k}": array for k, array in enumerate(flat.values())
    })  # fmt: skip
    part.rename(path)


def _load(path):
    with np.load(path, allow_pickle=False) as store:
        arrays = {}
        for k, key in enumerate(json.loads(str(store["keys"]))):
            ref, runner, name = json.loads(key)
            arrays.setdefault(ref, {}).setdefault(runner, {})[name] = store[f"a{k}"]
        return {"arrays": arrays, **json.loads(str(store["facts"]))}


def run_all(archive, refs, folder, at_once, progress):
    """Run every CPU under every profile. Returns `{(profile, cpu, turn): answers}`."""
    emulator = cpu_emulator.locate_or_fetch(progress)
    environment = read_environment(
        archive, read_metadata(archive, next(iter(refs.values()))).environment.name
    )
    engine = connect()
    image = image_provider.provide(engine, archive, environment, progress=progress).id
    told = [read_metadata(archive, ref).checksum for ref in refs.values()]
    what = hashlib.sha256(json.dumps([told, emulator.record.sha256]).encode()).hexdigest()[:12]
    kept = folder / f"answers-{what}"
    kept.mkdir(parents=True, exist_ok=True)
    jobs = [(profile, HERE, turn) for profile in PROFILES for turn in (1, 2)]
    jobs += [(profile, cpu, 1) for cpu in CPUS for profile in PROFILES]
    done = {}

    def one(job):
        profile, cpu, turn = job
        path = kept / f"{profile}-{cpu}-{turn}.npz"
        if not path.is_file():
            here = cpu == HERE
            run = run_probe(
                connect(),
                image,
                _tasks(archive, refs, profile),
                profile_named(profile),
                limits=LIMITS if here else cpu_emulator.slowed(LIMITS),
                simulated=None if here else cpu_emulator.Simulated(emulator, cpu),
                on_outcome=lambda outcome: progress.detail(f"{cpu}, {profile}: {outcome.id}"),
            )
            _save(path, _answers(run))
            out.print(f"  {cpu}, {profile}: {run.result.seconds:.0f} s")
        done[job] = _load(path)

    progress.step(f"Running {len(refs)} artifacts in {len(jobs)} containers, {at_once} at once")
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, jobs))
    return done, emulator.record.version


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("logs/portability"))
    parser.add_argument("--at-once", type=int, default=2, help="containers side by side")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md and docs/")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # of the training libraries and exporters
    progress = TerminalProgress()
    with reporting_errors(as_json=False):
        root = options.folder / "models"
        refs = archive_all(root, progress)
        done, emulator = run_all(Archive(root), refs, options.folder, options.at_once, progress)
        progress.close()
        rows = table.rows(refs, done, CPUS, HERE)
        facts = table.facts(emulator)
        table.show(out, rows, CPUS)
        out.print(facts)
        if options.write:
            table.write(rows, CPUS, facts)
    return 0 if all(row.settled for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
