"""Model files made to harm, with every digest right: what they do stays in the container, and is told.

Rows 26 to 31 and 41 of the fault table, in real containers, beside artifacts that are well.
"""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.archive_making import copy_archive
from support.grafting import graft
from support.waiting import HANG_SECONDS

from timeproof.base.limits import LIMITS
from timeproof.replaying.flow import Replayed, replay
from timeproof.store.layout import Archive, Ref
from timeproof.store.verify import verify

pytestmark = pytest.mark.container

LIMITED = replace(
    LIMITS, artifact_seconds=20.0, container_memory=1 << 30, output_bytes=1 << 20, container_pids=64
)
NET = "source_pt_v1/tiny_net.py"
PTH = "model_pt_v1.pth"
TXT = "model_lgb_v1.txt"

# What a model's own code may try; each gives 1.0 where it was denied.
SPY = """
import os, socket, subprocess
import torch
from torch import nn

def denied(attempt):
    try:
        attempt()
    except BaseException:
        return 1.0
    return 0.0

def write(path):
    with open(path, "w") as stream:
        stream.write("here")

def connect(kind, address):
    sock = socket.socket(kind)
    sock.settimeout(2)
    sock.connect(address)

def forks():
    children = []
    try:
        for _ in range(1000):
            child = os.fork()
            if child == 0:
                import time
                time.sleep(60)
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, 9)
        for child in children:
            os.waitpid(child, 0)

ATTEMPTS = [
    lambda: write("/x"),
    lambda: write("/opt/env/x"),
    lambda: write("/in/0/x"),
    lambda: write("/job/x"),
    lambda: os.unlink("/job/job.json"),
    lambda: os.chmod("/in/0/model_pt_v1.pth", 0o777),
    lambda: open("/etc/shadow").read(),
    lambda: os.setuid(0),
    lambda: os.mknod("/tmp/device", 0o666 | 0o020000, os.makedev(1, 1)),
    lambda: subprocess.run(["mount"], check=True),
    lambda: connect(socket.AF_INET, ("192.0.2.1", 80)),
    lambda: connect(socket.AF_INET, ("127.0.0.1", 2375)),
    lambda: connect(socket.AF_UNIX, "/var/run/docker.sock"),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: open("/proc/sysrq-trigger", "w"),
    lambda: open("/proc/1/mem", "r+b"),  # the supervisor's memory
    lambda: os.listdir("/proc/1/fd"),  # and the stream that it alone writes
    lambda: open("/proc/%d/mem" % os.getppid(), "r+b"),  # the server that all its siblings come from
    forks,
]

class TinyNet(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.hidden = nn.ModuleDict({"linear": nn.Linear(inputs, 8)})
        self.hidden.register_parameter("scale", nn.Parameter(torch.ones(1)))
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        return torch.tensor([denied(a) for a in ATTEMPTS])
"""

FORWARD = """
import os, signal, sys, time
import torch
from torch import nn

class TinyNet(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.hidden = nn.ModuleDict({{"linear": nn.Linear(inputs, 8)}})
        self.hidden.register_parameter("scale", nn.Parameter(torch.ones(1)))
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        {body}
"""


def forward(body: str) -> bytes:
    return FORWARD.format(body=body).encode()


class Payload:
    """Unpickled anywhere, it writes to a path."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({self.path!r}, 'w').write('unpickled')",)


def pickled(path: str) -> bytes:
    """A .pth as torch writes it, whose pickle is a payload."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload(path), protocol=2))
        archive.writestr("archive/version", b"3\n")
    return stream.getvalue()


@pytest.fixture(scope="module")
def marks(tmp_path_factory) -> Path:
    """A folder on the host that everybody may write to: nothing may ever appear in it."""
    folder = tmp_path_factory.mktemp("marks")
    folder.chmod(0o777)
    return folder


@pytest.fixture(scope="module")
def replayed(sealed, real_engine, marks, tmp_path_factory) -> dict[str, Replayed]:
    """All hostile artifacts and two good ones, replayed together; those that run code each alone."""
    archive = Archive(copy_archive(sealed.root, tmp_path_factory.mktemp("hostile") / "archive"))
    text = (archive.root / "grid-size-3/lightgbm/model_lgb_v1.txt").read_text()
    cycle = re.sub(r"(?m)(?<=^left_child=).*$", lambda found: re.sub(r"\S", "0", found[0]), text)
    count = SPY.split("ATTEMPTS = [")[1].split("\n]")[0].count("\n    ")
    made = {
        "pickle": graft(archive, "grid-size-3/pytorch/v1", {PTH: pickled(f"{marks}/pickle")}),
        "bare pickle": graft(
            archive, "grid-size-3/pytorch/v1", {PTH: pickle.dumps(Payload(f"{marks}/bare"), protocol=2)}
        ),
        "half a file": graft(archive, "grid-size-3/lightgbm/v1", {TXT: text[: len(text) // 2].encode()}),
        "a cycle": graft(archive, "grid-size-3/lightgbm/v1", {TXT: cycle.encode()}),
        "spy": graft(
            archive,
            "grid-size-3/pytorch/v1",
            {NET: SPY.encode()},
            outputs={"output": np.ones(count, np.float32)},
        ),
        "memory": graft(
            archive, "grid-size-3/pytorch/v1", {NET: forward("return torch.ones(1 << 30).sum()[None]")}
        ),
        "too large": graft(archive, "grid-size-3/pytorch/v1", {NET: forward("return torch.zeros(1 << 20)")}),
        "a loud one": graft(
            archive,
            "grid-size-3/pytorch/v1",
            {NET: forward(r"os.write(1, b'\xff\xfeT'); os.write(2, b'\xc3('); raise ValueError('\udcff')")},
        ),
        "NaN": graft(
            archive,
            "grid-size-3/pytorch/v1",
            {NET: forward("return x[:, :3] * float('nan')")},
        ),
        "abort": graft(archive, "grid-size-3/pytorch/v1", {NET: forward("os.abort()")}),
        "exit": graft(archive, "grid-size-3/pytorch/v1", {NET: forward("os._exit(0)")}),
        "killer": graft(
            archive, "grid-size-3/pytorch/v1", {NET: forward("os.kill(os.getppid(), 9); time.sleep(99)")}
        ),
    }
    assert verify(archive).ok, "every digest is right"
    good = Ref.parse("grid-size-3/xgboost/v1")
    last = Ref.parse("grid-size-3/onnx/v1")
    result = replay(archive, [*made.values(), good, last], real_engine, limits=LIMITED)
    assert result.environments == {sealed.environment: "engine"}
    by_ref = {r.ref: r for r in result.replayed}
    return {name: by_ref[ref] for name, ref in made.items()} | {"good": by_ref[good], "last": by_ref[last]}


def test_artifacts_that_are_well_are_not_touched_by_their_neighbours(replayed):
    assert [str(replayed[n].verdict) for n in ("good", "last")] == ["identical"] * 2


@pytest.mark.parametrize("which", ["pickle", "bare pickle"])
def test_a_pickle_payload_never_runs(replayed, marks, which):
    assert str(replayed[which].verdict) == "refused"
    assert "weights" in replayed[which].reason.lower() or "unpickl" in replayed[which].reason.lower()
    assert list(marks.iterdir()) == []


def test_the_hosts_process_imports_no_framework_to_replay(sealed, tmp_path):
    """What is never imported can't load a hostile file."""
    code = """
import sys
from timeproof.store.layout import Archive
from timeproof.engines.docker import connect
from timeproof.replaying.flow import replay
archive = Archive(sys.argv[1])
result = replay(archive, [archive.locate("grid-size-3/pytorch")], connect())
assert result.passes(), result.to_json()
loaded = {"torch", "xgboost", "lightgbm", "onnxruntime", "onnx", "sklearn", "tiny_net"} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(sealed.root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr


def test_half_a_model_file_is_a_crash_with_its_signal_or_a_refusal(replayed):
    found = replayed["half a file"]
    assert str(found.verdict) in {"crashed", "refused"}
    if str(found.verdict) == "crashed":
        assert re.match(r"signal \d+", found.reason)


def test_a_model_that_never_answers_runs_out_of_time(replayed):
    assert str(replayed["a cycle"].verdict) == "timeout"
    assert 19.0 < replayed["a cycle"].seconds < 42.0


def test_a_model_that_eats_the_memory_is_out_of_memory(replayed):
    assert str(replayed["memory"].verdict) == "out_of_memory"


def test_an_answer_beyond_the_limit_is_too_large(replayed):
    assert str(replayed["too large"].verdict) == "too_large"


def test_output_that_is_not_utf8_is_kept_readable(replayed):
    found = replayed["a loud one"]
    assert str(found.verdict) in {"refused", "crashed"}
    found.log.encode("utf-8")
    found.reason.encode("utf-8")
    assert "\ufffd" in found.log


def test_nan_is_another_answer(replayed):
    assert str(replayed["NaN"].verdict) == "broken"
    assert replayed["NaN"].diff is not None


def test_an_abort_is_a_crash_with_its_signal(replayed):
    assert str(replayed["abort"].verdict) == "crashed"
    assert "signal 6" in replayed["abort"].reason


@pytest.mark.parametrize("which", ["exit", "killer"])
def test_a_child_that_ends_without_an_answer_is_a_crash(replayed, which):
    assert str(replayed[which].verdict) in {"crashed", "timeout", "out_of_memory"}


def test_a_models_code_can_neither_write_nor_connect_nor_fork_without_end(replayed):
    """Each attempt gives 1.0 where it was denied; the recorded answer is ones."""
    found = replayed["spy"]
    assert str(found.verdict) == "identical", found.reason


def test_nothing_of_it_reached_the_host(replayed, marks):
    assert list(marks.iterdir()) == []
