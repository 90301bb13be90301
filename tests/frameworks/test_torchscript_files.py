"""TorchScript, live and in files: what is written, what the code's text says, and what is refused."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from support.roundtrip import Case, both_sides, save
from support.script_modules import ROWS, Branching, scripted, traced

from timeproof.base.limits import LIMITS
from timeproof.errors import NotArchivable
from timeproof.frameworks import adapter_for, adapter_for_file
from timeproof.frameworks.base import SATURATING
from timeproof.frameworks.torchscript import code_files
from timeproof.frameworks.torchscript.code_files import read_script
from timeproof.runs.profiles import profile_named

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*quantiz")


def test_a_live_module_is_written_alike_twice_and_does_not_say_where_it_was_made(tmp_path: Path) -> None:
    model = scripted()
    model.save(tmp_path / "plain.pt")
    plain = zipfile.ZipFile(tmp_path / "plain.pt")
    here = str(Path(Branching.forward.__code__.co_filename).parent).encode()
    assert any(here in plain.read(name) for name in plain.namelist())
    for name in ("one", "two"):
        save(Case(model, ROWS), tmp_path / name)
    one, two = (tmp_path / name / "model_ts_v1.pt" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    written = zipfile.ZipFile(one)
    assert not any(here in written.read(name) for name in written.namelist())
    assert not read_script(one).names_places
    assert torch.equal(torch.jit.load(one)(torch.from_numpy(ROWS)), model(torch.from_numpy(ROWS)))


def test_every_artifact_says_that_torchscript_is_deprecated(tmp_path: Path) -> None:
    torch.jit.save(traced(), tmp_path / "m.pt")
    saved, _, _ = save(Case(tmp_path / "m.pt", ROWS), tmp_path / "out")
    assert any("deprecated since PyTorch 2.11" in note for note in saved.notes)
    assert any("where on its author's machine" in note for note in saved.notes)
    assert (tmp_path / "out/model_ts_v1.pt").read_bytes() == (tmp_path / "m.pt").read_bytes()


def test_frozen_modules_and_several_inputs_come_back(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def forward(self, first: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return first - other, first @ other.T

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen = torch.jit.freeze(torch.jit.script(Branching().eval()))
        two = torch.jit.script(Two().eval())
    cases = {
        "frozen": Case(frozen, ROWS),
        "by position": Case(two, (ROWS, ROWS[:3])),
        "by name": Case(two, {"other": ROWS[1:2], "first": ROWS}),
    }
    with pytest.raises(NotArchivable, match="size"):
        save(cases["by position"], tmp_path / "bad")  # rows that don't fit
    cases["by position"] = Case(two, (ROWS, ROWS[::-1].copy()))
    for both in both_sides(cases, tmp_path / "out").values():
        both.assert_identical()


def test_a_module_in_training_mode_is_refused_where_it_answers_otherwise(tmp_path: Path) -> None:
    with pytest.raises(NotArchivable, match="training mode") as caught:
        save(Case(scripted().train(), ROWS), tmp_path / "m")
    assert "model.eval()" in caught.value.advice


def test_quantized_operators_are_held_to_a_profile(tmp_path: Path) -> None:
    from torch.ao import quantization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(4, 3)).eval())
        model = torch.jit.script(net)
    saved, _, _ = save(Case(model, ROWS), tmp_path / "m")
    assert "linear_dynamic" in saved.options["quantized"]
    adapter = adapter_for(model)
    held = adapter.check_profile(saved, profile_named("portable"), keep=False)
    assert any("holds under portable" in note for note in held.notes)
    with pytest.raises(NotArchivable, match="lets FBGEMM choose"):
        adapter.check_profile(saved, profile_named("native"), keep=False)
    assert SATURATING in adapter.check_profile(saved, profile_named("native"), keep=True).kept


def changed(path: Path, target: Path, name: str, data: bytes) -> Path:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
        new.writestr(name, data)
    return target


def test_operators_of_other_libraries_and_random_ones_are_read_from_the_code(tmp_path: Path) -> None:
    torch.jit.save(traced(), tmp_path / "m.pt")
    code = b"def forward(self, x):\n  _0 = ops.torchvision.nms(x, 0.5)\n  return torch.randn([2])\n"
    path = changed(tmp_path / "m.pt", tmp_path / "n.pt", "m/code/__torch__/more.py", code)
    script = read_script(path)
    assert script.libraries == ("torchvision",)
    assert "randn" in script.random
    saved, _, _ = save(Case(path, ROWS), tmp_path / "out")
    assert any("operators of torchvision" in note for note in saved.notes)


def test_code_that_unpacks_beyond_its_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.jit.save(traced(), tmp_path / "m.pt")
    path = changed(tmp_path / "m.pt", tmp_path / "n.pt", "m/code/__torch__/bomb.py", bytes(1 << 20))
    limits = LIMITS.__class__(program_bytes=1 << 16)
    monkeypatch.setattr(code_files, "LIMITS", limits)
    with pytest.raises(NotArchivable, match="more than 65536 bytes") as caught:
        adapter_for_file(path).save_file(path, {"x": ROWS}, tmp_path, "ts_v1", Case(None, None).options)
    assert caught.value.advice


def test_a_zip_with_bad_members_is_named_as_damaged(tmp_path: Path) -> None:
    torch.jit.save(traced(), tmp_path / "m.pt")
    info = next(i for i in zipfile.ZipFile(tmp_path / "m.pt").infolist() if i.filename.endswith(".py"))
    data = bytearray((tmp_path / "m.pt").read_bytes())
    extra = int.from_bytes(data[info.header_offset + 28 : info.header_offset + 30], "little")
    place = info.header_offset + 30 + len(info.filename) + extra + info.compress_size // 2
    data[place : place + 8] = b"\xff" * 8
    (tmp_path / "n.pt").write_bytes(data)
    with pytest.raises(NotArchivable, match="is damaged") as caught:
        read_script(tmp_path / "n.pt")
    assert caught.value.advice
