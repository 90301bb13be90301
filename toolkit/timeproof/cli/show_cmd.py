"""`timeproof show`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    out,
    print_json,
    run_command,
    size,
)
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.store.schema.v1 import Witness

NAME = "show"
HELP = "Show what the archive knows of one artifact, or of one environment."
EXAMPLES = """\
timeproof show grid-size-8/pytorch/v1

timeproof show captured-0123456789ab --json
"""


# What the metadata's `kept` means.
KEPT = {
    "inexact": "inexact: a copy is further than rounding from the model",
    "random": "random: it draws random numbers; the answer is that of one seed",
    "saturating": "saturating: int8 weights that a CPU without VNNI adds up otherwise",
}


def command(
    name: Annotated[str, typer.Argument(help="An artifact, or an environment's folder name.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.replaying.provenance import versioned
        from timeproof.store.portability import held_by, promise
        from timeproof.store.remote.mirror import open_archive
        from timeproof.store.verify import read_environment, read_metadata

        there = open_archive(archive, progress=progress)
        there.require()
        if name in there.environment_names():
            record = read_environment(there, name)
            if json:
                print_json(record.model_dump(mode="json", by_alias=True))
                return 0
            table = _facts()
            table.add_row("environment", record.folder)
            table.add_row("created", record.created)
            table.add_row("platform", record.image.platform)
            table.add_row("manifest digest", record.image.manifest)
            table.add_row("config digest", record.image.config)
            table.add_row("layers", str(len(record.image.diff_ids)))
            table.add_row("builder", escape(str(dict(record.builder))))
            out.print(table)
            packages = Table(box=None, pad_edge=False, header_style="bold")
            for heading in ("package", "version", "kind", "size", "SHA-256"):
                packages.add_column(heading, overflow="fold")
            for package in record.packages:
                packages.add_row(
                    package.name, package.version, package.kind, size(package.size), package.sha256[:16]
                )
            out.print(packages)
            for left, why in record.left_out:
                out.print(f"[dim]left out: {escape(left)}: {escape(why)}[/dim]")
            return 0
        ref = there.locate(name)
        metadata = read_metadata(there, ref)
        if json:
            print_json(metadata.model_dump(mode="json", by_alias=True))
            return 0
        table = _facts()
        framework = metadata.framework
        table.add_row("artifact", str(ref))
        table.add_row(
            "framework",
            f"{versioned(framework.name, framework.version) or framework.name}, Python {framework.python}",
        )
        table.add_row(
            "class",
            escape(f"{metadata.model.module}.{metadata.model.qualname}" if metadata.model.qualname else "–"),
        )
        table.add_row("init_args", escape(str(metadata.model.init_args)))
        table.add_row("created", metadata.created)
        table.add_row("environment", metadata.environment.name)
        table.add_row("image", metadata.environment.image.manifest)
        table.add_row("profile", escape(metadata.profile.name))
        table.add_row(escape(metadata.profile.name), escape(promise(metadata)))
        for spec in metadata.inputs:
            table.add_row("input", escape(f"{spec.name}: {spec.dtype} {spec.shape}"))
        for spec in metadata.outputs:
            held = ", ".join(held_by(metadata, spec.name)) or "none"
            promised = f"; held under: {held}" if metadata.proofs else ""
            scores = ", class scores" if spec.scores else ""
            table.add_row("output", escape(f"{spec.name}: {spec.dtype} {spec.shape}{scores}{promised}"))
        if metadata.training is not None:
            table.add_row(
                "training process",
                escape(str(metadata.training.get("summary", metadata.training.get("verdict")))),
            )
        for copy in metadata.copies:
            told = copy.distance.get("summary", copy.distance.get("reason", ""))
            table.add_row(f"{copy.name} copy", escape(f"{copy.distance.get('verdict')}: {told}"))
        for witness in metadata.witnesses:
            table.add_row(f"{witness.kind} witness", escape(_near(witness)))
        for threshold, figure in metadata.thresholds.items():
            table.add_row("threshold", f"{threshold}: {figure:g}")
        if metadata.reference.origin == "imported":
            table.add_row("answers", escape(f"imported from {metadata.reference.source}; never sealed here"))
        else:
            table.add_row("sealed on", escape(str(metadata.machine.get("cpu", "?"))))
        for key, value in metadata.tags.items():
            table.add_row(f"tag {escape(key)}", escape(value))
        for kept in metadata.kept:
            table.add_row("kept on request", f"[yellow]{escape(KEPT.get(kept, kept))}[/yellow]")
        for note in metadata.notes:
            table.add_row("note", escape(note))
        out.print(table)
        files = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("file", "role", "size", "SHA-256"):
            files.add_column(heading, overflow="fold")
        for file in metadata.files:
            files.add_row(escape(file.path), file.role, size(file.size), file.sha256[:16])
        out.print(files)
        return 0

    run_command(json, work)


def _near(witness: Witness) -> str:
    """How far the answer is from it; margins are part of the answer."""
    distance = witness.facts.get("distance")
    if not isinstance(distance, dict):
        return ", ".join(spec.name for spec in witness.outputs)
    return f"the answer's distance from it: {distance.get('verdict')}: {distance.get('summary')}"


def _facts() -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table
