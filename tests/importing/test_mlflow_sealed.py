"""An MLflow folder in a real container: sealed, replayed, exported."""

from __future__ import annotations

import numpy as np
import pytest
from support.mlflow_folders import answer, folder

from timeproof.engines.docker import connect
from timeproof.exporting.flow import export
from timeproof.importing.mlflow.flow import Request, import_folder
from timeproof.replaying.flow import replay
from timeproof.store.read import read_metadata
from timeproof.store.reference import read as read_reference

pytestmark = pytest.mark.container


def test_what_mlflow_wrote_is_sealed_with_its_answer_and_replayed(sealed, copy_of, tmp_path):
    archive = copy_of(sealed)
    request = Request(folder("xgboost_ubj"), 4, environment=sealed.environment)
    done = import_folder(archive, request, connect)
    assert done.archived is not None
    ref = done.archived.ref
    metadata = read_metadata(archive, ref)
    path = archive.root / ref.folder / metadata.file("reference").path
    with path.open("rb") as stream:
        predict = read_reference(stream, metadata.outputs, path)["predict"]
    assert np.array_equal(predict, np.float32(answer("xgboost_ubj")))
    (replayed,) = replay(archive, [ref], connect()).replayed
    assert str(replayed.verdict) == "identical"
    export(archive, ref, tmp_path / "folder")
    wheels = (tmp_path / "folder" / "requirements.txt").read_text().splitlines()
    assert wheels[0] == "mlflow>=3,<4"
    assert [line for line in wheels if line.startswith("xgboost")]
