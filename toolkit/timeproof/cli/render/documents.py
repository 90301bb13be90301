"""How the documents of an archive look in a terminal: an artifact's metadata, an environment's record."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from timeproof.cli.console import out, size
from timeproof.cli.render.shapes import facts, rows_under
from timeproof.replaying.provenance import versioned
from timeproof.store.layout import Ref
from timeproof.store.portability import held_by, promise
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata, Witness

Row = tuple[str, str]  # the name of a fact, and the fact, both as Rich's markup

# What the values of the metadata's `kept` mean.
KEPT = {
    "inexact": "inexact: a copy is further than rounding from the model",
    "random": "random: the model draws random numbers; its answer is that of one seed",
    "saturating": "saturating: int8 weights whose sums saturate on a CPU without VNNI",
}


def print_environment(record: EnvironmentRecord) -> None:
    """Print an environment's digests, its packages, and the distributions that were left out."""
    table = facts()
    table.add_row("environment", record.folder)
    table.add_row("created", record.created)
    table.add_row("platform", record.image.platform)
    table.add_row("manifest digest", record.image.manifest)
    table.add_row("config digest", record.image.config)
    table.add_row("layers", str(len(record.image.diff_ids)))
    table.add_row("builder", escape(str(dict(record.builder))))
    out.print(table)
    packages = rows_under("package", "version", "kind", "size", "SHA-256", fold=True)
    for package in record.packages:
        packages.add_row(package.name, package.version, package.kind, size(package.size), package.sha256[:16])
    out.print(packages)
    for distribution, reason in record.left_out:
        out.print(f"[dim]left out: {escape(distribution)}: {escape(reason)}[/dim]")


def print_artifact(metadata: Metadata) -> None:
    """Print what the metadata says of an artifact, and its files."""
    table = facts()
    for row in artifact_rows(metadata):
        table.add_row(*row)
    out.print(table)
    files = rows_under("file", "role", "size", "SHA-256", fold=True)
    for file in metadata.files:
        files.add_row(escape(file.path), file.role, size(file.size), file.sha256[:16])
    out.print(files)


def artifact_rows(metadata: Metadata) -> Iterator[Row]:
    """Say what the metadata says, one fact a row."""
    yield from _identity(metadata)
    yield from _arrays(metadata)
    yield from _comparisons(metadata)
    yield from _history(metadata)


def _identity(metadata: Metadata) -> Iterator[Row]:
    framework, model = metadata.framework, metadata.model
    yield "artifact", str(Ref(metadata.grid_size, framework.name, metadata.version))
    version = versioned(framework.name, framework.version) or framework.name
    yield "framework", f"{version}, Python {framework.python}"
    yield "class", escape(f"{model.module}.{model.qualname}" if model.qualname else "–")
    yield "init_args", escape(str(model.init_args))
    yield "created", metadata.created
    yield "environment", metadata.environment.name
    yield "image", metadata.environment.image.manifest
    yield "profile", escape(metadata.profile.name)
    yield escape(metadata.profile.name), escape(promise(metadata))


def _arrays(metadata: Metadata) -> Iterator[Row]:
    for spec in metadata.inputs:
        yield "input", escape(f"{spec.name}: {spec.dtype} {spec.shape}")
    for spec in metadata.outputs:
        cpus = ", ".join(held_by(metadata, spec.name)) or "none"
        promised = f"; held under: {cpus}" if metadata.proofs else ""
        scores = ", class scores" if spec.scores else ""
        yield "output", escape(f"{spec.name}: {spec.dtype} {spec.shape}{scores}{promised}")


def _comparisons(metadata: Metadata) -> Iterator[Row]:
    """How far the training process, the copies and the witnesses are from the recorded outputs."""
    if metadata.training is not None:
        yield "training process", escape(metadata.training.summary or metadata.training.verdict)
    for copy in metadata.copies:
        yield f"{copy.name} copy", escape(f"{copy.distance.verdict}: {copy.distance.sentence}")
    for witness in metadata.witnesses:
        yield f"{witness.kind} witness", escape(witness_distance(witness))
    for threshold, figure in metadata.thresholds.items():
        yield "threshold", f"{threshold}: {figure:g}"


def _history(metadata: Metadata) -> Iterator[Row]:
    if metadata.reference.origin == "imported":
        yield "answers", escape(f"imported from {metadata.reference.source}; never sealed here")
    else:
        yield "sealed on", escape(metadata.machine.cpu or "?")
    for key, value in metadata.tags.items():
        yield f"tag {escape(key)}", escape(value)
    for reason in metadata.kept:
        yield "kept on request", f"[yellow]{escape(KEPT.get(reason, reason))}[/yellow]"
    for note in metadata.notes:
        yield "note", escape(note)


def witness_distance(witness: Witness) -> str:
    """Say how far the recorded outputs are from the witness, or name the witness's outputs."""
    distance = witness.facts.distance
    if distance is None:
        return ", ".join(spec.name for spec in witness.outputs)
    return f"the answer's distance from it: {distance.verdict}: {distance.summary}"
