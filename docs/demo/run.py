"""The demo: train on the digits, archive eight artifacts, drop the image, rebuild it, replay them all.

Run by `make demo`. Everything that it does can be done with the `timeproof` command, too.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import digits
import typer

import timeproof
from timeproof.cli.console import TerminalProgress, err, out, reporting_errors
from timeproof.cli.render.replays import replay_table
from timeproof.compare.verdict import Verdict
from timeproof.engines.docker import connect
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.replaying.flow import replay
from timeproof.runs import image_provider
from timeproof.store.layout import Archive
from timeproof.store.portability import promise
from timeproof.store.read import read_environment, read_metadata


def archive_all(root, grid_size, proved, progress):
    """Train and archive the four artifacts of one grid size. Returns their references.

    Args:
        proved: the frameworks whose artifacts are also run on simulated CPUs.
    """
    done = []

    def keep(framework, model, inputs, **more):
        begun = time.monotonic()
        one = timeproof.archive(
            model,
            inputs,
            grid_size=grid_size,
            root=root,
            tags={"made-by": "make demo"},
            prove_portable=framework in proved,
            progress=progress,
            **more,
        )
        progress.close()
        took = f"[dim]{time.monotonic() - begun:.1f} s[/dim]"
        told = (
            f"  [cyan]{one.metadata.profile.name}:[/cyan] {promise(one.metadata)}"
            if one.metadata.proofs
            else ""
        )
        out.print(f"  [green]sealed[/green] {one.ref}  {took}{told}")
        done.append(one.ref)
        return one

    progress.step(f"Training at grid size {grid_size}")
    made = digits.cnn(grid_size)
    cnn = keep("pytorch", made.pop("model"), made.pop("inputs"), options=PyTorchOptions(**made))
    keep("xgboost", *digits.xgboost(grid_size))
    keep("lightgbm", *digits.lightgbm(grid_size))
    copy = next(c for c in cnn.metadata.copies if c.name == "onnx")
    keep("onnx", cnn.path.parent / copy.file, digits.inputs_of(grid_size))
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, default=Path("logs/extensions/models"))
    parser.add_argument("--grid-size", type=int, nargs="+", default=[8, 12])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # of the training libraries; the demo's output is for reading
    root = Archive(options.archive)
    before = set(root.environment_names())
    progress = TerminalProgress()
    begun = time.monotonic()
    with reporting_errors(as_json=False):
        out.print("[bold]1. Train and archive[/bold] (each artifact is sealed by replaying it twice)")
        # Simulated CPUs are slow: the first grid size is proved; from the second demo on, its network alone.
        proved = ("pytorch",) if before else ("pytorch", "xgboost", "lightgbm", "onnx")
        refs = []
        for k, n in enumerate(options.grid_size):
            refs += archive_all(options.archive, n, proved if k == 0 else (), progress)
        environments = sorted({read_metadata(root, ref).environment.name for ref in refs})

        out.print("\n[bold]2. Years pass[/bold]: the engine forgets the image")
        engine = connect()
        for name in environments:
            image_provider.drop(engine, read_environment(root, name))
        fresh = not before.intersection(environments)

        how = "every step run again" if fresh else "layers that the builder still has are used"
        out.print(f"\n[bold]3. Rebuild without a network, require the same digest, replay[/bold] ({how})")
        result = replay(root, refs, engine, image="rebuild", no_cache=fresh, progress=progress)
        progress.close()
        for name in environments:
            record = read_environment(root, name)
            out.print(f"  [green]same digest[/green] {record.image.manifest}  [dim]{name}[/dim]")
        out.print()
        replay_table(result, Verdict.identical)
        took = time.monotonic() - begun
        err.print(f"[dim]the whole demo took {took:.0f} s; the archive is {options.archive}[/dim]")
    return 0 if result.passes() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except typer.Exit as error:
        sys.exit(error.exit_code)
