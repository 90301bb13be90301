"""Install one wheel into /out, the same bytes every time. Runs inside the build, without a network.

    python3 -I install_wheel.py <sha256> <wheel> <installer wheel>

The wheel's SHA-256 is checked first: a changed byte fails the build here. The .pyc are unchecked
(PEP 552), so that they need no mtime; every mtime is 1980-01-01, the oldest that a zip can hold.
"""

import hashlib
import os
import py_compile
import sys
import sysconfig

PREFIX = "/opt/env"
OUT = "/out"
EPOCH = 315532800  # 1980-01-01T00:00:00Z


def check(wheel, expected):
    state = hashlib.sha256()
    with open(wheel, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            state.update(chunk)
    if state.hexdigest() != expected:
        sys.exit("%s has SHA-256 %s, not %s" % (os.path.basename(wheel), state.hexdigest(), expected))


def install(wheel):
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    site = "%s/lib/python%d.%d/site-packages" % ((PREFIX,) + sys.version_info[:2])
    scheme = {
        "purelib": site,
        "platlib": site,
        "scripts": PREFIX + "/bin",
        "data": PREFIX,
        "headers": "%s/include/python%d.%d" % ((PREFIX,) + sys.version_info[:2]),
    }
    with WheelFile.open(wheel) as source:
        install(
            source=source,
            destination=SchemeDictionaryDestination(
                scheme,
                interpreter=PREFIX + "/bin/python3",
                script_kind="posix",
                destdir=OUT,
            ),
            additional_metadata={"INSTALLER": b"timeproof\n"},
        )


def settle():
    """Set every mtime, then compile: a .pyc that still depends on one (3.6) sees the fixed one."""
    for folder, _, names in os.walk(OUT):
        for name in names:
            os.utime(os.path.join(folder, name), (EPOCH, EPOCH), follow_symlinks=False)
    mode = getattr(py_compile, "PycInvalidationMode", None)
    how = {"invalidation_mode": mode.UNCHECKED_HASH} if mode else {}
    for folder, folders, names in os.walk(OUT):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py") and "/site-packages" in folder:
                path = os.path.join(folder, name)
                try:
                    py_compile.compile(path, dfile=path[len(OUT):], doraise=True, **how)
                except (py_compile.PyCompileError, UnicodeDecodeError):
                    pass  # templates and tests for other Pythons: importing them fails anywhere
    for folder, _, names in os.walk(OUT, topdown=False):
        for name in names:
            os.utime(os.path.join(folder, name), (EPOCH, EPOCH), follow_symlinks=False)
        os.chmod(folder, 0o755)
        os.utime(folder, (EPOCH, EPOCH))


if __name__ == "__main__":
    expected, wheel, installer = sys.argv[1:4]
    sys.path.insert(0, installer)
    os.umask(0o022)
    os.makedirs(OUT, exist_ok=True)
    check(wheel, expected)
    install(wheel)
    settle()
