"""The containers of one test, on an engine that others use at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timeproof.engines.ownership_labels import LABEL


def containers_with_files_of(client: Any, folder: Path) -> set[str]:
    """List the containers, dead ones too, that hold files below `folder`.

    Every container has the job and the artifacts from its process's private folder. So where a process has
    a TMPDIR of its own, its containers are those with files below that.

    Args:
        client: a `docker.APIClient`.
    """
    labelled = client.containers(all=True, filters={"label": LABEL})
    return {
        str(container["Id"])
        for container in labelled
        if any(Path(mount["Source"]).is_relative_to(folder) for mount in container["Mounts"])
    }
