"""Save live models, run them in the probe, and hand back both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from timeproof.frameworks import Saved, SaveOptions, adapter_for, adapter_for_file, read_inputs
from timeproof.frameworks.registry import require_spec
from timeproof.testing import probing


@dataclass
class Case:
    model: object
    inputs: object
    options: SaveOptions = field(default_factory=SaveOptions)


@dataclass
class Both:
    """What was saved, what the live model said, and what the probe said."""

    folder: Path
    saved: Saved
    expected: dict[str, np.ndarray]
    result: dict[str, object]
    outputs: dict[str, dict[str, np.ndarray]]
    headers: list[dict[str, object]]

    def assert_identical(self) -> None:
        assert self.result["status"] == "ok", self.result["reason"]
        native = self.outputs["native"]
        assert list(native) == list(self.expected)
        for name, array in self.expected.items():
            assert probing.same(array, native[name]), name


def save(case: Case, folder: Path) -> tuple[Saved, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Save one model into `folder`, with its inputs; return what was saved, the inputs and the answers."""
    folder.mkdir()
    file = case.model if isinstance(case.model, Path) else None
    adapter = adapter_for(case.model) if file is None else adapter_for_file(file)
    inputs = read_inputs(adapter, case.model, case.inputs)
    tag = f"{require_spec(adapter.name).tag}_v1"
    if file is None:
        saved = adapter.save(case.model, inputs, folder, tag, case.options)
        if adapter.wants_export(case.options):
            saved = adapter.interchange(case.model, inputs, folder, tag, case.options, saved)
        expected = adapter.answers(case.model, inputs, saved)
    else:
        saved = adapter.save_file(file, inputs, folder, tag, case.options)
        expected = {}
    probing.write_inputs(folder, list(inputs.values()))
    return saved, inputs, expected


def both_sides(cases: Mapping[str, Case], folder: Path, *, threads: int | None = 1) -> dict[str, Both]:
    """Run all cases in one probe."""
    folder.mkdir(exist_ok=True)
    sides = {}
    jobs = []
    for name, case in cases.items():
        saved, inputs, expected = save(case, folder / name)
        sides[name] = (saved, expected)
        listed = sorted(item.path for item in saved.files)
        on_disk = [entry["path"] for entry in probing.files_of(folder / name)]
        assert sorted([*listed, "reference.npz"]) == on_disk  # nothing is left that no one lists
        jobs.append(
            probing.artifact(
                folder / name,
                saved.framework,
                saved.model,
                names=list(inputs),
                name=name,
                options=dict(saved.options),
                copies=[
                    {
                        "name": copy.name,
                        "framework": copy.framework,
                        "model": copy.model,
                        "options": dict(copy.options),
                    }
                    for copy in saved.copies
                ],
            )
        )
    replay = probing.run(jobs, folder, threads=threads)
    assert replay.exit_code == 0, replay.stderr
    return {
        name: Both(
            folder / name,
            saved,
            expected,
            replay.results[name],
            {runner: outputs for (id, runner), outputs in replay.outputs.items() if id == name},
            [header for header in replay.headers if header.get("id") == name],
        )
        for name, (saved, expected) in sides.items()
    }
