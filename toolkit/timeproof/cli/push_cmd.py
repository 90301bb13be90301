"""`timeproof push`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    RegistryOption,
    TerminalProgress,
    open_existing,
    out,
    print_json,
    run_command,
    size,
)
from timeproof.errors import BadRequest
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.store.layout import Archive
    from timeproof.store.registry.client import Pushed
    from timeproof.store.registry.reference import Repository

NAME = "push"
HELP = "Push artifacts, or the images of environments, to an OCI registry."
EXAMPLES = """\
timeproof push grid-size-8/pytorch --registry registry.example.org/models     a whole artifact

timeproof push captured-0123456789ab --registry registry.example.org/models

timeproof push --all --registry 127.0.0.1:5000/models      all images; a registry here needs no TLS

An artifact is pushed as a CNCF ModelPack: its files, answers, environment, packages and image. 'timeproof
pull' brings it back. An environment's image is pulled by replays, by digest, with --registry.

The credentials are those of 'docker login', or TIMEPROOF_REGISTRY_USER and TIMEPROOF_REGISTRY_PASSWORD.
"""


def command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Artifacts (grid-size-N/FRAMEWORK/vN; without /vN the newest version), or environments by"
            " name or folder name."
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every environment of the archive.")] = False,
    registry: RegistryOption = "",
    tag: Annotated[
        str, typer.Option(help="The tag of the one artifact; grid-size-N-FRAMEWORK-vN by default.")
    ] = "",
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.store.registry.reference import Repository

        if not registry:
            raise BadRequest("no registry is named", advice="give its address: --registry HOST/NAME")
        if bool(names) == all_:
            raise BadRequest(
                "name artifacts or environments, or give --all", advice="'timeproof ls' lists them"
            )
        repository = Repository.parse(registry)
        artifacts = [name for name in names or () if "grid-size-" in name]
        if tag and (len(artifacts) != 1 or names != artifacts):
            raise BadRequest("--tag is for one artifact", advice="push it alone, or leave --tag out")
        source = open_existing(archive, progress)
        environments = [name for name in names or () if name not in artifacts]
        rows = _push_artifacts(source, artifacts, repository, tag, progress)
        if environments or all_:
            rows += _push_images(source, environments, repository, progress)
        progress.close()
        if json:
            print_json({"pushed": rows})
        else:
            _print(rows)
        return 0

    run_command(json, work)


def _push_artifacts(
    archive: Archive, names: list[str], repository: Repository, tag: str, progress: TerminalProgress
) -> list[dict[str, Any]]:
    """Push artifacts with all that their replays need. Raises NotFound and BadRequest."""
    from timeproof.store.registry.client import Registry
    from timeproof.store.registry.pushing import push_artifact

    rows = []
    refs = [archive.locate(name) for name in names]
    with Registry(repository) as remote:
        for ref in refs:
            pushed = push_artifact(remote, archive, ref, tag, progress=progress)
            rows.append({"artifact": str(ref), "reference": pushed.reference, **_row(pushed, repository)})
    return rows


def _row(pushed: Pushed, repository: Repository) -> dict[str, Any]:
    return {
        "tag": f"{repository}:{pushed.tag}",
        "sent": pushed.sent,
        "already_there": pushed.there,
        "bytes": pushed.bytes,
    }


def _push_images(
    archive: Archive, names: list[str], repository: Repository, progress: TerminalProgress
) -> list[dict[str, Any]]:
    """Push the named environments' images, or all of them where none is named. Raises BadRequest."""
    from timeproof.runs.environment_provider import by_name
    from timeproof.store.read import fetch_image, read_environment
    from timeproof.store.registry.client import Registry

    records = [by_name(archive, name) for name in names]
    if not names:
        records = [read_environment(archive, name) for name in archive.environment_names()]
    if not records:
        raise BadRequest(f"{archive.name} holds no environments")
    rows = []
    with Registry(repository) as remote:
        for record in records:
            fetch_image(archive, record.image)
            pushed = remote.push(archive.images, record.image, record.folder, progress=progress)
            row = {"environment": record.folder, "image": pushed.reference}
            rows.append({**row, **_row(pushed, repository)})
    return rows


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        out.print(
            f"[bold green]pushed[/bold green] {row['tag']}: {row['sent']} blobs sent"
            f" ({size(row['bytes'])}), the registry had {row['already_there']}"
        )
        out.print(f"  by digest: {row.get('reference') or row['image']}")
