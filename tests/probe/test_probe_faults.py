"""What goes wrong with one artifact is that artifact's result; all others go on."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from support import onnx_bytes
from support.probe_jobs import adder, python_model
from support.waiting import HANG_SECONDS, wait_until_gone

from timeproof.testing import probe_folder, probing
from timeproof.testing.probing import artifact, run, same, write_inputs

TABLE = np.linspace(-1, 1, 80, dtype=np.float64).reshape(20, 4)


@pytest.fixture(scope="module")
def tree_text() -> str:
    booster = lightgbm.train(
        {"num_leaves": 7, "min_data_in_leaf": 1, "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(np.tile(TABLE, (5, 1)), np.tile(TABLE[:, 0] ** 2 + TABLE[:, 1], 5)),
        num_boost_round=5,
    )
    return booster.model_to_string()


def tree(folder: Path, text: str, name: str, **more: object) -> dict[str, object]:
    home = folder / name
    home.mkdir()
    (home / "model.txt").write_text(text)
    write_inputs(home, [TABLE])
    return artifact(home, "lightgbm", "model.txt", name=name, **more)


def test_half_a_lightgbm_file_crashes_alone(tmp_path: Path, tree_text: str) -> None:
    bad = tree(tmp_path, tree_text[: len(tree_text) // 2], "half")
    replay = run([bad, tree(tmp_path, tree_text, "whole"), adder(tmp_path)], tmp_path)
    assert replay.exit_code == 0
    assert replay.status("half") == "crashed"
    assert replay.results["half"]["signal"] in {signal.SIGSEGV, signal.SIGABRT}
    assert replay.status("whole") == replay.status("onnx") == "ok"
    booster = lightgbm.Booster(model_str=tree_text)
    assert same(booster.predict(TABLE, num_threads=1), replay.outputs["whole", "native"]["predict"])


def test_a_cycle_in_a_tree_is_a_timeout_and_the_next_artifact_answers(tmp_path: Path, tree_text: str) -> None:
    # The same length: the file says how many bytes each tree has.
    looped = re.sub(
        r"(?<=^left_child=).*$",
        lambda found: re.sub(r"\S", "0", found.group()),
        tree_text,
        flags=re.MULTILINE,
    )
    bad = tree(tmp_path, looped, "cycle", timeout=2.0)
    replay = run([bad, tree(tmp_path, tree_text, "whole")], tmp_path)
    assert replay.status("cycle") == "timeout"
    assert 2.0 <= replay.results["cycle"]["seconds"] < 50.0
    assert ("cycle", "native") not in replay.outputs
    assert replay.status("whole") == "ok"


def test_a_flipped_bit_is_found_before_anything_is_loaded(tmp_path: Path, tree_text: str) -> None:
    changed = tree(tmp_path, tree_text, "changed")
    path = tmp_path / "changed" / "model.txt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    replay = run([changed], tmp_path)
    assert replay.status("changed") == "altered"
    assert replay.results["changed"]["path"] == "model.txt"
    assert "SHA-256" in replay.results["changed"]["reason"]
    assert replay.results["changed"]["log"] == ""


@pytest.mark.parametrize("how", ["missing", "cut", "link", "folder link", "pipe"])
def test_files_that_are_not_the_listed_ones_are_altered(tmp_path: Path, how: str) -> None:
    told = adder(tmp_path)
    home = tmp_path / "onnx"
    path = home / "model.onnx"
    data = path.read_bytes()
    if how == "folder link":
        (home / "sub").mkdir()
        path.rename(home / "sub" / "model.onnx")
        told["files"] = probing.files_of(home)
        told["model"] = "sub/model.onnx"
        (home / "sub").rename(home / "elsewhere")
        (home / "sub").symlink_to("elsewhere")
        path = home / "sub" / "model.onnx"
    else:
        path.unlink()
    if how == "cut":
        path.write_bytes(data[:-1])
    elif how == "link":
        (home / "other").write_bytes(data)
        path.symlink_to("other")
    elif how == "pipe":
        os.mkfifo(path)
    replay = run([told], tmp_path)
    assert replay.status("onnx") == "altered"
    assert replay.results["onnx"]["path"].endswith("model.onnx")


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/passwd", "a//b", "a\\b", "a/./b"])
def test_unsafe_paths_in_a_job_are_never_opened(tmp_path: Path, path: str) -> None:
    told = adder(tmp_path)
    told["files"].append({"path": path, "size": 1, "sha256": "0" * 64})
    replay = run([told], tmp_path)
    assert replay.status("onnx") == "altered"
    assert "not a plain relative path" in replay.results["onnx"]["reason"]


def test_a_model_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    told = adder(tmp_path)
    told["files"] = [entry for entry in told["files"] if entry["path"] != "model.onnx"]
    replay = run([told], tmp_path)
    assert replay.status("onnx") == "refused"
    assert "not among the artifact's files" in replay.results["onnx"]["reason"]


def test_outputs_beyond_the_bound_are_not_sent(tmp_path: Path) -> None:
    replay = run([adder(tmp_path, output_bytes=23), adder(tmp_path, "fits", output_bytes=24)], tmp_path)
    assert replay.status("onnx") == "too_large"
    assert ("onnx", "native") not in replay.outputs
    assert replay.status("fits") == "ok"


def test_prints_and_bytes_that_are_not_utf8_stay_out_of_the_stream(tmp_path: Path) -> None:
    noisy = python_model(
        tmp_path,
        "print('TPF1 on stdout')\nos.write(1, b'raw \\xff\\xfe bytes')\nos.write(2, b'A' * 100000)\n"
        "print('last words', flush=True)",
        "noisy",
    )
    replay = run([noisy], tmp_path)
    assert replay.status("noisy") == "ok"
    log = replay.results["noisy"]["log"]
    assert log.endswith("last words\n")
    assert len(log) <= 8192
    assert same(np.full((2, 2), 3, np.float32), replay.outputs["noisy", "native"]["output"])


def test_a_log_that_is_not_utf8_is_replaced(tmp_path: Path) -> None:
    noisy = python_model(tmp_path, "os.write(1, b'raw \\xff\\xfe bytes')", "noisy")
    replay = run([noisy], tmp_path)
    assert "raw �� bytes" in replay.results["noisy"]["log"]


def test_ways_to_die_are_told_apart_and_do_not_spread(tmp_path: Path) -> None:
    artifacts = [
        python_model(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", "killed"),
        python_model(tmp_path, "os._exit(0)", "left"),
        python_model(tmp_path, "raise SystemExit(3)", "exited"),
        python_model(tmp_path, "raise MemoryError('a lot')", "starved"),
        python_model(tmp_path, "raise ValueError('\\udcff' + 'x' * 9000)", "talkative"),
        python_model(tmp_path, "", "fine"),
    ]
    replay = run(artifacts, tmp_path)
    assert replay.status("killed") == "crashed"
    assert replay.results["killed"]["signal"] == signal.SIGKILL
    assert replay.status("left") == "crashed"
    assert "exit code 0" in replay.results["left"]["reason"]
    assert replay.status("exited") == "refused"
    assert replay.status("starved") == "out_of_memory"
    assert replay.status("talkative") == "refused"
    assert replay.results["talkative"]["reason"].startswith("ValueError: ?xxx")
    assert len(replay.results["talkative"]["reason"]) <= 4096
    assert replay.status("fine") == "ok"


def test_the_server_can_be_killed_and_is_started_again(tmp_path: Path) -> None:
    bad = python_model(tmp_path, "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(3000)", "bad")
    replay = run([bad, python_model(tmp_path, "", "fine")], tmp_path)
    assert replay.status("bad") == "crashed"
    assert "server died" in replay.results["bad"]["reason"]
    assert replay.status("fine") == "ok"


def test_what_a_child_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    # A grandchild in the child's group keeps the pipe and the log open.
    mark = tmp_path / "grandchild"
    body = (
        "pid = os.fork()\nif pid == 0:\n    time.sleep(3000)\n    os._exit(0)\n"
        f"open({str(mark)!r}, 'w').write(str(pid))"
    )
    replay = run([python_model(tmp_path, body, "forks")], tmp_path)
    assert replay.status("forks") == "ok"
    wait_until_gone(int(mark.read_text()))


def test_a_child_holds_no_descriptor_of_the_supervisors(tmp_path: Path) -> None:
    body = (
        "for fd in range(4, 256):\n"
        "    try:\n        os.write(fd, b'junk')\n    except OSError:\n        pass\n"
        "print('held', sorted(int(n) for n in os.listdir('/proc/self/fd')))"
    )
    replay = run([python_model(tmp_path, body, "greedy"), adder(tmp_path)], tmp_path)
    assert replay.status("greedy") == replay.status("onnx") == "ok"
    held = re.search(r"held \[(.*)\]", replay.results["greedy"]["log"])
    assert held is not None
    pipes = {int(fd) for fd in held.group(1).split(", ")}
    assert {0, 1, 2, 3} <= pipes


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        ("os.write(3, b'garbage garbage')", "stream is broken"),
        ("os.write(3, b'TPF1\\xff\\xff\\xff\\xff')", "stream is broken"),
        ("os.write(3, b'TPF1\\x00\\x00\\x00\\x02{}')", "stream is broken"),
    ],
)
def test_a_child_that_lies_on_the_pipe_is_a_crash(tmp_path: Path, write: str, reason: str) -> None:
    replay = run([python_model(tmp_path, write, "liar"), adder(tmp_path)], tmp_path)
    assert replay.status("liar") == "crashed"
    assert reason in replay.results["liar"]["reason"]
    assert replay.status("onnx") == "ok"


def forged(header: dict[str, object], payload: str) -> str:
    data = json.dumps(header).encode()
    frame = b"TPF1" + len(data).to_bytes(4, "big") + data
    return f"os.write(3, {frame!r} + {payload})\nos._exit(0)"


def test_an_output_that_is_announced_and_never_sent_leaves_the_stream_whole(tmp_path: Path) -> None:
    header = {"kind": "output", "name": "y", "index": 0, "dtype": "|u1", "shape": [5000], "payload": 5000}
    replay = run([python_model(tmp_path, forged(header, "b'x' * 10"), "half"), adder(tmp_path)], tmp_path)
    assert replay.status("half") == "crashed"
    assert replay.status("onnx") == "ok"


def test_a_flood_of_output_is_cut_off_at_the_bound(tmp_path: Path) -> None:
    header = {"kind": "output", "name": "y", "index": 0, "dtype": "|u1", "shape": [2**40], "payload": 2**40}
    replay = run([python_model(tmp_path, forged(header, "b''"), "flood")], tmp_path)
    assert replay.status("flood") == "too_large"
    assert ("flood", "native") not in replay.outputs


@pytest.mark.parametrize("key", ["name", "index", "dtype", "shape"])
def test_an_output_without_its_description_is_a_crash(tmp_path: Path, key: str) -> None:
    header = {
        "kind": "output",
        "name": "y",
        "index": 0,
        "dtype": "|u1",
        "shape": [1],
        "payload": 1,
        key: None,
    }
    replay = run([python_model(tmp_path, forged(header, "b'x'"), "odd")], tmp_path)
    assert replay.status("odd") == "crashed"


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickle_payload_in_a_state_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    bad = python_model(tmp_path, "", "payload")
    path = tmp_path / "payload" / "model.pth"
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries = {
        name: pickle.dumps({"model_state": Payload(mark)}) if name.endswith("data.pkl") else data
        for name, data in entries.items()
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    bad["files"] = probing.files_of(tmp_path / "payload")
    replay = run([bad], tmp_path)
    assert replay.status("payload") == "refused"
    assert "eights" in replay.results["payload"]["reason"]  # "Weights only load failed"
    assert not mark.exists()


def test_a_stray_pyc_in_the_source_is_neither_run_nor_written(tmp_path: Path) -> None:
    told = python_model(tmp_path, "", "net")
    source = tmp_path / "net" / "source"
    evil = tmp_path / "evil.py"
    evil.write_text("raise RuntimeError('the stray .pyc was run')")
    import py_compile

    cache = source / "__pycache__"
    cache.mkdir()
    target = cache / f"net.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(
        str(evil), str(target), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, doraise=True
    )
    (source / "os_helper.py").write_text("raise RuntimeError('an unlisted module was run')")
    replay = run([told], tmp_path)
    assert replay.status("net") == "ok", replay.results["net"]["reason"]
    assert [path.name for path in cache.iterdir()] == [target.name]


def test_an_unlisted_module_in_the_source_is_refused(tmp_path: Path) -> None:
    told = python_model(tmp_path, "import stray", "net")
    (tmp_path / "net" / "source" / "stray.py").write_text("raise SystemExit('ran')")
    replay = run([told], tmp_path)
    assert replay.status("net") == "refused"
    assert "not among the artifact's files" in replay.results["net"]["reason"]


def test_source_modules_may_be_named_like_the_probes_own(tmp_path: Path) -> None:
    told = python_model(tmp_path, "import wire\nimport files\nassert wire.MINE and files.MINE", "net")
    for name in ("wire", "files"):
        (tmp_path / "net" / "source" / f"{name}.py").write_text("MINE = True")
    told["files"] = probing.files_of(tmp_path / "net")
    replay = run([told], tmp_path)
    assert replay.status("net") == "ok", replay.results["net"]["reason"]


def test_a_huge_declared_shape_is_out_of_memory(tmp_path: Path) -> None:
    # y = ConstantOfShape(x), and x asks for 2**60 floats.
    home = tmp_path / "bomb"
    home.mkdir()
    (home / "model.onnx").write_bytes(
        onnx_bytes.model(
            onnx_bytes.message(1, onnx_bytes.node("ConstantOfShape", ["x"], ["y"])),
            onnx_bytes.message(
                11,
                onnx_bytes.text(1, "x")
                + onnx_bytes.message(
                    2,
                    onnx_bytes.message(
                        1,
                        onnx_bytes.number(1, 7),
                        onnx_bytes.message(2, onnx_bytes.message(1, onnx_bytes.number(1, 1))),
                    ),
                ),
            ),
            onnx_bytes.message(
                12,
                onnx_bytes.text(1, "y")
                + onnx_bytes.message(2, onnx_bytes.message(1, onnx_bytes.number(1, 1))),
            ),
        )
    )
    write_inputs(home, [np.array([2**60], np.int64)])
    bomb = artifact(home, "onnx", "model.onnx", names=["x"], name="bomb")
    replay = run([bomb, adder(tmp_path)], tmp_path)
    assert replay.status("bomb") == "out_of_memory", replay.results["bomb"]["reason"]
    assert replay.status("onnx") == "ok"


def test_an_npz_that_declares_too_much_is_a_result(tmp_path: Path) -> None:
    told = adder(tmp_path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(tmp_path / "onnx" / "reference.npz", "w") as archive:
        archive.writestr("input_0.npy", header.getvalue())
    told["files"] = probing.files_of(tmp_path / "onnx")
    replay = run([told], tmp_path)
    assert replay.status("onnx") in {"out_of_memory", "refused"}


def test_inputs_of_python_objects_are_refused(tmp_path: Path) -> None:
    told = adder(tmp_path)
    mark = tmp_path / "executed"
    np.savez(tmp_path / "onnx" / "reference.npz", input_0=np.array([Payload(mark)], dtype=object))
    mark.unlink(missing_ok=True)
    told["files"] = probing.files_of(tmp_path / "onnx")
    replay = run([told], tmp_path)
    assert replay.status("onnx") == "refused"
    assert not mark.exists()


def test_a_framework_that_is_not_there_refuses_its_artifacts_only(tmp_path: Path) -> None:
    absent = "\n\ndef warm() -> None:\n    importlib.import_module('lightgbm_that_is_not_there')\n"
    probe = probe_folder.write(tmp_path / "probe", lightgbm=absent)
    home = tmp_path / "tree"
    home.mkdir()
    (home / "model.txt").write_text("tree")
    write_inputs(home, [TABLE])
    told = artifact(home, "lightgbm", "model.txt", name="tree")
    replay = run([told, adder(tmp_path)], tmp_path, probe=probe)
    assert replay.status("tree") == "refused"
    assert "lightgbm_that_is_not_there" in replay.results["tree"]["reason"]
    assert replay.status("onnx") == "ok"


def test_a_framework_that_crashes_on_import_crashes_its_artifacts_only(tmp_path: Path) -> None:
    crash = "\nprint('on the way down', flush=True)\nos.abort()\n"
    probe = probe_folder.write(tmp_path / "probe", lightgbm=crash)
    home = tmp_path / "tree"
    home.mkdir()
    (home / "model.txt").write_text("tree")
    write_inputs(home, [TABLE])
    told = [artifact(home, "lightgbm", "model.txt", name=name) for name in ("tree", "again")]
    replay = run([*told, adder(tmp_path)], tmp_path, probe=probe)
    for name in ("tree", "again"):
        assert replay.status(name) == "crashed"
        assert replay.results[name]["signal"] == signal.SIGABRT
        assert "on the way down" in replay.results[name]["log"]
    assert replay.status("onnx") == "ok"


@pytest.mark.parametrize(
    "change",
    [
        {"contract": 2},
        {"threads": 0},
        {"threads": True},
        {"artifacts": {}},
        {"artifacts": [{"id": "a"}]},
    ],
)
def test_a_job_that_is_not_one_ends_with_code_2_and_no_stream(
    tmp_path: Path, change: dict[str, object]
) -> None:
    ended = probing.run_raw({"contract": 1, "threads": 1, "artifacts": [], **change}, tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == b""
    assert b"the job can't be read" in ended.stderr


def test_a_reader_that_goes_away_ends_the_probe(tmp_path: Path, tree_text: str) -> None:
    job = {"contract": 1, "threads": 1, "artifacts": [tree(tmp_path, tree_text, f"t{k}") for k in range(3)]}
    (tmp_path / "job.json").write_text(json.dumps(job))
    process = subprocess.Popen(
        probe_folder.command(str(tmp_path / "job.json")),
        env=probe_folder.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=HANG_SECONDS) != 0
    process.stderr.close()
