"""scikit-learn's golden archive: its files verify, its references read, and its models answer as they did.

The models run here in the real probe, without a container, with the scikit-learn that is installed. With
another release, or on another CPU, which chooses other kernels of NumPy and OpenBLAS, the answers may be off by
`rounding`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import sklearn
from support.archive_making import check_artifact

from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.replaying.flow import expected_outputs
from timeproof.store import reference
from timeproof.store.layout import Archive
from timeproof.testing import probing

GOLDEN = Archive(Path(__file__).parent / "v1" / "sklearn")
REFS = list(GOLDEN.refs())
BYTES = 200_000


def test_a_forest_a_table_and_text_are_there_and_all_is_small() -> None:
    metadata = [check_artifact(GOLDEN, ref) for ref in REFS]
    assert [one.framework.name for one in metadata] == ["sklearn"] * 3
    assert {file.format for one in metadata for file in one.files if file.role == "model"} == {"skops"}
    assert any(one.copies for one in metadata)
    assert sum(path.stat().st_size for path in GOLDEN.root.rglob("*") if path.is_file()) < BYTES


def test_recorded_answers_are_given_again(tmp_path: Path) -> None:
    jobs = []
    for ref in REFS:
        metadata = check_artifact(GOLDEN, ref)
        folder = tmp_path / f"v{ref.version}"
        folder.mkdir()
        recorded = GOLDEN.root / ref.folder
        (folder / metadata.model.file).write_bytes((recorded / metadata.model.file).read_bytes())
        path = recorded / metadata.file("reference").path
        with path.open("rb") as stream:
            inputs = reference.read(stream, metadata.inputs, path)
        probing.write_inputs(folder, list(inputs.values()))
        jobs.append(
            probing.artifact(
                folder,
                "sklearn",
                metadata.model.file,
                names=list(inputs),
                name=str(ref),
                options=dict(metadata.model.options),
            )
        )
    run = probing.run(jobs, tmp_path)
    for ref in REFS:
        metadata = check_artifact(GOLDEN, ref)
        if run.status(str(ref)) != "ok" and metadata.framework.version != sklearn.__version__:
            pytest.skip(f"scikit-learn {sklearn.__version__} does not read files of another release")
        assert run.status(str(ref)) == "ok", run.results[str(ref)]["reason"]
        expected = expected_outputs(GOLDEN, ref, metadata)
        difference = compare_outputs(expected, run.outputs[str(ref), "native"])
        assert difference.verdict.allowed_by(Verdict.rounding), f"{ref}: {difference.summary()}"
