"""Exported programs, live and in files: what is written, what is read without loading, what is refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.exported_programs import ROWS, SCALE, Scaled, exported, rewritten, saved_file
from support.laws import examples
from support.local_sealing import nothing_published
from support.roundtrip import Case, both_sides, save

from timeproof.errors import BadRequest, NotArchivable, SealFailed
from timeproof.frameworks import adapter_for, adapter_for_file, read_inputs
from timeproof.frameworks.imports import BadData
from timeproof.frameworks.torch_export import samples
from timeproof.frameworks.torch_export.program_file import read_program
from timeproof.store.layout import Archive
from timeproof.testing import archives, probing


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_file(tmp_path_factory.mktemp("pt2") / "named by its author.pt2")


# --- what is written --------------------------------------------------------------------------


def test_equal_programs_give_equal_bytes_and_none_says_where_it_was_made(tmp_path: Path) -> None:
    program = exported()
    traces = [node.meta.get("stack_trace") for node in program.graph.nodes]
    assert any(trace and __file__.rpartition("/tests/")[0] in trace for trace in traces)
    for name, model in (("one", program), ("two", exported())):
        save(Case(model, None), tmp_path / name)
    one, two = ((tmp_path / name / "model_pt2_v1.pt2").read_bytes() for name in ("one", "two"))
    assert one == two
    assert b"stack_trace" not in one
    assert __file__.rpartition("/")[0].encode() not in one
    assert [node.meta.get("stack_trace") for node in program.graph.nodes] == traces


def test_a_file_is_kept_byte_for_byte_with_a_note_of_what_it_says(file: Path, tmp_path: Path) -> None:
    saved, inputs, _ = save(Case(file, None), tmp_path / "m")
    assert (tmp_path / "m" / saved.model).read_bytes() == file.read_bytes()
    assert any("where on its author's machine" in note for note in saved.notes)
    assert np.array_equal(inputs["x"], ROWS)
    assert np.array_equal(inputs["scale"], SCALE)
    assert saved.options["facts"]["inputs"] == [
        {
            "name": "x",
            "dtype": "float32",
            "dims": [saved.options["facts"]["inputs"][0]["dims"][0], 4],
            "by_name": False,
        },
        {"name": "scale", "dtype": "float32", "dims": [3], "by_name": True},
    ]
    assert str(saved.options["facts"]["inputs"][0]["dims"][0]).isidentifier(), "the batch is free"


def earlier_form(path: Path) -> Path:
    """Write a program as torch.export.save did before 2.8."""
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    parts = serialize(exported())
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("serialized_exported_program.json", parts.exported_program)
        packed.writestr("serialized_state_dict.pt", parts.state_dict)
        packed.writestr("serialized_constants.pt", parts.constants)
        packed.writestr("serialized_example_inputs.pt", parts.example_inputs)
        packed.writestr("version", ".".join(map(str, SCHEMA_VERSION)))
    return path


def test_files_of_the_earlier_form_are_taken_with_their_inputs(tmp_path: Path) -> None:
    path = earlier_form(tmp_path / "m.pt2")
    both = both_sides({"m": Case(path, None)}, tmp_path / "out")["m"]
    assert both.result["status"] == "ok", both.result["reason"]
    with torch.inference_mode():
        expected = Scaled().eval()(torch.from_numpy(ROWS), scale=torch.from_numpy(SCALE))
    assert np.array_equal(both.outputs["native"]["scaled"], expected["scaled"].numpy())


def test_a_free_batch_takes_other_sizes_and_bfloat16_keeps_its_type(tmp_path: Path) -> None:
    half = torch.export.export(
        Scaled().to(torch.bfloat16).eval(),
        (torch.ones(2, 4, dtype=torch.bfloat16),),
        {"scale": torch.ones(3, dtype=torch.bfloat16)},
    )
    cases = {"seven": Case(exported(), (np.ones((7, 4), np.float32), SCALE)), "bfloat16": Case(half, None)}
    for both in both_sides(cases, tmp_path / "out").values():
        both.assert_identical()


@pytest.mark.parametrize("sample", [torch.ones(2, 2).T, torch.tensor([True]), torch.arange(3)[1:]])
def test_samples_in_a_file_are_those_of_the_live_program(tmp_path: Path, sample: torch.Tensor) -> None:
    program = torch.export.export(torch.nn.Identity(), (sample,))
    torch.export.save(program, tmp_path / "m.pt2")
    adapter = adapter_for_file(tmp_path / "m.pt2")
    (array,) = read_inputs(adapter, tmp_path / "m.pt2", None).values()
    assert np.array_equal(array, sample.numpy())
    assert array.dtype == sample.numpy().dtype


@pytest.mark.parametrize(
    ("model", "arguments", "words"),
    [
        (lambda x, k: x * k, (torch.ones(2), 3), "plain value"),
        (lambda pair: pair[0] + pair[1], ((torch.ones(2), torch.ones(2)),), "tuples, lists or dictionaries"),
    ],
)
def test_a_program_that_takes_more_than_tensors_is_refused(
    model: Callable[..., Any], arguments: tuple[Any, ...], words: str, tmp_path: Path
) -> None:
    class Net(torch.nn.Module):
        forward = staticmethod(model)

    program = torch.export.export(Net(), arguments)
    torch.export.save(program, tmp_path / "m.pt2")
    with pytest.raises(NotArchivable, match=words) as caught:
        read_program(tmp_path / "m.pt2")
    assert "tensors alone" in caught.value.advice
    with pytest.raises(NotArchivable):
        read_inputs(adapter_for(program), program, None)


# --- what is wrong with files -----------------------------------------------------------------


class Payload:
    """Unpickled anywhere, it writes to a path."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({self.path!r}, 'w').write('unpickled')",)


def saved_pickle(payload: object) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("archive/data.pkl", pickle.dumps(payload, protocol=2))
        packed.writestr("archive/version", b"3\n")
    return stream.getvalue()


def test_a_pickle_among_the_samples_is_not_followed_on_the_host(file: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    bad = rewritten(
        file, tmp_path / "m.pt2", {"sample_inputs/model.pt": lambda _: saved_pickle(Payload(str(mark)))}
    )
    with pytest.raises(NotArchivable, match=r"builtin.*\.eval, which is no plain tensor") as caught:
        read_inputs(adapter_for_file(bad), bad, None)
    assert "--inputs" in caught.value.advice
    assert not mark.exists()


def newer(data: bytes, major: int) -> bytes:
    document = json.loads(data)
    document["schema_version"] = {"major": major, "minor": 99}
    return json.dumps(document).encode()


MODEL_JSON = "models/model.json"
DAMAGED: dict[str, tuple[dict[str, Callable[[bytes], bytes | None]], dict[str, Any], str]] = {
    "compressed": ({}, {"compression": zipfile.ZIP_DEFLATED}, "is compressed"),
    "no JSON": ({MODEL_JSON: lambda _: b"{"}, {}, "can't be read"),
    "deep JSON": ({MODEL_JSON: lambda _: b"[" * 100_000}, {}, "can't be read"),
    "another JSON": ({MODEL_JSON: lambda _: b"[1]"}, {}, "can't be read"),
    "no schema": (
        {MODEL_JSON: lambda data: data.replace(b"schema_version", b"scheme")},
        {},
        "schema_version",
    ),
    "no graph": ({MODEL_JSON: lambda data: data.replace(b'"graph_module"', b'"g"')}, {}, "graph_module"),
    "half the JSON": ({MODEL_JSON: lambda data: data[: len(data) // 2]}, {}, "can't be read"),
}


@pytest.mark.parametrize("what", sorted(DAMAGED))
def test_a_damaged_program_is_refused_in_words(what: str, file: Path, tmp_path: Path) -> None:
    change, settings, words = DAMAGED[what]
    bad = rewritten(file, tmp_path / "m.pt2", change, **settings)
    with pytest.raises(NotArchivable, match=words) as caught:
        read_inputs(adapter_for_file(bad), bad, (ROWS, SCALE))
    assert caught.value.advice
    assert str(bad) in caught.value.message


def test_no_samples_and_none_given_is_a_request_for_inputs(file: Path, tmp_path: Path) -> None:
    bad = rewritten(file, tmp_path / "m.pt2", {"sample_inputs/model.pt": lambda _: None})
    with pytest.raises(NotArchivable, match="no sample inputs") as caught:
        read_inputs(adapter_for_file(bad), bad, None)
    assert "--inputs" in caught.value.advice


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("x/data/aotinductor/model/code.so", "compiled ahead of time"),
        ("x/models/another.json", "without a program of the name 'model'"),
    ],
)
def test_what_else_a_pt2_may_hold_is_named(member: str, words: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as packed:
        packed.writestr("x/archive_format", b"pt2")
        packed.writestr(member, b"{}")
    with pytest.raises(NotArchivable, match=words) as caught:
        adapter_for_file(tmp_path / "m.pt2")
    assert "torch.export.save" in caught.value.advice


def test_a_newer_schema_is_refused_by_the_container_in_words_and_nothing_is_published(
    file: Path, tmp_path: Path
) -> None:
    archive = Archive(tmp_path / "archive")
    archives.publish_environment(archive)
    bad = rewritten(file, tmp_path / "m.pt2", {MODEL_JSON: lambda data: newer(data, 9)})
    with pytest.raises(SealFailed, match=r"schema is 9\.99.*reads schema 8") as caught:
        archives.seal(archive, bad, None)
    assert "--env" in caught.value.advice
    assert caught.value.exit_code == 5
    assert nothing_published(archive, "torch_export")


# --- tensors without torch --------------------------------------------------------------------

KINDS = (torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool)


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.lists(st.integers(1, 3), max_size=3)), min_size=1, max_size=3
    ),
    st.booleans(),
)
@examples(40)
def test_what_torch_saves_is_read_without_it(
    kinds: list[tuple[torch.dtype, list[int]]], turned: bool
) -> None:
    tensors = [torch.arange(27)[: int(np.prod(shape))].reshape(shape).to(kind) for kind, shape in kinds]
    tensors = [tensor.T if turned and tensor.dim() == 2 else tensor for tensor in tensors]
    stream = io.BytesIO()
    torch.save((tuple(tensors), {"name": tensors[0]}), stream)
    positional, by_name = samples.read_tensors(stream.getvalue())
    for array, tensor in zip([*positional, by_name["name"]], [*tensors, tensors[0]], strict=True):
        assert array.dtype == tensor.numpy().dtype
        assert np.array_equal(array, tensor.numpy())


@given(st.binary(max_size=60), st.integers(0, 400))
@examples(60)
def test_no_bytes_at_all_do_more_than_raise(noise: bytes, place: int) -> None:
    stream = io.BytesIO()
    torch.save(((torch.ones(2, 3),), {}), stream)
    data = bytearray(stream.getvalue())
    data[place : place + len(noise)] = noise
    for attempt in (bytes(data), bytes(data[: place + 1]), noise):
        with suppress(BadData):
            samples.read_tensors(attempt)


def test_a_tensor_beyond_its_storage_is_refused() -> None:
    stream = io.BytesIO()
    torch.save(torch.ones(4), stream)
    small = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stream.getvalue())) as old, zipfile.ZipFile(small, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, bytes(8) if info.filename.endswith("data/0") else old.read(info))
    with pytest.raises(BadData, match="beyond its storage"):
        samples.read_tensors(small.getvalue())


# --- float64, and the command line ------------------------------------------------------------


def test_a_program_is_asked_in_float64(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    saved, inputs, expected = save(Case(exported(), None), folder)
    job = probing.artifact(
        folder,
        saved.framework,
        saved.model,
        names=list(inputs),
        options=dict(saved.options),
        copies=[
            {
                "name": "wide",
                "framework": saved.framework,
                "model": saved.model,
                "options": dict(saved.options),
                "witness": "float64",
                "timeout": 300,
            }
        ],
    )
    replay = probing.run([job], tmp_path)
    (name,) = replay.results
    wide = replay.outputs[name, "wide"]
    module = Scaled().double().eval()
    module.shift = module.shift.double()
    with torch.no_grad():
        exact = module(torch.from_numpy(ROWS).double(), scale=torch.from_numpy(SCALE).double())
    for output, array in expected.items():
        assert wide[output].dtype == array.dtype
        assert np.array_equal(wide[output], exact[output].float().numpy())


def test_the_command_line_asks_for_inputs_only_where_the_file_may_hold_none(
    file: Path, tmp_path: Path
) -> None:
    from timeproof.cli.user_code import load

    assert load(str(file), None) == (file, None, {})
    torch.save(torch.nn.Linear(1, 1).state_dict(), tmp_path / "m.pth")
    onnx = tmp_path / "m.onnx"
    onnx.write_bytes(b"")
    with pytest.raises(NotArchivable):
        load(str(tmp_path / "m.pth"), None)
    with pytest.raises(BadRequest, match="its inputs are needed"):
        load(str(onnx), None)
