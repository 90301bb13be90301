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
    from timeproof.store.registry.reference import Repository

NAME = "push"
HELP = "Push the images of environments to an OCI registry. Replays pull them from there by digest."
EXAMPLES = """\
timeproof push captured-0123456789ab --registry registry.example.org/models

timeproof push --all --registry 127.0.0.1:5000/models      a registry on this machine needs no TLS

The credentials are those of 'docker login', or TIMEPROOF_REGISTRY_USER and TIMEPROOF_REGISTRY_PASSWORD.
"""


def command(
    environments: Annotated[
        list[str] | None, typer.Argument(help="Environments of the archive, by name or folder name.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every environment of the archive.")] = False,
    registry: RegistryOption = "",
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.store.registry.reference import Repository

        if not registry:
            raise BadRequest("no registry is named", advice="give its address: --registry HOST/NAME")
        if bool(environments) == all_:
            raise BadRequest("name environments, or give --all", advice="'timeproof ls' lists them")
        repository = Repository.parse(registry)
        rows = _push(open_existing(archive, progress), environments or [], repository, progress)
        progress.close()
        if json:
            print_json({"pushed": rows})
        else:
            _print(rows)
        return 0

    run_command(json, work)


def _push(
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
            rows.append(
                {
                    "environment": record.folder,
                    "image": pushed.reference,
                    "tag": f"{repository}:{pushed.tag}",
                    "sent": pushed.sent,
                    "already_there": pushed.there,
                    "bytes": pushed.bytes,
                }
            )
    return rows


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        out.print(
            f"[bold green]pushed[/bold green] {row['tag']}: {row['sent']} blobs sent"
            f" ({size(row['bytes'])}), the registry had {row['already_there']}"
        )
        out.print(f"  by digest: {row['image']}")
