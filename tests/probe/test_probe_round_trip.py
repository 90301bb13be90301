"""A model that answers otherwise is saved again, and its file compared; its answers stand."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from timeproof.testing.probing import artifact, run, run_raw, write_inputs
from timeproof_probe import round_trip

TABLE = np.arange(40, dtype=np.float32).reshape(10, 4)
LABELS = TABLE[:, 0].copy()
OTHER = {"predict": "0" * 64}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


def lightgbm_file(folder: Path) -> str:
    given = {"num_leaves": 5, "min_data_in_leaf": 1, "verbose": -1, "num_threads": 1}
    made = lightgbm.train(given, lightgbm.Dataset(TABLE, LABELS), num_boost_round=4)
    made.best_iteration = 2  # all trees are saved, whatever the model was stopped at
    made.save_model(folder / "model.txt", num_iteration=-1)
    return "model.txt"


def xgboost_file(folder: Path, name: str) -> str:
    made = xgboost.train({"nthread": 1}, xgboost.DMatrix(TABLE, LABELS), num_boost_round=3)
    made.save_model(folder / name)
    return name


def torch_state(folder: Path) -> str:
    import torch

    (folder / "source").mkdir()
    (folder / "source/net.py").write_text("import torch\nNet = lambda: torch.nn.Linear(4, 1)\n")
    torch.manual_seed(0)
    torch.save({"model_state": torch.nn.Linear(4, 1).state_dict()}, folder / "model.pth")
    return "model.pth"


def asked(folder: Path, framework: str, model: str, **more: object) -> dict[str, object]:
    write_inputs(folder, [TABLE])
    (folder / "job.json").unlink(missing_ok=True)
    if framework == "pytorch":
        more["options"] = {"module": "net", "qualname": "Net", "init_args": {}, "source": "source"}
    replay = run([artifact(folder, framework, model, **more)], folder)
    assert replay.status("a") == "ok", replay.results
    return replay.results["a"]


@pytest.mark.parametrize(
    ("framework", "make"),
    [
        ("lightgbm", lightgbm_file),
        ("xgboost", lambda folder: xgboost_file(folder, "model.json")),
        ("xgboost", lambda folder: xgboost_file(folder, "model.ubj")),
        ("pytorch", torch_state),
    ],
    ids=["lightgbm", "xgboost-json", "xgboost-ubj", "pytorch"],
)
def test_the_release_that_wrote_a_file_writes_it_again_byte_for_byte(tmp_path: Path, framework, make) -> None:
    told = asked(tmp_path, framework, make(tmp_path), recorded=OTHER)
    assert told["round_trip"] == {"status": "identical"}


def test_nothing_is_saved_where_the_answer_is_the_recorded_one_or_none_is_known(tmp_path: Path) -> None:
    model = lightgbm_file(tmp_path)
    write_inputs(tmp_path, [TABLE])
    replay = run([artifact(tmp_path, "lightgbm", model)], tmp_path)
    assert "round_trip" not in replay.results["a"]
    digests = {n: hashlib.sha256(a.tobytes()).hexdigest() for n, a in replay.outputs["a", "native"].items()}
    assert "round_trip" not in asked(tmp_path, "lightgbm", model, recorded=digests)


def test_what_the_framework_read_otherwise_is_named(tmp_path: Path) -> None:
    path = tmp_path / xgboost_file(tmp_path, "model.json")
    told = json.loads(path.read_bytes())
    told["version"] = [2, 1, 4]
    told["learner"]["unheard_of"] = "kept by nobody"
    path.write_text(json.dumps(told))
    found = asked(tmp_path, "xgboost", path.name, recorded=OTHER)["round_trip"]
    assert found["status"] == "differs"
    version = json.loads(xgboost.train({}, xgboost.DMatrix(TABLE, LABELS), 1).save_raw("json"))["version"]
    assert 'learner.unheard_of: "kept by nobody" → nothing' in found["differences"]
    assert any(
        said.startswith("version[0]: 2 → ") and said.endswith(str(version[0]))
        for said in found["differences"]
    )


def test_a_framework_that_writes_no_models_is_not_asked_to(tmp_path: Path) -> None:
    from support import onnx_bytes

    (tmp_path / "model.onnx").write_bytes(onnx_bytes.adding(onnx_bytes.tensor("w")))
    write_inputs(tmp_path, [np.zeros((3, 2), np.float32)])
    replay = run([artifact(tmp_path, "onnx", "model.onnx", names=["x"], recorded=OTHER)], tmp_path)
    assert replay.status("a") == "ok"
    assert "round_trip" not in replay.results["a"]


def frame(header: dict[str, object]) -> bytes:
    data = json.dumps(header).encode()
    return b"TPF1" + len(data).to_bytes(4, "big") + data


ANSWERED = (
    frame({"kind": "output", "name": "y", "index": 0, "dtype": "|u1", "shape": [1], "payload": 1}) + b"x"
)
ANSWERED += frame({"kind": "end", "status": "ok", "reason": "", "versions": {}, "more": True, "payload": 0})


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("os._exit(0)", "the process died of it"),
        ("os.kill(os.getpid(), 11)", "the process died of it"),
        ("os.write(3, b'garbage garbage'); os._exit(0)", "stream is broken"),
        (
            f"os.write(3, {frame({'kind': 'facts', 'round_trip': 'fine', 'payload': 0})!r})",
            "stream is broken",
        ),
        ("import time; time.sleep(3000)", "did not end within"),
    ],
)
def test_whatever_befalls_a_model_while_it_is_saved_its_answers_stand(tmp_path: Path, then, reason) -> None:
    model = torch_state(tmp_path)
    (tmp_path / "source/net.py").write_text(f"import os\nos.write(3, {ANSWERED!r})\n{then}\n")
    told = asked(tmp_path, "pytorch", model, timeout=30.0)
    assert told["round_trip"]["status"] == "failed"
    assert reason in told["round_trip"]["reason"]


def test_a_flood_of_differences_is_cut_where_it_enters(tmp_path: Path) -> None:
    many = {"status": "differs", "differences": ["x" * 1000] * 1000, "more": "of it"}
    facts = frame({"kind": "facts", "round_trip": many, "payload": 0})
    model = torch_state(tmp_path)
    (tmp_path / "source/net.py").write_text(f"import os\nos.write(3, {ANSWERED!r})\nos.write(3, {facts!r})\n")
    found = asked(tmp_path, "pytorch", model)["round_trip"]
    assert set(found) == {"status", "differences"}
    assert [len(said) for said in found["differences"]] == [300] * (round_trip.SHOWN + 1)


@pytest.mark.parametrize("recorded", [3, [], {"predict": 3}])
def test_a_job_that_records_something_else_than_digests_is_none(tmp_path: Path, recorded: object) -> None:
    write_inputs(tmp_path, [TABLE])
    told = [artifact(tmp_path, "lightgbm", lightgbm_file(tmp_path), recorded=recorded)]
    ended = run_raw({"contract": 1, "threads": 1, "artifacts": told}, tmp_path)
    assert ended.returncode == 2
    assert b"recorded" in ended.stderr


@given(VALUES, VALUES)
def test_json_differs_in_words_where_it_differs_in_values_and_nowhere_else(
    one: object, other: object
) -> None:
    before, after = (json.dumps({"model": value}).encode() for value in (one, other))
    said = round_trip.differences(before, after)
    # Python holds 1 and True for equal, and so does this.
    assert bool(said) == (json.loads(before) != json.loads(after))
    assert round_trip.differences(before, before) == []
    assert len(said) == len(round_trip.differences(after, before))


@given(st.lists(st.sampled_from(["a=1", "a=2", "b=1", "Tree", "end"]), max_size=8))
def test_lines_are_told_by_name_and_only_where_they_differ(lines: list[str]) -> None:
    text = "\n".join(lines).encode()
    assert round_trip.differences(text, text) == []
    assert round_trip.differences(text, text + b"\nnew=7")[-1:] == ['new: nothing → "7"']


def test_what_is_neither_json_nor_text_is_only_told_to_differ(tmp_path: Path) -> None:
    assert round_trip.differences(b"\xff\xfe\x00", b"\xff\xfe\x01") == []
    assert round_trip.differences(b"{not json", b"{nor this") == [
        '{not json: "" → nothing',
        '{nor this: nothing → ""',
    ]


def test_a_zip_is_told_by_its_members_whatever_folder_they_lie_in() -> None:
    def zipped(folder: str, **members: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as made:
            for name, data in members.items():
                made.writestr(f"{folder}/{name}", data)
        return stream.getvalue()

    before, after = zipped("model", data=b"12345", pkl=b"x"), zipped("archive", data=b"1234", pkl=b"x")
    assert round_trip.differences(before, after) == ["data: 5 → 4 bytes"]
    assert round_trip.differences(before, before[:60]) == []


def test_a_large_file_is_told_to_be_the_same_or_not(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(round_trip, "READ", 4)
    path = tmp_path / "model.json"
    path.write_text('{"a": 1}')
    assert round_trip.ask(lambda _, to: Path(to).write_bytes(path.read_bytes()), str(path)) == {
        "status": "identical"
    }
    assert round_trip.ask(lambda _, to: Path(to).write_text("{}"), str(path))["differences"] == []


def test_a_framework_that_refuses_to_save_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text("{}")

    def save(_from: str, _to: str) -> None:
        raise RuntimeError("no such option\n" * 100)

    found = round_trip.ask(save, str(path))
    assert found["status"] == "failed"
    assert found["reason"].startswith("RuntimeError: no such option")
    assert len(found["reason"]) <= 300
