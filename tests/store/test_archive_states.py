"""An archive in the hands of several writers, some of whom are killed, and of readers: it always verifies.

Whatever happens in whatever order, `verify` finds nothing, every published artifact is whole and stays what
it was, and a reader gets the bytes that were published. What the killed leave are leftovers.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from support.archive_making import check_artifact, publish
from support.killing import run_killed
from support.stepping import Stepped, paused_changes

from timeproof.errors import Exists
from timeproof.store.index import contents
from timeproof.store.layout import Archive, Ref
from timeproof.store.packages import PackageStore
from timeproof.store.publish import draft
from timeproof.store.read import check_environment, read_environment
from timeproof.store.verify import verify
from timeproof.testing.archives import publish_environment

FRAMEWORKS = st.sampled_from(["xgboost", "onnx"])
GRIDS = st.sampled_from([8, 12])
STEPS = st.integers(1, 30)


class ArchiveStates(RuleBasedStateMachine):
    """Publish, add environments, be killed at any change, verify and read; one writer may be halfway."""

    artifacts = Bundle("artifacts")

    @initialize()
    def make(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="timeproof-states-"))
        self.archive = Archive(self.folder / "archive")
        self.models: dict[Ref, bytes] = {}  # what was published, by the test's own account
        self.environments = {publish_environment(self.archive).folder}
        self.count = 0
        self.writer: Stepped | None = None  # a second writer, between two of its changes
        self.changes = paused_changes()
        self.changes.__enter__()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self._finish_writer()
            self.changes.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    def _model(self) -> bytes:
        self.count += 1
        return b"model %d" % self.count

    def _finish_writer(self) -> None:
        if self.writer is not None:
            self.writer.finish()
            self.writer = None

    @rule(target=artifacts, framework=FRAMEWORKS, grid=GRIDS)
    def publish(self, framework: str, grid: int) -> Ref:
        model = self._model()
        ref = publish(self.archive, framework, grid, model=model)
        assert ref not in self.models, "a version was given twice"
        self.models[ref] = model
        return ref

    @rule(target=artifacts, framework=FRAMEWORKS, grid=GRIDS, when=STEPS)
    def be_killed_while_publishing(self, framework: str, grid: int, when: int) -> object:
        model = self._model()
        before = set(self.archive.refs())
        killed = run_killed(lambda: publish(self.archive, framework, grid, model=model), when)
        new = [ref for ref in self.archive.refs() if ref not in before]
        assert len(new) == 1 if not killed else len(new) <= 1
        self.models.update((ref, model) for ref in new)
        return multiple(*new)

    @rule(ref=artifacts)
    def publish_over_another(self, ref: Ref) -> None:
        try:
            publish(self.archive, ref.framework, ref.grid_size, version=ref.version, model=b"another")
        except Exists:
            return
        raise AssertionError(f"{ref} was published twice")

    @rule(framework=FRAMEWORKS, grid=GRIDS, count=st.integers(1, 3))
    def give_up(self, framework: str, grid: int, count: int) -> None:
        with draft(self.archive, grid, framework, count=count) as unfinished:
            (unfinished.folder / f"model_{unfinished.ref.tag}.json").write_bytes(b"half a model")

    @rule(name=st.sampled_from(["small", "another"]), wheel=st.sampled_from(["thing-1.0", "thing-2.0"]))
    def add_environment(self, name: str, wheel: str) -> None:
        self.environments.add(publish_environment(self.archive, name, wheel).folder)

    @rule(name=st.sampled_from(["third", "fourth"]), when=st.integers(1, 60))
    def be_killed_while_adding_an_environment(self, name: str, when: int) -> None:
        if not run_killed(lambda: publish_environment(self.archive, name, "thing-3.0"), when):
            self.environments |= {n for n in self.archive.environment_names() if n.startswith(name)}

    @rule(data=st.binary(max_size=20), when=st.none() | STEPS)
    def fill_the_package_store(self, data: bytes, when: int | None) -> None:
        """As `lock` and `capture` do, which publish no environment."""
        store = PackageStore(self.archive.packages)
        if when is None:
            store.add_bytes(data, "package-1.0.whl")
        else:
            run_killed(lambda: store.add_bytes(data, "package-1.0.whl"), when)

    @precondition(lambda self: self.writer is None)
    @rule(steps=STEPS)
    def begin_a_second_writer(self, steps: int) -> None:
        # Of a framework of its own: its lock would stop this thread, which has to let it on.
        self.writer = Stepped(lambda: publish(self.archive, "pytorch", 8))
        self.writer.start()
        for _ in range(steps):
            self.writer.step()

    @precondition(lambda self: self.writer is not None)
    @rule(steps=STEPS)
    def let_it_on(self, steps: int) -> None:
        assert self.writer is not None
        for _ in range(steps):
            self.writer.step()
        if self.writer.ended:
            self._finish_writer()

    @rule(ref=artifacts)
    def read(self, ref: Ref) -> None:
        metadata = check_artifact(self.archive, ref)
        assert (self.archive.root / ref.folder / metadata.model.file).read_bytes() == self.models[ref]
        check_environment(
            self.archive, read_environment(self.archive, metadata.environment.name), packages=True
        )

    @invariant()
    def it_verifies(self) -> None:
        if not hasattr(self, "archive"):
            return
        report = verify(self.archive)
        assert report.ok, [finding.message for finding in report.findings]
        published = {ref for ref in self.archive.refs() if ref.framework != "pytorch"}
        assert published == set(self.models)
        assert self.environments <= set(self.archive.environment_names())
        listed = contents(self.archive)
        assert not listed.findings
        assert {s.ref for s in listed.artifacts if s.ref.framework != "pytorch"} == set(self.models)


TestArchiveStates = ArchiveStates.TestCase
TestArchiveStates.settings = settings(
    deadline=None,
    max_examples=max(4, settings.default.max_examples // 10),  # each is a dozen commands on a real disk
    stateful_step_count=15,
    suppress_health_check=[HealthCheck.too_slow],
)
