"""The Dockerfile of an image: how it is written, and what a frozen one may say. Text only, no IO.

An archive may be anyone's, and its checksums fit whatever its maker wrote. So a frozen Dockerfile may hold
only the few lines that `write_dockerfile` writes: nothing that pulls, nothing that reaches a network, nothing
that mounts more than the context.
"""

from __future__ import annotations

import re

from timeproof.base import strictjson
from timeproof.errors import Malformed
from timeproof.images.ingredients import Ingredients
from timeproof.images.probe_files import ENTRYPOINT
from timeproof.store.schema.v1 import PackageEntry

PREFIX = "opt/env"
# What the image tells its programs; the order is that of the Dockerfile.
VARIABLES = {
    "PATH": "/opt/env/bin:/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}
LAYERS = 110  # an overlay holds 127 layers; a wheel beyond this many shares one with others


def _stage_name(wheel: PackageEntry) -> str:
    return "wheel-" + re.sub(r"[^a-z0-9]+", "-", wheel.name.lower()).strip("-")


def _install(wheel: PackageEntry, tools: str) -> str:
    places = {tools: "/tools", wheel.sha256: "/wheel"}
    mounts = " ".join(f"--mount=type=bind,source={source},target={at}" for source, at in places.items())
    words = [f"/{PREFIX}/bin/python3", "-I", "/tools/install_wheel.py", wheel.sha256, f"/wheel/{wheel.file}"]
    return f"RUN --network=none {mounts} {strictjson.compact(words)}"


def write_dockerfile(ingredients: Ingredients, tools: str, probe: str) -> str:
    """Write the Dockerfile: one stage and one linked layer a wheel.

    Args:
        tools: the context folder of the script that installs a wheel, named by its content.
        probe: the context file of the probe's tar, named by its content.
    """
    largest_first = sorted(ingredients.wheels, key=lambda w: (-w.size, w.name))
    alone = {w.sha256 for w in largest_first[:LAYERS]}
    together = [w for w in ingredients.wheels if w.sha256 not in alone]
    lines = [
        "# Made from the lock, and frozen. Every file of the context is named by its SHA-256.",
        "FROM scratch AS python",
        f"ADD {ingredients.base.sha256}.tar /",
        f"ADD {ingredients.conda_part.sha256}.tar /",
    ]
    stages = []
    for wheel in ingredients.wheels:
        if wheel.sha256 in alone:
            stages.append(_stage_name(wheel))
            lines += ["", f"FROM python AS {stages[-1]}", _install(wheel, tools)]
    if together:
        stages.append("small-wheels")
        lines += ["", "FROM python AS small-wheels"]
        lines += [_install(wheel, tools) for wheel in together]
    lines += [
        "",
        "FROM scratch",
        f"ADD --link {ingredients.base.sha256}.tar /",
        f"ADD --link {ingredients.conda_part.sha256}.tar /",
    ]
    lines += [f"COPY --link --from={stage} /out/ /" for stage in stages]
    lines += [
        f"ADD --link {probe} /",
        "ENV " + " ".join(f"{name}={value}" for name, value in VARIABLES.items()),
        "USER 65534:65534",
        f"ENTRYPOINT [{', '.join(strictjson.compact(word) for word in ENTRYPOINT)}]",
    ]
    return "\n".join(lines) + "\n"


_STAGE = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_BIND = r"--mount=type=bind,source=[0-9a-f]{64},target="
_WORDS = r'\["[^"\\]*"(?:, ?"[^"\\]*")*\]'  # a list of JSON texts: anything else is given to a shell
_DIRECTIVE = re.compile(r"#\s*[A-Za-z]+\s*=")
_FROM = re.compile(rf"FROM ({_STAGE})(?: AS ({_STAGE}))?")
_COPY = re.compile(rf"COPY --link --from=({_STAGE}) /out/ /")
_LINES = (
    re.compile(r"#.*|"),
    re.compile(r"ADD (?:--link )?[0-9a-f]{64}\.tar /"),
    re.compile(rf"RUN --network=none {_BIND}/tools {_BIND}/wheel {_WORDS}"),
    re.compile(r"ENV [A-Z_]+=[\w./:-]+(?: [A-Z_]+=[\w./:-]+)*", re.ASCII),
    re.compile(r"USER [0-9]+:[0-9]+"),
    re.compile(rf"ENTRYPOINT {_WORDS}"),
)


def check_dockerfile(text: str, path: object) -> None:
    """Raise Malformed, naming every line that no recipe of ours holds."""
    stages = {"scratch"}
    issues = []
    for number, line in enumerate(text.split("\n"), 1):  # as Docker splits it
        if _DIRECTIVE.match(line):
            issues.append(f"line {number} is a directive to the parser: {line[:80]!r}")
        elif start := _FROM.fullmatch(line):
            if start[1] not in stages:
                issues.append(f"line {number} starts from {start[1]!r}, which is no stage before it")
            if start[2]:
                stages.add(start[2])
        elif copy := _COPY.fullmatch(line):
            if copy[1] not in stages - {"scratch"}:
                issues.append(f"line {number} copies from {copy[1]!r}, which is no stage before it")
        elif not any(pattern.fullmatch(line) for pattern in _LINES):
            issues.append(f"line {number} is none that a recipe holds: {line[:80]!r}")
    if issues:
        raise Malformed(path, issues)
