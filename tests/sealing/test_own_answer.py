"""The archived answer is the user's own: another model than the one that was handed in is not sealed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from support import tiny_models
from support.archive_making import small_archive
from support.local_sealing import modules_in, nothing_published, with_onnxruntime

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadRequest, NotArchivable, SealFailed
from timeproof.frameworks import SaveOptions
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.sealing import flow
from timeproof.sealing.own_answer import OwnAnswer, agrees, measure
from timeproof.sealing.sealed_answer import SealedAnswer
from timeproof.store.layout import Archive
from timeproof.store.reference import read
from timeproof.store.verify import verify
from timeproof.testing.archives import seal

NO_COPY = SaveOptions(PyTorchOptions(onnx=False))
BARE = SaveOptions(PyTorchOptions(onnx=False, init_args={}))
RNG = np.random.default_rng(11)
LEFT = RNG.normal(size=(7, 4)).astype(np.float32)
RIGHT = RNG.normal(size=(7, 4)).astype(np.float32)

NETS = '''
import torch
from torch import nn


class ByName(nn.Module):
    """Not symmetric in its inputs, so that an exchange shows."""

    def __init__(self):
        super().__init__()
        self.price_layer, self.qty_layer = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, price, qty, *, shift=None):
        answer = self.price_layer(price) - 2 * torch.relu(self.qty_layer(qty))
        return answer if shift is None else answer + shift


class First(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)

    def forward(self, x, /, y):
        return self.lin(x) - y.sum(1, keepdim=True)


class Free(nn.Module):
    def forward(self, x, **others):
        return x - 2 * others["z"]


class Plain(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.lin = nn.Linear(width, 3)

    def forward(self, x):
        return self.lin(x)


class Loose(nn.Module):
    """Keeps a tensor that is no buffer."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.lin = nn.Linear(4, 3)
        self.factor = torch.full((3,), float(scale))

    def forward(self, x):
        return self.lin(x) * self.factor


class Heads(nn.Module):
    def __init__(self, heads=1):
        super().__init__()
        self.heads = heads
        self.lin = nn.Linear(4, 4)

    def forward(self, x):
        return torch.softmax(self.lin(x).reshape(len(x), self.heads, -1), -1).flatten(1)


class Brief(nn.Module):
    """Buffers in and out of the state, tied weights, a mixture of types."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("kept", torch.linspace(0, 1, 4))
        self.register_buffer("made", 1.0 / (10000 ** (torch.arange(4) / 4)), persistent=False)

    def forward(self, x):
        return self.second(self.first(x) + self.kept) * self.made


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.brief, self.wide = nn.Linear(4, 4), nn.Linear(4, 3)
        self.phase = nn.Parameter(torch.randn(3))

    def forward(self, x):
        wide = self.wide(self.brief(x.to(self.brief.weight.dtype)).to(self.wide.weight.dtype))
        return wide, (wide * self.phase).abs()


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.norm(x))


class Counts(nn.Module):
    def forward(self, x):
        return len(x)


class Unexportable(nn.Module):
    def forward(self, x):
        return torch.linalg.qr(x)[0] + torch.linalg.eigvals(x.T @ x).real.sum()


class Makes(nn.Module):
    """Makes tensors of the default type as it goes."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)

    def forward(self, x):
        return self.lin(x) + torch.linspace(0, 1, 3) / 3
'''


@contextmanager
def nothing_built() -> Iterator[None]:
    """Fail where an environment is asked for, which would be built."""
    with mock.patch.object(flow, "choose", side_effect=AssertionError("an environment is asked for")):
        yield


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with modules_in(tmp_path_factory.mktemp("nets")) as write:
        yield write(NETS)


@pytest.fixture
def small(tmp_path: Path) -> Archive:
    return small_archive(tmp_path / "archive")


def answer_of(archive: Archive, done: Any) -> dict[str, np.ndarray]:
    """What was archived as the model's answer."""
    with (archive.root / done.ref.folder / f"reference_{done.ref.tag}.npz").open("rb") as stream:
        return read(stream, done.metadata.outputs, "the reference")


def own(model: Any, *args: Any, **kwargs: Any) -> np.ndarray:
    """The user's own call."""
    with torch.no_grad():
        return model.eval()(*args, **kwargs).float().numpy()


# --- inputs by name ---------------------------------------------------------------------------


def test_inputs_by_name_reach_the_parameters_of_these_names(small: Archive, nets: ModuleType) -> None:
    model = nets.ByName()
    inputs = {"qty": RIGHT, "price": LEFT}
    done = seal(small, model, inputs, options=NO_COPY)
    mine = own(model, **{name: torch.from_numpy(a) for name, a in inputs.items()})
    np.testing.assert_allclose(answer_of(small, done)["output"], mine, atol=1e-5)
    assert [i.name for i in done.metadata.inputs] == ["qty", "price"]
    call = done.metadata.model.options["call"]
    assert [(c["input"], c["parameter"]) for c in call] == [("qty", "qty"), ("price", "price")]


def test_keyword_only_parameters_are_passed_by_name_and_a_gap_is_left(
    small: Archive, nets: ModuleType
) -> None:
    model = nets.ByName()
    shift = np.full((1, 3), 7.0, np.float32)
    done = seal(small, model, {"shift": shift, "qty": RIGHT, "price": LEFT}, options=NO_COPY)
    mine = own(model, torch.from_numpy(LEFT), torch.from_numpy(RIGHT), shift=torch.from_numpy(shift))
    np.testing.assert_allclose(answer_of(small, done)["output"], mine, atol=1e-5)


@pytest.mark.parametrize("order", [("x", "y"), ("y", "x")])
def test_parameters_that_take_no_name_get_their_place(
    small: Archive, nets: ModuleType, order: tuple[str, str]
) -> None:
    model, arrays = nets.First(), {"x": LEFT, "y": RIGHT}
    done = seal(small, model, {name: arrays[name] for name in order}, options=NO_COPY)
    mine = own(model, torch.from_numpy(LEFT), y=torch.from_numpy(RIGHT))
    np.testing.assert_allclose(answer_of(small, done)["output"], mine, atol=1e-5)


def test_free_keywords_are_passed_on(small: Archive, nets: ModuleType) -> None:
    done = seal(small, nets.Free(), {"z": LEFT, "x": RIGHT}, options=NO_COPY)
    np.testing.assert_array_equal(answer_of(small, done)["output"], RIGHT - 2 * LEFT)


def test_inputs_in_order_are_passed_by_place(small: Archive, nets: ModuleType) -> None:
    model = nets.ByName()
    done = seal(small, model, (LEFT, RIGHT), options=NO_COPY)
    mine = own(model, torch.from_numpy(LEFT), torch.from_numpy(RIGHT))
    np.testing.assert_allclose(answer_of(small, done)["output"], mine, atol=1e-5)
    assert [c["parameter"] for c in done.metadata.model.options["call"]] == [None, None]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"price": LEFT, "quantity": RIGHT}, "no parameter 'quantity': it takes price, qty"),
        ({"price": LEFT}, "needs qty"),
        ((LEFT, RIGHT, LEFT), "3 inputs by position don't fit"),
        (LEFT, "1 inputs by position don't fit"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_is_built(
    small: Archive, nets: ModuleType, inputs: Any, words: str
) -> None:
    with nothing_built(), pytest.raises(NotArchivable, match=words):
        seal(small, nets.ByName(), inputs)
    assert nothing_published(small, "pytorch")


def test_the_exported_copy_takes_inputs_by_name_too(small: Archive, nets: ModuleType) -> None:
    there = with_onnxruntime(small)
    done = seal(small, nets.ByName(), {"qty": RIGHT, "price": LEFT}, environment=there)
    (copy,) = done.metadata.copies
    assert copy.distance.verdict in {"identical", "rounding"}
    inputs = {"qty": RIGHT, "shift": LEFT[:, :3], "price": LEFT}
    shifted = seal(small, nets.ByName(), inputs, environment=there)
    assert [c.distance.verdict for c in shifted.metadata.copies] in (["identical"], ["rounding"])


# --- another answer is refused ----------------------------------------------------------------


def loose(nets: ModuleType) -> Any:
    model = nets.Loose()
    model.factor = torch.tensor([1.0, -2.0, 0.5])
    return model


def forgotten(nets: ModuleType) -> Any:
    return nets.Heads(heads=2)


def hooked(nets: ModuleType) -> Any:
    model = nets.Plain()
    model.lin.register_forward_hook(lambda _m, _i, answer: answer * 3)
    return model


def replaced(nets: ModuleType) -> Any:
    model = nets.Plain()
    model.forward = lambda x: model.lin(x) + 5
    return model


def exchanged(nets: ModuleType) -> Any:
    class Negated(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return -super().forward(x)

    model = nets.Plain()
    model.lin = Negated(4, 3)
    return model


@pytest.mark.parametrize(
    ("make", "options", "reason"),
    [
        (loose, BARE, "the attribute factor is a tensor, and neither a parameter nor a buffer"),
        (forgotten, BARE, "the attribute heads is 2; built anew it is 1"),
        (hooked, BARE, "lin has a forward hook"),
        (replaced, BARE, "the model has a forward of its own, put on the instance"),
        (exchanged, BARE, "lin is a Negated; built anew it is a Linear"),
    ],
)
def test_a_model_whose_container_answers_otherwise_is_refused_with_the_reason(
    small: Archive, nets: ModuleType, make: Callable[[ModuleType], Any], options: SaveOptions, reason: str
) -> None:
    model = make(nets)
    with pytest.raises(SealFailed, match=r"answers otherwise than your process: broken") as caught:
        seal(small, model, LEFT, options=options)
    assert reason in caught.value.message
    assert "--keep-different" in caught.value.advice
    assert nothing_published(small, "pytorch")
    kept = seal(small, model, LEFT, options=options, keep_different=True)
    assert kept.metadata.kept == ["different"]
    assert kept.metadata.training is not None
    assert kept.metadata.training.verdict == "broken"
    assert any("your process and the container differ: broken" in r for r in kept.remarks)
    assert verify(small).ok


def widened(nets: ModuleType) -> Any:
    model = nets.Plain()
    model.lin = torch.nn.Linear(4, 5)
    return model


def test_a_layer_that_was_exchanged_is_named_where_the_state_does_not_fit(
    small: Archive, nets: ModuleType
) -> None:
    with pytest.raises(SealFailed, match=r"size mismatch") as caught:
        seal(small, widened(nets), LEFT, options=BARE)
    assert "it can't be built again here" in caught.value.message
    assert "were layers changed after it was built?" in caught.value.advice


def test_a_number_for_an_answer_is_refused_with_what_to_return(small: Archive, nets: ModuleType) -> None:
    with pytest.raises(NotArchivable, match="can't be stored") as caught:
        seal(small, nets.Counts(), LEFT, options=NO_COPY)
    assert "return a tensor" in caught.value.advice


def test_what_an_exporter_prints_does_not_reach_the_user(
    small: Archive, nets: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    there = with_onnxruntime(small)
    done = seal(small, nets.Unexportable(), LEFT, environment=there)
    printed = capfd.readouterr()
    assert len(printed.out) + len(printed.err) < 500
    (note,) = done.metadata.notes
    assert note.startswith("there is no ONNX copy: ")
    assert len(note) < 2000


class Text:
    """A configuration that JSON can't hold."""


@pytest.mark.parametrize(
    ("attributes", "advice"),
    [
        ({"hparams": {"width": 4}}, "dict(model.hparams)"),
        ({"width": Text()}, "a class of your own"),
        ({"width": 4}, "suggest init_args={'width': 4}"),
        ({}, "give init_args={...}"),
    ],
)
def test_missing_init_args_are_asked_for_in_the_way_that_fits(
    small: Archive, nets: ModuleType, attributes: dict[str, Any], advice: str
) -> None:
    model = nets.Plain()
    for name, value in attributes.items():
        setattr(model, name, value)
    with nothing_built(), pytest.raises(NotArchivable, match="takes arguments") as caught:
        seal(small, model, LEFT)
    assert advice in caught.value.message + caught.value.advice


def test_training_mode_is_refused_where_it_answers_otherwise_and_the_model_is_left_as_it_was(
    small: Archive, nets: ModuleType
) -> None:
    model = nets.Dropping().train()
    before = model.norm.running_mean.clone()
    state = torch.get_rng_state()
    with nothing_built(), pytest.raises(NotArchivable, match="in training mode") as caught:
        seal(small, model, LEFT, options=NO_COPY)
    assert "model.eval()" in caught.value.advice
    assert torch.equal(before, model.norm.running_mean)
    assert torch.equal(state, torch.get_rng_state())
    assert all(module.training for module in model.modules())
    done = seal(small, model.eval(), LEFT, options=NO_COPY)
    assert done.metadata.training is not None
    seal(small, nets.Plain().train(), LEFT, options=BARE)


def test_autocast_is_named_where_it_makes_the_difference(small: Archive, nets: ModuleType) -> None:
    named = pytest.raises(SealFailed, match=r"torch\.autocast is on for cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16), named:
        seal(small, nets.Plain(), LEFT, options=BARE)


def test_a_model_that_does_not_answer_in_its_own_process_is_refused_before_anything_is_built(
    small: Archive, nets: ModuleType
) -> None:
    with nothing_built(), pytest.raises(NotArchivable, match="can't answer these inputs"):
        seal(
            small,
            nets.Plain(),
            LEFT[:, :2],
            options=BARE,
        )


# --- types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64"])
def test_a_module_of_another_type_answers_in_it(small: Archive, nets: ModuleType, kind: str) -> None:
    dtype = getattr(torch, kind)
    model = nets.Brief().to(dtype).eval()
    x = torch.from_numpy(LEFT).to(dtype)
    done = seal(small, model, x, options=NO_COPY)
    with torch.no_grad():
        mine = model(x)
    archived = answer_of(small, done)["output"]
    np.testing.assert_allclose(archived, mine.to(torch.float32 if kind == "bfloat16" else dtype), rtol=1e-2)
    assert done.metadata.training is not None
    assert done.metadata.training.verdict in {"identical", "rounding", "drift"}
    assert archived.dtype == {"bfloat16": "float32"}.get(kind, kind)


def test_a_mixture_of_types_and_a_complex_weight_are_restored(small: Archive, nets: ModuleType) -> None:
    model = nets.Mixed()
    model.brief.to(torch.bfloat16)
    model.wide.to(torch.float64)
    model.phase = torch.nn.Parameter(torch.randn(3, dtype=torch.complex128))
    done = seal(small, model, LEFT, options=NO_COPY)
    assert done.metadata.training is not None
    assert done.metadata.training.verdict in {"identical", "rounding"}
    assert [o.dtype for o in done.metadata.outputs] == ["<f8", "<f8"]


def test_the_process_s_default_type_is_restored(small: Archive, nets: ModuleType) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        done = seal(small, nets.Makes(), LEFT.astype(np.float64), options=NO_COPY)
    finally:
        torch.set_default_dtype(torch.float32)
    assert done.metadata.training is not None
    assert done.metadata.training.verdict in {"identical", "rounding"}
    assert done.metadata.outputs[0].dtype == "<f8"


# --- what is said -----------------------------------------------------------------------------


def test_rounding_is_said_in_python(
    small: Archive, nets: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import timeproof
    from timeproof.sealing import flow as archiving

    model = nets.Plain()
    done = seal(small, model, LEFT, options=BARE)
    remark = "your process and the container differ: rounding: differs by 1 sULP"
    monkeypatch.setattr(
        archiving,
        "archive_model",
        lambda *_a, **_k: archiving.Archived(done.ref, done.metadata, done.path, None, (remark,)),
    )
    with caplog.at_level(logging.WARNING, "timeproof"):
        timeproof.archive(model, LEFT, grid_size=8)
    assert remark in caplog.text


# --- answers that are handed in ---------------------------------------------------------------


def test_an_expected_answer_must_agree_for_a_model_file(small: Archive, tmp_path: Path) -> None:
    path, inputs = tiny_models.graph(tmp_path)
    right = tiny_models.ROWS * 2
    done = seal(small, path, inputs, expected={"y": right})
    assert done.metadata.training is not None
    assert done.metadata.training.verdict == "identical"
    with pytest.raises(SealFailed, match="answers otherwise than the expected answer: broken"):
        seal(small, path, inputs, expected=-right)
    kept = seal(small, path, inputs, expected=-right, keep_different=True)
    assert kept.metadata.kept == ["different"]


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"z": LEFT}, "names z; the model's outputs are y"),
        (LEFT[:1], r"has the shape \[1, 4\]"),
        ({}, "no array"),
    ],
)
def test_an_expected_answer_that_fits_no_output_is_a_bad_request(
    small: Archive, tmp_path: Path, expected: Any, words: str
) -> None:
    path, inputs = tiny_models.graph(tmp_path)
    with pytest.raises(BadRequest, match=words):
        seal(small, path, inputs, expected=expected)
    assert nothing_published(small, "onnx")


def test_a_model_file_is_asked_where_this_process_has_its_runtime(small: Archive, tmp_path: Path) -> None:
    import onnxruntime  # noqa: F401 - the user's process has it

    path, inputs = tiny_models.graph(tmp_path)
    done = seal(small, path, inputs)
    assert done.own is not None
    assert done.own.verdict == "identical"


def test_scores_name_outputs_of_the_model(small: Archive, nets: ModuleType) -> None:
    model = nets.Plain()
    done = seal(small, model, LEFT, options=BARE, scores=["output"])
    assert done.metadata.outputs[0].scores is True
    with pytest.raises(BadRequest, match="other is no output"):
        seal(small, model, LEFT, options=BARE, scores=["other"])


def test_a_container_that_answers_in_another_dtype_gives_another_answer():
    """Though every value is the same; an answer that was handed in may be in any dtype that holds it."""
    sealed = SealedAnswer({"y": LEFT})
    for whole in (True, False):
        answer = OwnAnswer({"y": LEFT.astype("f8")}, whole=whole)
        difference = measure(answer, sealed)
        assert difference.verdict is Verdict.rounding
        assert agrees(answer, difference) is not whole
