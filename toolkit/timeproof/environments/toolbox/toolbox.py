"""The toolkit's own interpreter and packages, as read-only mounts of a container.

What strangers made (conda packages, build backends) is handled inside a container, by programs of ours. The
interpreter is started by this machine's own loader with this machine's own libraries, so that it runs in
any root filesystem, an empty one included. Nothing else of this machine is mounted.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.engines.protocol import Engine, Mount, ReadExactly, RunResult, RunSpec
from timeproof.environments.toolbox.frames import PLACE, REQUEST
from timeproof.environments.toolbox.host_runtime import Interpreter, libraries, own_interpreter, sites
from timeproof.errors import EngineFailed

_CERTIFICATES = "certificates.pem"
_PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What a container needs to run the toolkit's interpreter."""

    mounts: tuple[Mount, ...]
    env: Mapping[str, str]
    words: tuple[str, ...]  # they start the interpreter, whatever the container's own loader is

    def run(
        self,
        engine: Engine,
        image: str,
        module: str,
        request: Mapping[str, Any],
        folder: Path,
        consume: Callable[[ReadExactly], None],
        **spec: Any,
    ) -> RunResult:
        """Run a module of ours in a container, with `request` in `folder`, which is mounted, too."""
        (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        mounts = (*self.mounts, Mount(folder, f"{PLACE}/request"), *spec.pop("mounts", ()))
        env = {**self.env, **spec.pop("env", {})}
        words = ("-P", "-W", "ignore", "-m", module)
        return engine.run(
            RunSpec(image, (*self.words[1:], *words), env, mounts, entrypoint=self.words[:1], **spec), consume
        )


def _own_code(target: Path) -> None:
    """Copy the toolkit's own modules that run inside, without the package's start, which imports them all."""
    for modules in ("*.py", "base/*.py", "errors/*.py", "environments/**/*.py"):
        for path in sorted(_PACKAGE.glob(modules)):
            if path != _PACKAGE / "__init__.py":
                copy = target / "timeproof" / path.relative_to(_PACKAGE)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def certificates() -> Path:
    """The certificates that this machine trusts; py-rattler does not start without any."""
    named = [os.environ.get(name) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")]
    usual = ssl.get_default_verify_paths()
    named += [usual.cafile, usual.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"]
    files = [Path(name) for name in named if name]
    for site in sites():
        files += [site / "pip/_vendor/certifi/cacert.pem", site / "certifi/cacert.pem"]
    for path in files:
        if path.is_file():
            return path
    raise EngineFailed("this machine has no file of certificates", advice="name one: SSL_CERT_FILE=FILE")


def program_of(number: int, interpreter: Interpreter) -> str:
    """Where the interpreter of that number lies inside."""
    return f"{PLACE}/python/{number}/bin/{interpreter.program.name}"


def prepare(folder: Path, further: tuple[Interpreter, ...] = ()) -> Toolbox:
    """Lay out what the mounts show, in `folder`: an empty one of the caller's own.

    Args:
        further: interpreters of this machine, for a program of ours to run.

    Raises EngineFailed where the interpreter is not a program of Linux.
    """
    interpreters = (own_interpreter(), *further)
    try:
        loader, needed = libraries(interpreters)
    except (OSError, ValueError) as error:
        raise EngineFailed(
            f"the toolkit's own interpreter can't be run in a container: {error}",
            advice="run timeproof with a CPython of Linux",
        ) from error
    (folder / "lib").mkdir()
    for name, path in needed.items():
        shutil.copyfile(path, folder / "lib" / name)
    started = folder / "lib" / os.path.basename(loader)
    shutil.copyfile(os.path.realpath(loader), started)
    started.chmod(0o755)
    _own_code(folder / "own")
    shutil.copyfile(certificates(), folder / "lib" / _CERTIFICATES)
    make_readable(folder / "lib")
    make_readable(folder / "own")
    mounts = [Mount(folder / "lib", f"{PLACE}/lib"), Mount(folder / "own", f"{PLACE}/own")]
    for number, interpreter in enumerate(interpreters):
        root = f"{PLACE}/python/{number}"
        mounts.append(Mount(interpreter.program, program_of(number, interpreter)))
        mounts.append(Mount(interpreter.stdlib, f"{root}/{interpreter.lib}/{interpreter.stdlib.name}"))
    packages = [f"{PLACE}/own"]
    for number, site in enumerate(sites()):
        mounts.append(Mount(site, f"{PLACE}/site/{number}"))
        packages.append(f"{PLACE}/site/{number}")
    words = (f"{PLACE}/lib/{started.name}", "--library-path", f"{PLACE}/lib", program_of(0, interpreters[0]))
    return Toolbox(tuple(mounts), _variables(packages), words)


def _variables(packages: Sequence[str]) -> dict[str, str]:
    """The environment variables of the toolkit's interpreter inside."""
    return {
        "PATH": f"{PLACE}/python/0/bin",
        "HOME": "/tmp",  # noqa: S108  the container's own
        "LC_ALL": "C.UTF-8",
        "SSL_CERT_FILE": f"{PLACE}/lib/{_CERTIFICATES}",
        "PYTHONPATH": ":".join(packages),
        "PYTHONUTF8": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def make_readable(folder: Path) -> None:
    """Let the container's user read a folder of ours, whatever the user's umask is."""
    for parent, _, names in os.walk(folder):
        os.chmod(parent, 0o755)  # noqa: S103  a container's other user reads it
        for name in names:
            path = os.path.join(parent, name)
            os.chmod(path, os.stat(path).st_mode | 0o444)
