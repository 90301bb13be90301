"""The model's file or folder as its framework takes it: what MLflow puts into several folders, in one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timeproof.base.digests import Digest
from timeproof.base.paths import open_regular
from timeproof.errors import NotImportable
from timeproof.importing.mlflow.flavors import FlavoredModel
from timeproof.importing.mlflow.folder import WHOLE, ModelFolder


@contextmanager
def gathered(folder: ModelFolder, model: FlavoredModel) -> Iterator[Path]:
    """Give the path of the model; where files of other folders belong beside it, that of a private copy.

    Raises NotImportable where two of the files have one name.
    """
    if not model.beside:
        yield folder.root / model.file
        return
    with tempfile.TemporaryDirectory(prefix="timeproof-mlflow-") as scratch:
        target = Path(scratch) / "model"
        for place in (model.file, *model.beside):
            for name in folder.files_of(place):
                _copy(folder, name, target / name[len(place) + 1 :])
        yield target


def _copy(folder: ModelFolder, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_regular(folder.root, name) as reader, target.open("xb") as writer:
            Digest.of_stream(reader, writer)
    except FileExistsError:
        problem = f"{name}: another file of that name belongs into the same folder"
        raise NotImportable(folder.root, [problem], advice=WHOLE) from None
