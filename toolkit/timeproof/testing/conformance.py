"""What every framework must do, as tests: for the toolkit's own frameworks, and for plugins.

    from timeproof.testing.conformance import FrameworkTests, Sample

    class TestCatBoost(FrameworkTests):
        framework = FRAMEWORK

        def samples(self, folder):
            return {"classifier": Sample(trained_classifier(), rows)}

The loader is run as in a container: the real probe, as a process of this machine, without a network's or a
container's walls. Nothing here needs an engine.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from timeproof.base import strictjson
from timeproof.base.paths import list_tree
from timeproof.errors import BadModel, BadRequest
from timeproof.frameworks.base import Adapter, Array, Saved, SaveOptions
from timeproof.frameworks.choose import spec_for, spec_for_file
from timeproof.frameworks.inputs import Inputs, read_inputs
from timeproof.frameworks.options import FrameworkOptions, options_of
from timeproof.frameworks.registry import registrations, spec_named, specs
from timeproof.frameworks.spec import FrameworkSpec, load_attribute
from timeproof.replaying.flow import replay
from timeproof.store.layout import Archive
from timeproof.store.verify import verify
from timeproof.testing import archives, probing

TOOLKIT = {"numpy"}  # a framework may be run by what the toolkit itself needs


@dataclass(frozen=True, slots=True)
class Sample:
    """A live model, or the `Path` of a model file, with inputs as its user gives them."""

    model: object
    inputs: object
    options: FrameworkOptions = field(default_factory=FrameworkOptions)


@dataclass(frozen=True, slots=True)
class SavedSample:
    """What a sample became: the folder with its files, the arrays it is asked with, its live answer."""

    folder: Path
    saved: Saved
    inputs: Inputs
    outputs: Mapping[str, Array]


class FrameworkTests:
    """Subclass it, name the framework and give samples; pytest runs the tests."""

    framework: FrameworkSpec

    def samples(self, folder: Path) -> Mapping[str, Sample]:
        """Models that can be archived, by a name each. `folder` is empty, for files and sources."""
        raise NotImplementedError

    def refused(self, folder: Path) -> Mapping[str, Sample]:  # noqa: ARG002 - for subclasses
        """Models of this framework that can't be archived as they are given."""
        return {}

    # --- registration ---------------------------------------------------------------------------

    def test_it_is_registered_by_its_name(self) -> None:
        assert spec_named(self.framework.name) == self.framework

    def test_everything_that_its_record_names_is_there(self) -> None:
        spec = self.framework
        assert spec.make_adapter().name == spec.name
        assert spec.make_adapter() is spec.make_adapter()
        for path in filter(None, (spec.sniff, spec.imports, spec.arrays)):
            load_attribute(path)
        assert issubclass(spec.options, FrameworkOptions)
        assert spec.takes, "a message about an unknown model lists what can be archived"

    def test_its_loader_lies_in_the_folder_that_goes_into_images(self) -> None:
        folder = self.framework.probe
        assert folder is not None
        assert (folder / "load.py").is_file()
        assert (folder / "float64.py").is_file() is self.framework.float64

    def test_registering_imports_no_framework_and_no_adapter(self) -> None:
        modules = {spec.module for spec in specs()} | {self.framework.adapter.partition(":")[0]}
        code = (
            "import sys; from timeproof.frameworks import registry; registry.specs()\n"
            f"loaded = [name for name in {sorted(modules - TOOLKIT)!r} if name in sys.modules]\n"
            "assert not loaded, loaded\n"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr

    def test_it_is_registered_once(self) -> None:
        targets = [registration.target for registration in registrations()]
        assert len(targets) == len(set(targets))

    # --- recognising ----------------------------------------------------------------------------

    def test_every_sample_is_recognised_as_its_own_and_no_one_elses(self, tmp_path: Path) -> None:
        for name, sample in self.samples(tmp_path).items():
            if isinstance(sample.model, Path):
                assert spec_for_file(sample.model) == self.framework, name
                continue
            assert spec_for(sample.model) == self.framework, name
            takers = [s.name for s in specs() if s.make_adapter().recognises(sample.model)]
            assert takers == [self.framework.name], name

    def test_what_is_no_model_is_not_recognised(self) -> None:
        for thing in (None, 7, "text", {"a": 1}, np.zeros(3), object()):
            assert not self.framework.make_adapter().recognises(thing), thing

    # --- saving ---------------------------------------------------------------------------------

    def test_every_file_that_is_written_is_listed_and_carries_the_tag(self, tmp_path: Path) -> None:
        for name, sample in self._saved(tmp_path).items():
            listed = sorted(file.path for file in sample.saved.files)
            assert listed == list_tree(sample.folder), name
            tag = f"_{self.framework.tag}_v1"
            assert all(tag in path.partition("/")[0] for path in listed), name
            models = [file.path for file in sample.saved.files if file.role == "model"]
            assert models == [sample.saved.model], name
            assert sample.saved.framework == self.framework.name

    def test_what_metadata_records_is_plain_json(self, tmp_path: Path) -> None:
        for name, sample in self._saved(tmp_path).items():
            saved = sample.saved
            for values in (saved.options, saved.init_args, saved.signature):
                assert strictjson.loads(strictjson.dumps(dict(values)), name) == dict(values), name
            assert list(saved.input_names) == list(sample.inputs), name

    def test_what_every_framework_can_be_told_becomes_its_own_record(self) -> None:
        options = options_of(self.framework.options, FrameworkOptions(graph_optimization="disable"))
        assert type(options) is self.framework.options
        assert options.graph_optimization == "disable"
        assert self.framework.options(**dict(options)) == options

    def test_options_of_another_framework_are_refused(self, tmp_path: Path) -> None:
        class Another(FrameworkOptions):
            pass

        for name, sample in self.samples(tmp_path / "made").items():
            with pytest.raises(BadRequest) as caught:
                self._save(Sample(sample.model, sample.inputs, Another()), tmp_path / name)
            assert self.framework.options.__name__ in caught.value.advice

    def test_what_can_not_be_archived_is_refused_with_advice(self, tmp_path: Path) -> None:
        (tmp_path / "made").mkdir()
        for name, sample in self.refused(tmp_path / "made").items():
            with pytest.raises((BadModel, BadRequest)) as caught:
                self._save(sample, tmp_path / name)
            assert caught.value.advice, name

    # --- asking ---------------------------------------------------------------------------------

    def test_the_loader_gives_the_live_answer_bit_for_bit(self, tmp_path: Path) -> None:
        saved = {name: s for name, s in self._saved(tmp_path).items() if s.outputs}
        replay_of = self._ask(saved, tmp_path)
        for name, sample in saved.items():
            assert replay_of.status(name) == "ok", replay_of.results[name]["reason"]
            outputs = replay_of.outputs[name, "native"]
            assert list(outputs) == list(sample.outputs), name
            for output, array in sample.outputs.items():
                assert probing.same(np.asarray(array), outputs[output]), f"{name}: {output}"
            assert self.framework.module in replay_of.results[name]["versions"]

    def test_its_margin_is_among_the_outputs(self, tmp_path: Path) -> None:
        if self.framework.margin:
            for name, sample in self._saved(tmp_path).items():
                assert not sample.outputs or self.framework.margin in sample.outputs, name

    def test_a_model_file_that_is_cut_short_gives_no_answer(self, tmp_path: Path) -> None:
        saved = self._saved(tmp_path)
        for sample in saved.values():
            path = sample.folder / sample.saved.model
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        replay_of = self._ask(saved, tmp_path)
        for name in saved:
            assert replay_of.status(name) != "ok", name

    # --- the whole way --------------------------------------------------------------------------

    def test_every_sample_is_sealed_verified_and_replayed(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path / "archive")
        archives.publish_environment(archive)
        (tmp_path / "made").mkdir()
        for name, sample in self.samples(tmp_path / "made").items():
            options = SaveOptions(sample.options)
            done = archives.seal(archive, sample.model, sample.inputs, options=options)
            record = done.metadata.framework
            assert (record.name, record.tag) == (self.framework.name, self.framework.tag), name
            assert record.distributions == list(self.framework.distributions), name
        assert verify(archive).ok
        result = replay(archive, list(archive.refs()), archives.engine())
        assert {str(artifact.ref): str(artifact.verdict) for artifact in result.replayed} == {
            str(ref): "identical" for ref in archive.refs()
        }

    # --- steps ----------------------------------------------------------------------------------

    def _saved(self, folder: Path) -> dict[str, SavedSample]:
        """Save every sample into a folder of its own below `folder`."""
        (folder / "made").mkdir()
        samples = self.samples(folder / "made")
        assert samples, "there is no sample"
        return {name: self._save(sample, folder / f"sample {name}") for name, sample in samples.items()}

    def _save(self, sample: Sample, folder: Path) -> SavedSample:
        """Save one model, and ask it where it is a live one."""
        folder.mkdir()
        adapter: Adapter = self.framework.make_adapter()
        inputs = read_inputs(adapter, sample.model, sample.inputs)
        tag, options = f"{self.framework.tag}_v1", SaveOptions(sample.options)
        if isinstance(sample.model, Path):
            saved = adapter.save_file(sample.model, inputs, folder, tag, options)
            return SavedSample(folder, saved, inputs, {})
        saved = adapter.save(sample.model, inputs, folder, tag, options)
        return SavedSample(folder, saved, inputs, adapter.answers(sample.model, inputs, saved))

    def _ask(self, samples: Mapping[str, SavedSample], folder: Path) -> probing.Replay:
        """Run the probe over saved samples."""
        jobs = []
        for name, sample in samples.items():
            probing.write_inputs(sample.folder, list(sample.inputs.values()))
            jobs.append(
                probing.artifact(
                    sample.folder,
                    self.framework.name,
                    sample.saved.model,
                    names=list(sample.inputs),
                    name=name,
                    options=dict(sample.saved.options),
                )
            )
        return probing.run(jobs, folder)
