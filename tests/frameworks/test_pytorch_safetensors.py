"""Weights as .safetensors: the copy beside a .pth, the format itself, and such files as models."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.laws import examples
from support.local_sealing import modules_in, nothing_published
from support.roundtrip import Case, both_sides, save

from timeproof.errors import BadRequest, NotArchivable, SealFailed
from timeproof.frameworks import SaveOptions, adapter_for_file
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.frameworks.pytorch.probe import safetensors_file
from timeproof.frameworks.pytorch.probe.safetensors_file import FORMAT, BadSafetensors
from timeproof.store.layout import Archive
from timeproof.testing import archives

ROWS = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)
KINDS = [getattr(torch, name) for name in FORMAT if hasattr(torch, name)]
NET = """
import torch
from torch import nn

class Tied(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(4, width, bias=False)
        self.second = nn.Linear(4, width)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("turned", torch.arange(12.0).reshape(3, 4).T)

    def forward(self, x):
        return self.norm(self.first(x) + self.second(x)) @ self.turned[: self.norm.num_features]
"""


@pytest.fixture
def written(tmp_path_factory):
    with modules_in(tmp_path_factory.mktemp("user")) as write:
        yield write


def plain(model: torch.nn.Module, **init_args: object) -> Case:
    return Case(model.eval(), ROWS, SaveOptions(PyTorchOptions(onnx=False, init_args=init_args)))


# --- the copy beside a .pth -------------------------------------------------------------------


def test_both_files_hold_the_same_state_bit_for_bit(written, tmp_path: Path) -> None:
    tied = written(NET).Tied(3)
    tied.norm.running_mean[0] = float("nan")
    saved, _, _ = save(plain(tied, width=3), tmp_path / "m")
    assert [(f.role, f.format) for f in saved.files] == [
        ("model", "torch-state"),
        ("optional", "safetensors"),
        ("source", "python"),
    ]
    state = torch.load(tmp_path / "m/model_pt_v1.pth", weights_only=True)["model_state"]
    copied = safetensors_file.read_tensors(str(tmp_path / "m/model_pt_v1.safetensors"))
    assert sorted(copied) == sorted(state)
    for name, tensor in state.items():
        assert copied[name].dtype == tensor.dtype
        assert copied[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes(), name


def test_tied_weights_are_written_once_and_named_in_the_metadata(written, tmp_path: Path) -> None:
    save(plain(written(NET).Tied(3), width=3), tmp_path / "m")
    header = safetensors_file.read_header(str(tmp_path / "m/model_pt_v1.safetensors"))
    assert header.metadata == {"second.weight": "first.weight"}
    assert "second.weight" not in {entry.name for entry in header.entries}


def test_the_libraries_own_loader_takes_the_copy(written, tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    module = written(NET)
    tied = module.Tied(3)
    save(plain(tied, width=3), tmp_path / "m")
    again = module.Tied(3)
    library.load_model(again, tmp_path / "m/model_pt_v1.safetensors")
    for name, tensor in tied.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("what", ["complex128", "quantized", "switched off"])
def test_a_state_that_the_format_can_not_hold_has_no_copy_and_a_note(what: str, tmp_path: Path) -> None:
    model = torch.nn.Linear(4, 2)
    if what == "complex128":
        model.weight = torch.nn.Parameter(model.weight.to(torch.complex128))
        model.bias = torch.nn.Parameter(model.bias.to(torch.complex128))
    if what == "quantized":
        model.register_buffer("q", torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8))
    options = PyTorchOptions(
        onnx=False, init_args={"in_features": 4, "out_features": 2}, safetensors=what != "switched off"
    )
    inputs = ROWS.astype(np.complex128) if what == "complex128" else ROWS
    if what == "quantized":
        from timeproof.frameworks.pytorch.safetensors_copy import write_copy

        (tmp_path / "m").mkdir()
        torch.save({"model_state": model.state_dict()}, tmp_path / "m.pth")
        notes: list[str] = []
        assert write_copy(model.state_dict(), tmp_path / "m.pth", tmp_path / "m", "pt_v1", notes) == []
    else:
        saved, _, _ = save(Case(model.eval(), inputs, SaveOptions(options)), tmp_path / "m")
        notes = list(saved.notes)
    assert not list((tmp_path / "m").glob("*.safetensors"))
    assert any("there is no safetensors copy" in note and what in note for note in notes) is (
        what != "switched off"
    )


# --- the format -------------------------------------------------------------------------------


@st.composite
def states(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    names = draw(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=5))
    state = {}
    for name in names:
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        state[name] = torch.full(shape, draw(st.integers(0, 1))).to(draw(st.sampled_from(KINDS)))
    return state


@given(states())
@examples(60)
def test_what_is_written_is_read_again_and_is_what_the_library_writes(tmp_path_factory, state) -> None:
    library = pytest.importorskip("safetensors.torch")
    path = tmp_path_factory.mktemp("law") / "m.safetensors"
    safetensors_file.write(str(path), state.items(), {})
    assert path.read_bytes() == library.save(state)
    again = safetensors_file.read_tensors(str(path))
    assert sorted(again) == sorted(state)
    for name, tensor in state.items():
        assert (again[name].dtype, again[name].shape) == (tensor.dtype, tensor.shape)
        assert bytes(safetensors_file.bytes_of(torch, again[name])) == bytes(
            safetensors_file.bytes_of(torch, tensor)
        )


def packed(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(start: int, end: int, shape: object = (1,), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


BAD = {
    "an overlap": packed({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)),
    "the same place twice": packed({"a": tensor(0, 4), "b": tensor(0, 4)}, bytes(4)),
    "a hole": packed({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)),
    "a hole before the first": packed({"a": tensor(4, 8)}, bytes(8)),
    "something left over": packed({"a": tensor(0, 4)}, bytes(5)),
    "cut": packed({"a": tensor(0, 4)}, bytes(3)),
    "a name twice": packed(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}', bytes(4)),
    "a type that is not known": packed({"a": tensor(0, 4, dtype="F31")}, bytes(4)),
    "a type that is no string": packed({"a": tensor(0, 4, dtype=["F32"])}, bytes(4)),
    "a negative size": packed({"a": tensor(0, 4, [-1, -1])}, bytes(4)),
    "a size that is no number": packed({"a": tensor(0, 4, [True])}, bytes(4)),
    "a shape of other bytes": packed({"a": tensor(0, 4, [2])}, bytes(4)),
    "a product beyond any number": packed({"a": tensor(0, 4, [2**62] * 60)}, bytes(4)),
    "offsets backwards": packed({"a": tensor(4, 0, [0])}, bytes(4)),
    "another member": packed({"a": {**tensor(0, 4), "code": "x"}}, bytes(4)),
    "metadata that is no text": packed({"__metadata__": {"a": 1}}, b""),
    "NaN": packed(b'{"a":NaN}'),
    "no JSON": packed(b"{not json}"),
    "no object": packed(b"[]"),
    "deep": packed(b'{"a":' + b"[" * 100_000),
    "a header longer than the file": packed({"a": tensor(0, 4)}, bytes(4), length=2**60),
    "nothing": b"",
    "seven bytes": bytes(7),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_a_header_that_does_not_describe_the_file_is_refused(what: str, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(BAD[what])
    with pytest.raises(BadSafetensors):
        safetensors_file.read_header(str(tmp_path / "m.safetensors"))
    options = SaveOptions(PyTorchOptions(model_class="torch.nn:Linear"))
    with pytest.raises(NotArchivable) as caught:
        adapter_for_file(tmp_path / "m.safetensors").save_file(
            tmp_path / "m.safetensors", {"x": ROWS}, tmp_path, "pt_v1", options
        )
    assert caught.value.advice
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


# --- such a file as a model -------------------------------------------------------------------


def weights(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    path = folder / "weights.safetensors"
    safetensors_file.write(str(path), state.items(), {})
    return path


def test_weights_and_the_name_of_their_class_become_a_model(written, tmp_path: Path) -> None:
    module = written(NET)
    tied = module.Tied(3).eval()
    state = tied.state_dict()
    del state["second.weight"]  # as transformers and others leave tied weights out
    path = weights(tmp_path, {name: item.contiguous() for name, item in state.items()})
    options = PyTorchOptions(model_class=f"{module.__name__}:Tied", init_args={"width": 3})
    both = both_sides({"w": Case(path, ROWS, SaveOptions(options))}, tmp_path / "out")["w"]
    assert both.result["status"] == "ok", both.result["reason"]
    (answer,) = both.outputs["native"].values()
    with torch.inference_mode():
        assert np.array_equal(answer, tied(torch.from_numpy(ROWS)).numpy())
    assert both.saved.model == "model_pt_v1.safetensors"
    assert (both.folder / both.saved.model).read_bytes() == path.read_bytes()


def test_the_class_of_weights_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "explosive.py").write_text("raise SystemExit('imported')\nclass Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = weights(tmp_path, {"w": torch.ones(2)})
    (tmp_path / "out").mkdir()
    options = SaveOptions(PyTorchOptions(model_class="explosive:Net"))
    saved = adapter_for_file(path).save_file(path, {"x": ROWS}, tmp_path / "out", "pt_v1", options)
    assert saved.source_files == ("source_pt_v1/explosive.py",)


@pytest.mark.parametrize(
    ("named", "error", "words"),
    [
        (None, NotArchivable, "without their class"),
        ("nowhere_at_all:Net", NotArchivable, "no module nowhere_at_all"),
        ("explosive:Missing", NotArchivable, "no class Missing"),
        ("explosive", BadRequest, "names no class"),
        ("../explosive:Net", BadRequest, "names no class"),
    ],
)
def test_a_class_that_is_not_there_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, error: type[Exception], words: str
) -> None:
    (tmp_path / "explosive.py").write_text("class Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = weights(tmp_path, {"w": torch.ones(2)})
    options = SaveOptions(PyTorchOptions(model_class=named))
    with pytest.raises(error, match=words) as caught:
        adapter_for_file(path).save_file(path, {"x": ROWS}, tmp_path, "pt_v1", options)
    assert caught.value.advice  # type: ignore[attr-defined]


def test_weights_of_another_class_are_not_published(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    archives.publish_environment(archive)
    path = weights(tmp_path, {"weight": torch.ones(2, 4), "other": torch.ones(2)})
    options = PyTorchOptions(model_class="torch.nn:Linear", init_args={"in_features": 4, "out_features": 2})
    with pytest.raises(SealFailed, match="Missing key"):
        archives.seal(archive, path, ROWS, options=SaveOptions(options))
    assert nothing_published(archive, "pytorch")
