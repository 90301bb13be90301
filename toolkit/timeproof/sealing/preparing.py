"""What is done with a model before its environment is built: read, save, and ask the user's own process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from timeproof.base.clock import utc_now
from timeproof.base.limits import Limits
from timeproof.base.progress import Progress
from timeproof.compare.verdict import Thresholds
from timeproof.errors import BadRequest, NotArchivable
from timeproof.frameworks.base import Adapter, NoRuntime, SaveOptions
from timeproof.frameworks.choose import adapter_for, adapter_for_file
from timeproof.frameworks.conversions import with_copies
from timeproof.frameworks.inputs import read_inputs
from timeproof.frameworks.options import options_of
from timeproof.frameworks.registry import frameworks_of, require_spec
from timeproof.frameworks.trees.copies import wanted_formats, write_copies
from timeproof.frameworks.trees.recorded import Recorded
from timeproof.runs.container_run import Task
from timeproof.runs.profiles import profile_for
from timeproof.sealing import recording, witnesses
from timeproof.sealing.double_run import Arrays
from timeproof.sealing.own_answer import OwnAnswer
from timeproof.store import publish, reference
from timeproof.store.schema.v1 import EnvironmentRecord


@dataclass(frozen=True, slots=True)
class Request:
    """What to archive, and how. `model` is a live model, or the path of a model file."""

    model: object
    inputs: object
    grid_size: object
    environment: str | Path | None = None
    python: Path | None = None
    without: Sequence[str] = ()
    profile: str | Path = "portable"
    prove_portable: bool = False  # also run it on simulated CPUs, and record what moved
    witness: str = "auto"  # one of witnesses.CHOICES
    thresholds: Mapping[str, float] = field(default_factory=dict)  # the scale's figures, for this artifact
    tags: Mapping[str, str] = field(default_factory=dict)
    options: SaveOptions = field(default_factory=SaveOptions)
    copies: Mapping[str, object] = field(default_factory=dict)  # format → path: somebody's conversion
    expected: object = None  # the answer that the user knows: arrays by output, or one array
    scores: Sequence[str] = ()  # outputs whose last axis holds class scores
    keep_inexact: bool = False  # a copy further than rounding from the model
    keep_random: bool = False  # a model whose answer depends on a seed
    keep_different: bool = False  # a model whose container answers otherwise than the user's process
    notes: Sequence[str] = ()  # what the metadata says beside the framework's own notes


class Preparation:
    """One model on its way into the archive: its inputs, its saved files, and the user's own answer."""

    def __init__(self, request: Request, limits: Limits, progress: Progress) -> None:
        self.request = request
        self.limits, self.progress = limits, progress
        self.thresholds = Thresholds.of(request.thresholds)
        self.adapter, self.from_file = _adapter(request.model)
        self.spec = require_spec(self.adapter.name)
        self.profile = profile_for(request.profile, self.spec.profile)
        witnesses.check_choice(request.witness, self.adapter.name)
        self.inputs = read_inputs(self.adapter, request.model, request.inputs)
        for input_name, array in self.inputs.items():
            reference.spec_of(input_name, "input_0", array)  # refuses what no file holds
        self.own_answer: OwnAnswer | None = None
        self.options = replace(
            request.options,
            framework=options_of(self.spec.options, request.options.framework),
            timestamp=utc_now(),
        )

    def save(self, draft: publish.Draft) -> None:
        """Write the model's own files into the draft. Raises NotArchivable."""
        save = self.adapter.save_file if self.from_file else self.adapter.save
        saved = save(self.request.model, self.inputs, draft.folder, draft.ref.tag, self.options)  # type: ignore[arg-type]  # a path where from_file
        saved = self.adapter.check_profile(saved, self.profile, keep=self.options.keep_saturating)
        inexact = self.request.keep_inexact
        self.saved = with_copies(
            saved,
            self.request.copies,
            self.inputs,
            draft.folder,
            draft.ref.tag,
            self.options,
            inexact=inexact,
        )
        self.saved = replace(self.saved, notes=(*self.saved.notes, *self.request.notes))
        self.inputs = self.inputs.renamed(self.saved.input_names)

    def answer(self) -> None:
        """Ask the user's own process, where it can run the model. Raises NotArchivable."""
        self.progress.step("Asking your process for its own answer")
        try:
            outputs = self.adapter.answers(self.request.model, self.inputs, self.saved)
        except NoRuntime as error:
            if self.request.expected is None and not self.from_file:
                self._note(f"there is no answer of your own to compare with: {error.message}")
            return
        self.own_answer = OwnAnswer(outputs)

    def _note(self, text: str) -> None:
        self.saved = replace(self.saved, notes=(*self.saved.notes, text))

    def interchange(self, draft: publish.Draft, environment: EnvironmentRecord) -> None:
        """Export copies of our own, where the environment can say how far they are from the model."""
        self._export(draft, environment)
        self._write_trees(draft, environment)

    def _export(self, draft: publish.Draft, environment: EnvironmentRecord) -> None:
        if self.request.copies or self.from_file or not self.adapter.wants_export(self.options):
            return
        runner = require_spec(self.adapter.exports)
        if runner.name in frameworks_of(environment):
            self.progress.step("Exporting a copy in another format")
            self.saved = self.adapter.interchange(
                self.request.model, self.inputs, draft.folder, draft.ref.tag, self.options, self.saved
            )
        else:
            self._note(
                f"there is no {runner.name} copy: the environment holds no {runner.module} to measure it with"
            )

    def _write_trees(self, draft: publish.Draft, environment: EnvironmentRecord) -> None:
        """Write the copies of an ensemble of trees that are wanted, and that nobody has handed in."""
        runners = frameworks_of(environment)
        formats = {
            name: requested
            for name, requested in wanted_formats(self.options.framework).items()
            if name in runners and name not in self.request.copies
        }
        ensemble_of = getattr(self.adapter, "ensemble", None)
        if formats and ensemble_of is not None:
            outputs = {} if self.own_answer is None else self.own_answer.outputs
            self.saved = write_copies(
                formats,
                lambda: ensemble_of(self.request.model, draft.folder, self.saved),
                Recorded(self.inputs, outputs, self.saved.options),
                draft.folder,
                draft.ref.tag,
                self.saved,
            )

    def scores(self, outputs: Arrays) -> dict[str, bool]:
        """Which outputs hold class scores, as far as the adapter or the user says. Raises BadRequest."""
        if strange := sorted(set(self.request.scores) - set(outputs)):
            raise BadRequest(
                f"{', '.join(strange)} is no output of the model",
                advice=f"--scores takes one of: {', '.join(outputs)}",
            )
        marks = {name: mark for name, mark in self.saved.scores.items() if name in outputs}
        return marks | dict.fromkeys(self.request.scores, True)

    def task(self, draft: publish.Draft, more: Sequence[Mapping[str, Any]]) -> Task:
        recording.write_reference(draft, input=self.inputs)
        saved = self.saved
        entries = [publish.entry(draft.folder, f.path, f.role, f.format) for f in saved.files]
        entries.append(publish.entry(draft.folder, recording.reference_name(draft), "reference", "npz"))
        return Task(
            id=str(draft.ref),
            framework=saved.framework,
            folder=draft.folder,
            files=tuple(e for e in entries if e.role != "optional"),
            model=saved.model,
            inputs_file=recording.reference_name(draft),
            input_names=tuple(self.inputs),
            options=saved.options,
            copies=(
                *(
                    {"name": c.name, "framework": c.framework, "model": c.model, "options": dict(c.options)}
                    for c in saved.copies
                ),
                *more,
            ),
        )


def _adapter(model: object) -> tuple[Adapter, bool]:
    if isinstance(model, Path):
        if not model.exists():
            raise NotArchivable(f"{model} is not a file", advice="give the path of a model file")
        return adapter_for_file(model), True
    return adapter_for(model), False
