"""Install one wheel into /out, the same bytes every time. Runs inside the build, without a network.

    python3 -I install_wheel.py <sha256> <wheel> [<folder instead of /out>]

The wheel's SHA-256 is checked first: a changed byte fails the build here. Where files go is what the
packaging specifications say, and what PyPA's `installer` does (which needs a younger Python than an
environment may hold: this runs on 3.6). The .pyc are unchecked (PEP 552), so that they need no mtime;
every mtime is 1980-01-01, the oldest that a zip can hold.
"""

import base64
import configparser
import csv
import hashlib
import io
import os
import py_compile
import re
import stat
import sys
import zipfile
from email.parser import Parser

PREFIX = "/opt/env"
OUT = "/out"
EPOCH = 315532800  # 1980-01-01T00:00:00Z
PYTHON = PREFIX + "/bin/python3"
SCRIPT = """\
#!%s
# -*- coding: utf-8 -*-
import re
import sys
from %s import %s
if __name__ == "__main__":
    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])
    sys.exit(%s())
"""
ENTRY = re.compile(r"([\w.]+)\s*:\s*(([\w]+)[\w.]*)\s*(?:\[.*\])?\s*")


def check(wheel, expected):
    state = hashlib.sha256()
    with open(wheel, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            state.update(chunk)
    if state.hexdigest() != expected:
        sys.exit("%s has SHA-256 %s, not %s" % (os.path.basename(wheel), state.hexdigest(), expected))


class Destination:
    """Writes files below /out, and keeps the rows of RECORD."""

    def __init__(self, out, root):
        minor = "python%d.%d" % sys.version_info[:2]
        self.site = "%s/lib/%s/site-packages" % (PREFIX, minor)
        self.folders = {
            "purelib": self.site,
            "platlib": self.site,
            "scripts": PREFIX + "/bin",
            "data": PREFIX,
            "headers": "%s/include/%s" % (PREFIX, minor),
        }
        self.out, self.root = out, root
        self.rows = []  # (path in its scheme, as it stands in RECORD, hash, size)

    def write(self, scheme, path, chunks, executable=False):
        folder = self.folders[scheme]
        target = os.path.normpath(folder + "/" + path)
        if not target.startswith(folder + "/"):
            sys.exit("the wheel holds a file that leads out of its place: %s" % path)
        target = self.out + target
        os.makedirs(os.path.dirname(target), exist_ok=True)
        state, size = hashlib.sha256(), 0
        with open(target, "xb") as stream:  # a second file of one name is an error
            for chunk in chunks:
                state.update(chunk)
                size += len(chunk)
                stream.write(chunk)
        os.chmod(target, 0o755 if executable else 0o644)
        digest = base64.urlsafe_b64encode(state.digest()).decode("ascii").rstrip("=")
        recorded = path if scheme == self.root else os.path.relpath(folder, self.site) + "/" + path
        self.rows.append((path, recorded, "sha256=" + digest, size))

    def finish(self, path):
        self.rows.append((path, path, "", ""))
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows(row[1:] for row in sorted(self.rows, key=lambda row: row[0]))
        with open("%s%s/%s" % (self.out, self.site, path), "wb") as record:
            record.write(stream.getvalue().encode("utf-8"))


def scripts(text):
    """The commands of entry_points.txt: (name, content)."""
    parser = configparser.ConfigParser(delimiters=("=",), strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    for section in parser.sections():
        if section in ("console_scripts", "gui_scripts"):
            for name, value in parser.items(section):
                found = ENTRY.fullmatch(value)
                if not found:
                    sys.exit("the wheel's command %s can't be read: %r" % (name, value))
                module, called, imported = found.groups()
                yield name, (SCRIPT % (PYTHON, module, imported, called)).encode("utf-8")


def contents(stream, scheme):
    """The chunks of a file; the first line of a script that asks for "python" names ours."""
    first = stream.read(1 << 20)
    if scheme == "scripts" and first.startswith(b"#!python"):
        _, _, rest = first.partition(b"\n")
        first = b"#!" + PYTHON.encode() + b"\n" + rest
    yield first
    for chunk in iter(lambda: stream.read(1 << 20), b""):
        yield chunk


def install(wheel, out):
    with zipfile.ZipFile(wheel) as source:
        members = [item for item in source.infolist() if not item.filename.endswith("/")]
        about = {item.filename.split("/")[0] for item in source.infolist()}
        about = [name for name in about if name.endswith(".dist-info")]
        if len(about) != 1:
            sys.exit("%s holds %d .dist-info folders, not one" % (os.path.basename(wheel), len(about)))
        info = about[0]
        data = info[: -len(".dist-info")] + ".data/"
        told = Parser().parsestr(source.read(info + "/WHEEL").decode("utf-8"))
        if not (told["Wheel-Version"] or "").startswith("1."):
            sys.exit("the wheel is of version %s, which is not known here" % told["Wheel-Version"])
        root = "purelib" if told["Root-Is-Purelib"] == "true" else "platlib"
        to = Destination(out, root)
        if info + "/entry_points.txt" in [item.filename for item in members]:
            for name, script in scripts(source.read(info + "/entry_points.txt").decode("utf-8")):
                to.write("scripts", name, [script], executable=True)
        for item in members:
            path, scheme = item.filename, root
            if path == info + "/RECORD" or "__pycache__" in path.split("/")[:-1]:
                continue  # written anew, compiled anew
            if path.startswith(data):
                scheme, _, path = path[len(data) :].partition("/")
                if scheme not in to.folders or not path:
                    sys.exit("the wheel holds a file of no known kind: %s" % item.filename)
            mode = item.external_attr >> 16
            executable = bool(mode and stat.S_ISREG(mode) and mode & 0o111)
            with source.open(item) as stream:
                to.write(scheme, path, contents(stream, scheme), executable)
    to.write(root, info + "/INSTALLER", [b"timeproof\n"])
    to.finish(info + "/RECORD")


def settle(out):
    """Set every mtime, then compile: a .pyc that still depends on one (3.6) sees the fixed one."""
    for folder, _, names in os.walk(out):
        for name in names:
            os.utime(os.path.join(folder, name), (EPOCH, EPOCH), follow_symlinks=False)
    mode = getattr(py_compile, "PycInvalidationMode", None)
    how = {"invalidation_mode": mode.UNCHECKED_HASH} if mode else {}
    for folder, folders, names in os.walk(out):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py") and "/site-packages" in folder:
                path = os.path.join(folder, name)
                try:
                    py_compile.compile(path, dfile=path[len(out) :], doraise=True, **how)
                except (py_compile.PyCompileError, UnicodeError, ValueError):
                    pass  # templates and tests for other Pythons: importing them fails anywhere
    for folder, _, names in os.walk(out, topdown=False):
        for name in names:
            os.utime(os.path.join(folder, name), (EPOCH, EPOCH), follow_symlinks=False)
        os.chmod(folder, 0o755)
        os.utime(folder, (EPOCH, EPOCH))


def main(expected, wheel, out=OUT):
    if sys.flags.ignore_environment:
        # Sets of strings among the constants are stored in the order of their hashes (before 3.11), and
        # names of files are ASCII (before 3.7), unless the environment says otherwise; -I doesn't ask it.
        settings = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
        again = [sys.executable, "-s", "-B", "-W", "ignore", os.path.abspath(__file__)]
        os.execve(sys.executable, again + [expected, wheel, out], settings)
    os.umask(0o022)
    os.makedirs(out, exist_ok=True)
    check(wheel, expected)
    install(wheel, out)
    settle(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
