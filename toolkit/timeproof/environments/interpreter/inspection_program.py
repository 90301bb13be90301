"""What an interpreter and its site folders hold, as plain values. Runs alone, in any Python from 3.6.

The toolkit runs this file in a target interpreter (`python -I inspection_program.py`), which prints one JSON
object; for the interpreter that we are in, `inspect` and `fingerprint` are called directly. It only
reads, imports nothing but the standard library, and decides nothing.
"""

import csv
import hashlib
import io
import json
import os
import platform
import site
import sys
import sysconfig
from email.parser import HeaderParser

SCHEMA = 1


def _real(path: str) -> str:
    return os.path.realpath(path)


def is_venv() -> bool:
    return sys.prefix != getattr(sys, "base_prefix", sys.prefix)


def _system_site() -> bool:
    """True where a virtual environment also sees the packages of the interpreter it was made from."""
    try:
        with open(os.path.join(sys.prefix, "pyvenv.cfg")) as stream:
            for line in stream:
                key, _, value = line.partition("=")
                if key.strip().lower() == "include-system-site-packages":
                    return value.strip().lower() == "true"
    except OSError:
        pass
    return False


def site_folders() -> "list[str]":
    """Folders in which distributions are installed, in the order of `sys.path`.

    Taken from the installation's own rules rather than from `sys.path`, so that an isolated child and
    a running program with its own ideas about `sys.path` give the same answer.
    """
    folders = []  # type: list[str]
    for folder in _installation_folders():
        _add_folder(folder, folders)
    for folder in list(folders):
        for extra in _pth_folders(folder):
            _add_folder(extra, folders)
    return folders


def _installation_folders() -> "list[str]":
    prefixes = [sys.prefix]
    if is_venv() and _system_site():
        prefixes.append(sys.base_prefix)
    try:
        folders = list(site.getsitepackages(prefixes))
    except AttributeError:  # an old virtualenv brings a `site` without it
        folders = [p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages")]
    if (not is_venv() or _system_site()) and not os.environ.get("PYTHONNOUSERSITE"):
        folders.insert(0, site.getusersitepackages())
    return folders


def _add_folder(folder: str, folders: "list[str]") -> None:
    """Add a folder that exists, unless it is there already by another name."""
    if os.path.isdir(folder) and _real(folder) not in [_real(f) for f in folders]:
        folders.append(os.path.abspath(folder))


def _pth_folders(folder: str) -> "list[str]":
    """The folders that the .pth files of a site folder add to `sys.path`."""
    extras = []
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".pth"):
            continue
        try:
            with io.open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
                lines = [line.strip() for line in stream]
        except OSError:
            continue
        lines = [line for line in lines if line and not line.startswith(("#", "import ", "import\t"))]
        extras += [os.path.abspath(os.path.join(folder, line)) for line in lines]
    return extras


def _read(path: str) -> "bytes | None":
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (IOError, OSError):
        return None


def _text(path: str) -> "str | None":
    data = _read(path)
    return None if data is None else data.decode("utf-8", "replace")


def metadata_folders() -> "list[tuple[str, str]]":
    """Pairs (site folder, name of the metadata folder or file), the first of each distribution only."""
    keys = set()  # type: set[str]
    folders = []  # type: list[tuple[str, str]]
    for folder in site_folders():
        for name in sorted(os.listdir(folder)):
            if name.endswith((".dist-info", ".egg-info")):
                # `Foo_Bar-1.0-py3.8.egg-info` and `foo_bar-1.0.dist-info` are the same distribution.
                stem = name.rsplit(".", 1)[0].split("-")[0]
                key = stem.lower().replace("_", "-").replace(".", "-")
                if key not in keys:
                    keys.add(key)
                    folders.append((folder, name))
    return folders


def distribution(folder: str, name: str) -> "dict[str, object]":
    where = os.path.join(folder, name)
    if os.path.isdir(where):
        text = _text(os.path.join(where, "METADATA"))
        if text is None:
            text = _text(os.path.join(where, "PKG-INFO"))
    else:
        text = _text(where)
    headers = HeaderParser().parsestr(text or "")
    wheel = HeaderParser().parsestr(_text(os.path.join(where, "WHEEL")) or "")
    direct = _text(os.path.join(where, "direct_url.json"))
    return {
        "name": headers.get("Name"),
        "version": headers.get("Version"),
        "folder": folder,
        "metadata": name,
        "installer": (_text(os.path.join(where, "INSTALLER")) or "").strip() or None,
        "record": os.path.isfile(os.path.join(where, "RECORD")),
        "requested": os.path.isfile(os.path.join(where, "REQUESTED")),
        "direct_url": direct,
        "tags": wheel.get_all("Tag") or [],
        "requires": headers.get_all("Requires-Dist") or [],
        "extras": headers.get_all("Provides-Extra") or [],
    }


def _libc() -> "dict[str, str]":
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):  # musl, macOS
        name, version = platform.libc_ver()
    return {"name": name, "version": version}


def markers() -> "dict[str, str]":
    """The environment that PEP 508 markers are evaluated in."""
    implementation = sys.implementation
    v = implementation.version
    full = "{0.major}.{0.minor}.{0.micro}".format(v)
    if v.releaselevel != "final":
        full += v.releaselevel[0] + str(v.serial)
    return {
        "implementation_name": implementation.name,
        "implementation_version": full,
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "platform_python_implementation": platform.python_implementation(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


def interpreter() -> "dict[str, object]":
    base = getattr(sys, "base_prefix", sys.prefix)
    names = ("abiflags", "EXT_SUFFIX", "LDLIBRARY", "INSTSONAME", "LIBDIR", "Py_ENABLE_SHARED", "SOABI")
    return {
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": base,
        "stdlib": os.path.dirname(os.__file__),
        "dynload": next((p for p in sys.path if os.path.basename(p) == "lib-dynload"), None),
        "scripts": sysconfig.get_path("scripts"),
        "data": sysconfig.get_path("data"),
        "include": sysconfig.get_path("include"),
        "config": {name: sysconfig.get_config_var(name) for name in names},
        "debian": base == "/usr" and os.path.isdir("/usr/lib/python3/dist-packages"),
        "conda": os.path.isdir(os.path.join(base, "conda-meta")),
        "venv": is_venv(),
    }


def inspect() -> "dict[str, object]":
    return {
        "schema": SCHEMA,
        "interpreter": interpreter(),
        "machine": {"arch": platform.machine(), "system": platform.system(), "libc": _libc()},
        "markers": markers(),
        "folders": site_folders(),
        "distributions": [distribution(folder, name) for folder, name in metadata_folders()],
    }


def _stat(path: str) -> bytes:
    try:
        s = os.stat(path)
    except OSError:
        return b"gone"
    return "{0},{1}".format(s.st_size, s.st_mtime_ns).encode()


class _State:
    """A SHA-256 over a list of parts, each with its length."""

    def __init__(self) -> None:
        self.state = hashlib.sha256()

    def add(self, *parts: bytes) -> None:
        for part in parts:
            self.state.update(str(len(part)).encode() + b":" + part)


def fingerprint() -> str:
    """A SHA-256 that changes when the interpreter or any installed file does.

    Files are looked at (size, time of change in ns), not read: 20,000 take about 0.2 s.
    """
    state = _State()
    _add_interpreter(state)
    folders = set()  # type: set[str]
    for folder in site_folders():
        folders.add(folder)
        state.add(folder.encode())
    for folder, name in metadata_folders():
        _add_distribution(state, folder, name, folders)
    for watched in sorted(folders):
        # Names that come or go beside the distributions' files, such as a module that was copied in.
        try:
            names = sorted(os.listdir(watched))
        except OSError:
            names = []
        state.add(
            watched.encode(), *[n.encode("utf-8", "surrogateescape") for n in names if n != "__pycache__"]
        )
    return state.state.hexdigest()


def _add_interpreter(state: _State) -> None:
    real = _real(sys.executable)
    state.add(b"interpreter", real.encode(), _stat(real), sys.version.encode(), sys.prefix.encode())
    state.add(_stat(os.path.join(os.path.dirname(os.__file__), "os.py")))
    conda = os.path.join(sys.prefix, "conda-meta")
    if os.path.isdir(conda):
        for name in sorted(os.listdir(conda)):
            state.add(name.encode(), _stat(os.path.join(conda, name)))


def _add_distribution(state: _State, folder: str, name: str, folders: "set[str]") -> None:
    """Add the files of a distribution, and to `folders` those that they lie in."""
    record = _read(os.path.join(folder, name, "RECORD"))
    state.add(folder.encode(), name.encode(), record or b"", _stat(os.path.join(folder, name)))
    if record is None:
        return
    for row in csv.reader(io.StringIO(record.decode("utf-8", "replace"))):
        # Compiled files come and go by themselves; their sources are watched.
        if row and not row[0].endswith(".pyc"):
            state.state.update(_stat(folder + "/" + row[0]))
            if not row[0].startswith(".."):
                folders.add(folder + "/" + os.path.dirname(row[0]))


def main() -> None:
    question = sys.argv[1] if len(sys.argv) > 1 else "inspect"
    answer = {"fingerprint": fingerprint()} if question == "fingerprint" else inspect()
    json.dump(answer, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
