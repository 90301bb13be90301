"""`timeproof show`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    open_existing,
    print_json,
    run_command,
)
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.store.layout import Archive
    from timeproof.store.schema.v1 import EnvironmentRecord, Metadata

NAME = "show"
HELP = "Show what the archive records of one artifact or one environment."
EXAMPLES = """\
timeproof show grid-size-8/pytorch/v1

timeproof show captured-0123456789ab --json
"""


def command(
    name: Annotated[str, typer.Argument(help="An artifact, or an environment's folder name.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.cli.render.documents import print_artifact, print_environment
        from timeproof.store.schema.v1 import Metadata

        document = _read_document(open_existing(archive, progress), name)
        if json:
            print_json(document.model_dump(mode="json", by_alias=True))
        elif isinstance(document, Metadata):
            print_artifact(document)
        else:
            print_environment(document)
        return 0

    run_command(json, work)


def _read_document(archive: Archive, name: str) -> EnvironmentRecord | Metadata:
    from timeproof.store.read import read_environment, read_metadata

    if name in archive.environment_names():
        return read_environment(archive, name)
    return read_metadata(archive, archive.locate(name))
