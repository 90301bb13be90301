"""Files of scikit-learn made to harm: nothing that they name is made before it is held against two lists.

The host reads no more than such a file's schema; the loader is run here as a container runs it.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from support.sklearn_models import KINDS, NUMBERS

from timeproof.errors import NotArchivable
from timeproof.frameworks import SaveOptions, adapter_for_file, read_inputs
from timeproof.frameworks.sklearn import dumping
from timeproof.frameworks.sklearn.probe import allowed, load, schema
from timeproof.testing import probing
from timeproof_probe.file_checks import Refused

Node = dict[str, Any]


@pytest.fixture(scope="module")
def good() -> tuple[bytes, list[str]]:
    """A file, and what its metadata lists."""
    model = make_pipeline(FunctionTransformer(np.sqrt), LogisticRegression())
    return dumping.dump(model)


def altered(data: bytes, change: Callable[[Node], object], **entries: bytes) -> bytes:
    """The file with another schema, and more entries."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        tree = json.loads(old.read("schema.json"))
        change(tree)
        for name in old.namelist():
            if name != "schema.json":
                new.writestr(name, old.read(name))
        for name, entry in entries.items():
            new.writestr(name, entry)
        new.writestr("schema.json", json.dumps(tree))
    return stream.getvalue()


def node(loader: str, module: str, name: str, **more: object) -> Node:
    return {"__loader__": loader, "__module__": module, "__class__": name, "__id__": 10**6, **more}


def empty(loader: str) -> Node:
    return {
        "__loader__": loader,
        "__module__": "builtins",
        "__class__": "tuple",
        "content": [],
        "__id__": 999,
    }


def put(made: Node) -> Callable[[Node], object]:
    """Put a node among the model's attributes."""
    return lambda tree: tree["content"]["content"].update(extra=made)


def take(path: Path, folder: Path) -> None:
    """Take the file as an artifact's, as the host does."""
    adapter = adapter_for_file(path)
    adapter.save_file(path, read_inputs(adapter, path, NUMBERS), folder, "skl_v1", SaveOptions())


JSON = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": '"x"'}
GADGETS = {
    "a function that runs text": node("FunctionNode", "builtins", "eval"),
    "a type that is a function": node("TypeNode", "builtins", "exec"),
    "a command": node("FunctionNode", "os", "system"),
    "a command, by another name": node("FunctionNode", "posix", "system"),
    "a call of a method": node("OperatorFuncNode", "operator", "methodcaller", attrs=empty("TupleNode")),
    "a call, whose module says otherwise": node(
        "OperatorFuncNode", "builtins", "methodcaller", attrs=empty("TupleNode")
    ),
    "an attribute of anything": node("OperatorFuncNode", "operator", "attrgetter", attrs=empty("TupleNode")),
    "a bound method": node(
        "MethodNode", "sklearn.base", "BaseEstimator", content={"func": "fit", "obj": JSON}
    ),
    "a partial command": node(
        "PartialNode", "functools", "partial", content={"func": node("FunctionNode", "os", "system")}
    ),
    "a file that is read": node("FunctionNode", "numpy", "load"),
    "a library that is loaded": node("FunctionNode", "numpy.ctypeslib", "load_library"),
    "a fetch": node("FunctionNode", "sklearn.datasets", "fetch_openml"),
    "a class of anybody": node("ObjectNode", "subprocess", "Popen", content=JSON),
    "a call of a class": node("ConstructorFromReduceNode", "subprocess", "Popen", content=empty("TupleNode")),
    "a name that is a path": node("ObjectNode", "sklearn.base", "os.system", content=JSON),
    "a relative name": node("ObjectNode", "..os", "system", content=JSON),
    "a loader of a later skops": node("NewNode", "sklearn.base", "BaseEstimator", content=JSON),
    "a node that was before": node("CachedNode", "sklearn.base", "BaseEstimator"),
}
# By their names they may be made: only looking shows that they are something else, or not there.
RESOLVED = {
    "a module that another imports": (
        node("TypeNode", "sklearn.base", "warnings"),
        "no type of that package",
    ),
    "a function for a type": (node("ObjectNode", "sklearn.base", "clone", content=JSON), "no class"),
    "a type that is not there": (
        node("ObjectNode", "sklearn.linear_model._logistic", "Quantum", content=JSON),
        "not in this environment",
    ),
    "a module that is not there": (
        node("ObjectNode", "sklearn.quantum", "Regression", content=JSON),
        "not in this environment",
    ),
}


@pytest.mark.parametrize("name", sorted(GADGETS))
def test_what_is_no_part_of_a_model_is_refused_on_both_sides(
    good: tuple[bytes, list[str]], tmp_path: Path, name: str
) -> None:
    data, types = good
    path = tmp_path / "model.skops"
    path.write_bytes(altered(data, put(GADGETS[name])))
    every = {allowed.name_of(kind) for kind in schema.kinds_in(schema.read(str(path)))}
    with pytest.raises(Refused, match="may not"):
        load.load(str(path), sorted(every | set(types)))  # listed, and refused all the same
    (tmp_path / "out").mkdir()
    with pytest.raises(NotArchivable) as caught:
        take(path, tmp_path / "out")
    assert caught.value.advice
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", sorted(RESOLVED))
def test_what_a_name_stands_for_is_looked_at_before_skops_reads_the_file(
    good: tuple[bytes, list[str]], tmp_path: Path, name: str
) -> None:
    data, types = good
    made, words = RESOLVED[name]
    path = tmp_path / "model.skops"
    path.write_bytes(altered(data, put(made)))
    with pytest.raises(Refused, match=words):
        load.load(str(path), [*types, f"{made['__module__']}.{made['__class__']}"])


def test_a_type_that_the_metadata_does_not_list_is_named(
    good: tuple[bytes, list[str]], tmp_path: Path
) -> None:
    data, types = good
    path = tmp_path / "model.skops"
    path.write_bytes(data)
    load.load(str(path), types)
    hidden = "sklearn.preprocessing._function_transformer.FunctionTransformer"
    with pytest.raises(Refused, match="FunctionTransformer"):
        load.load(str(path), [name for name in types if name != hidden])


def test_a_file_of_a_later_protocol_is_refused_with_the_release_that_wrote_it(
    good: tuple[bytes, list[str]], tmp_path: Path
) -> None:
    data, types = good
    path = tmp_path / "model.skops"
    path.write_bytes(altered(data, lambda tree: tree.update(protocol=99, _skops_version="9.9")))
    with pytest.raises(Refused, match=r"protocol 99 .*skops 9\.9"):
        load.load(str(path), types)


def packed(*entries: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, entry in entries:
            archive.writestr(name, entry)
    return stream.getvalue()


def schema_of(**more: object) -> bytes:
    return json.dumps({"protocol": 2, **node("ObjectNode", "sklearn.base", "BaseEstimator"), **more}).encode()


BROKEN = {
    "no zip": b"PK\x03\x04 and more",
    "no schema": packed(("1.npy", b"")),
    "an entry outside": packed(("../1.npy", b""), ("schema.json", schema_of())),
    "an absolute entry": packed(("/etc/passwd", b""), ("schema.json", schema_of())),
    "a schema that is no JSON": packed(("schema.json", b"{")),
    "a schema that is a list": packed(("schema.json", b"[]")),
    "a schema that is no text": packed(("schema.json", b"\xff\xfe")),
    "a deep schema": packed(("schema.json", b"[" * 200_000)),
    "no protocol": packed(("schema.json", schema_of(protocol=None))),
    "a protocol that is true": packed(("schema.json", schema_of(protocol=True))),
    "an entry that is not there": packed(("schema.json", schema_of(file="7.npy"))),
    "a node without a class": packed(("schema.json", schema_of(content={"__loader__": "ListNode"}))),
    "a node whose module is a list": packed(("schema.json", schema_of(__module__=["os"]))),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_damaged_file_is_refused_in_words_on_both_sides(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(BROKEN[name])
    with pytest.raises(Refused, match=r"model\.skops"):
        load.load(str(path), ["sklearn.base.BaseEstimator"])
    with pytest.raises(NotArchivable) as caught:
        take(path, tmp_path)
    assert caught.value.advice
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.skops"]


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(packed(("1.npy", b"a"), ("1.npy", b"b"), ("schema.json", schema_of())))
    with pytest.raises(schema.BadSkops, match="two entries"):
        schema.read(str(path))


def test_a_zip_that_unpacks_to_more_than_the_bound_is_not_unpacked(
    good: tuple[bytes, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.skops"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.npy", bytes(1 << 20))
        archive.writestr("schema.json", schema_of() + b" " * (1 << 16))
    path.write_bytes(stream.getvalue())
    monkeypatch.setattr(schema, "SCHEMA_BYTES", 1 << 15)
    with pytest.raises(schema.BadSkops, match=r"schema\.json is larger"):
        schema.read(str(path))
    monkeypatch.setattr(schema, "TOTAL_BYTES", 1 << 19)
    with pytest.raises(schema.BadSkops, match="unpacked"):
        schema.read(str(path))
    monkeypatch.setattr(schema, "ENTRIES", 1)
    with pytest.raises(schema.BadSkops, match="entries"):
        schema.read(str(path))


def test_the_host_looks_at_a_file_without_the_libraries_that_it_names(tmp_path: Path) -> None:
    """Neither scikit-learn nor skops is imported to take a file; a process of its own shows it."""
    data, _ = dumping.dump(LogisticRegression().fit(NUMBERS, KINDS))
    (tmp_path / "m.skops").write_bytes(data)
    code = (
        "import pathlib, sys, numpy\n"
        "from timeproof.frameworks import SaveOptions, adapter_for_file, read_inputs\n"
        f"folder = pathlib.Path({str(tmp_path)!r}); path = folder / 'm.skops'\n"
        "adapter = adapter_for_file(path); inputs = read_inputs(adapter, path, numpy.zeros((2, 3)))\n"
        "saved = adapter.save_file(path, inputs, folder, 'skl_v1', SaveOptions())\n"
        "assert saved.class_name == 'LogisticRegression', saved\n"
        "assert not {'sklearn', 'skops', 'scipy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_model_that_draws_when_it_answers_follows_the_seed(tmp_path: Path) -> None:
    data, types = dumping.dump(DummyClassifier(strategy="stratified").fit(NUMBERS, KINDS))
    (tmp_path / "m.skops").write_bytes(data)

    def answer(seed: int) -> list[str]:
        options = {"types": types, "seed": seed}
        outputs = load.run(str(tmp_path), "m.skops", [("input", NUMBERS)], options, 1, {})
        return [str(label) for label in outputs[0][1]]

    assert answer(0) == answer(0)
    assert answer(0) != answer(1)


def test_the_probe_refuses_in_words_and_goes_on_with_the_next(
    good: tuple[bytes, list[str]], tmp_path: Path
) -> None:
    data, types = dumping.dump(LogisticRegression().fit(NUMBERS, KINDS))
    crafted = altered(data, put(GADGETS["a command"]))
    pickled = altered(data, lambda tree: None)
    jobs = []
    for name, content in {"bad": crafted, "cut": data[:200], "good": pickled}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model_skl_v1.skops").write_bytes(content)
        probing.write_inputs(folder, [NUMBERS])
        options = {"types": [*types, "os.system"], "methods": None}
        jobs.append(probing.artifact(folder, "sklearn", "model_skl_v1.skops", name=name, options=options))
    run = probing.run(jobs, tmp_path)
    assert [run.status(name) for name in ("bad", "cut", "good")] == ["refused", "refused", "ok"]
    assert "os.system" in run.results["bad"]["reason"]
    assert list(run.outputs["good", "native"]) == ["predict", "predict_proba", "decision_function"]
