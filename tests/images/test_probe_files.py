"""Which files make an environment's probe: the same lock, the same bytes, whatever else is installed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from timeproof.base.clock import EPOCH
from timeproof.base.digests import Digest
from timeproof.environments.lock.document import Lock, Package
from timeproof.frameworks import registry
from timeproof.frameworks.registry import specs
from timeproof.frameworks.spec import FrameworkSpec
from timeproof.images import probe_files


def lock_of(*names: str) -> Lock:
    return Lock.make(
        Package.stored(
            name=name,
            version="1.0",
            manager="pip",
            platform="linux-64",
            sha256=Digest.of(name.encode()),
            file_name=f"{name}-1.0-py3-none-any.whl",
        )
        for name in names
    )


@pytest.fixture
def toy(tmp_path: Path) -> FrameworkSpec:
    """A plugin's framework, whose loader lies in `tmp_path`."""
    (tmp_path / "load.py").write_text("MODULES = ()\n")
    (tmp_path / "notes.txt").write_text("not a part of it")
    return FrameworkSpec(
        name="toy",
        tag="toy",
        title="Toy trees",
        module="toy",
        distributions=("toy-trees",),
        adapter="toy.adapter:Toy",
        probe=tmp_path,
    )


def test_the_loaders_are_those_of_the_packages_that_the_lock_names(toy) -> None:
    def select(*names: str) -> set[str]:
        return set(probe_files.select_loaders(names, [*specs(), toy]))

    assert select("python") == set()
    assert select("python", "numpy") == {"pmml", "pfa"}, "NumPy is all that their evaluators need"
    assert select("Torch", "xgboost_cpu") == {"pytorch", "torch_export", "torchscript", "xgboost"}
    assert select("py-xgboost", "lightgbm", "onnxruntime") == {"xgboost", "lightgbm", "onnx"}
    assert select("ort-nightly-gpu") == select("onnxruntime-training") == {"onnx"}
    assert select("Toy.Trees") == {"toy"}
    assert select("scikit-learn") == set(), "its loader needs skops, too"
    assert select("scikit_learn", "Skops") == {"sklearn"}
    assert select("onnx", "torchvision", "xgboost-ray", "toy") == set(), "only whole names count"


def test_a_plugin_changes_the_probe_of_an_environment_that_holds_it_and_of_no_other(toy, monkeypatch) -> None:
    without, holding = lock_of("python", "torch"), lock_of("python", "torch", "toy-trees")
    before = [probe_files.present_probe(lock) for lock in (without, holding)]
    known = specs()
    monkeypatch.setattr(registry, "specs", lambda: (*known, toy))
    after = [probe_files.present_probe(lock) for lock in (without, holding)]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_an_environment_with_an_older_probe_is_told_from_one_with_the_present_probe() -> None:
    lock = lock_of("torch")
    assert not probe_files.holds_present_probe(lock)
    assert not probe_files.holds_present_probe(lock.with_probe(Digest.of(b"an older one")))
    present = Digest.of(probe_files.present_probe(lock))
    assert probe_files.holds_present_probe(lock.with_probe(present))


def test_the_program_is_there_once_more_where_python_runs_the_folder(toy) -> None:
    files = probe_files.gather_probe({"toy": toy.probe})
    assert list(files) == sorted(files)
    assert files["__main__.py"] == files["timeproof_probe/__main__.py"]
    assert files["timeproof_probe/loaders/toy/load.py"] == b"MODULES = ()\n"
    assert {name.rpartition(".")[2] for name in files} == {"py"}
    assert [name for name in files if "loaders/" in name] == [
        "timeproof_probe/loaders/__init__.py",
        "timeproof_probe/loaders/toy/load.py",
    ]


def test_the_probe_is_packed_the_same_every_time_and_knows_no_clock() -> None:
    files = probe_files.gather_probe({spec.name: spec.probe for spec in specs() if spec.probe is not None})
    packed = probe_files.pack_probe(files)
    assert packed == probe_files.pack_probe(dict(reversed(files.items())))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = {member.name: member for member in tar.getmembers()}
        for name, data in files.items():
            content = tar.extractfile(f"opt/timeproof/probe/{name}")
            assert content is not None
            assert content.read() == data
    assert {m.mtime for m in members.values()} == {EPOCH}
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members.values()} == {(0, 0, "", "")}
    assert {m.mode for m in members.values() if m.isdir()} == {0o755}
    assert {m.mode for m in members.values() if m.isfile()} == {0o644}
    for name in members:
        parents = [str(parent) for parent in Path(name).parents if parent != Path()]
        assert set(parents) <= members.keys(), "every folder is a member, before what lies in it"
