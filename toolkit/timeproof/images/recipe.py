"""The recipe of an image: made once, from a lock's packages, then frozen. Runs no engine.

A recipe folder holds the Dockerfile, the bake file, the script that installs a wheel, the probe, and
`recipe.json` that names every package by SHA-256. `stage` turns it, with the package store, into a build
context.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timeproof.base import strictjson
from timeproof.base.digests import Digest
from timeproof.base.paths import open_regular
from timeproof.errors import BadArchive, DigestMismatch, Malformed, raise_findings
from timeproof.images.dockerfile import check_dockerfile
from timeproof.images.named_profiles import BUILT_IN, env_file
from timeproof.images.probe_files import ENTRYPOINT
from timeproof.images.resources import bake_file, image_file
from timeproof.store.packages import PackageStore, check_file_name
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


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What one image is made of. The packages lie in the package store; `probe` is a tar."""

    base: PackageEntry
    conda_part: PackageEntry
    wheels: tuple[PackageEntry, ...]
    probe: bytes


def _stage_name(wheel: PackageEntry) -> str:
    return "wheel-" + re.sub(r"[^a-z0-9]+", "-", wheel.name.lower()).strip("-")


def _install(wheel: PackageEntry, tools: str) -> str:
    places = {tools: "/tools", wheel.sha256: "/wheel"}
    mounts = " ".join(f"--mount=type=bind,source={source},target={at}" for source, at in places.items())
    words = [f"/{PREFIX}/bin/python3", "-I", "/tools/install_wheel.py", wheel.sha256, f"/wheel/{wheel.file}"]
    return f"RUN --network=none {mounts} {strictjson.compact(words)}"


def dockerfile(what: Ingredients, tools: str, probe: str) -> str:
    """Write the Dockerfile: one stage and one linked layer a wheel.

    Args:
        tools: the context folder of the script that installs a wheel, named by its content.
        probe: the context file of the probe's tar, named by its content.
    """
    largest_first = sorted(what.wheels, key=lambda w: (-w.size, w.name))
    alone = {w.sha256 for w in largest_first[:LAYERS]}
    together = [w for w in what.wheels if w.sha256 not in alone]
    lines = [
        "# Made from the lock, and frozen. Every file of the context is named by its SHA-256.",
        "FROM scratch AS python",
        f"ADD {what.base.sha256}.tar /",
        f"ADD {what.conda_part.sha256}.tar /",
    ]
    stages = []
    for wheel in what.wheels:
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
        f"ADD --link {what.base.sha256}.tar /",
        f"ADD --link {what.conda_part.sha256}.tar /",
    ]
    lines += [f"COPY --link --from={stage} /out/ /" for stage in stages]
    lines += [
        f"ADD --link {probe} /",
        "ENV " + " ".join(f"{name}={value}" for name, value in VARIABLES.items()),
        "USER 65534:65534",
        f"ENTRYPOINT [{', '.join(strictjson.compact(word) for word in ENTRYPOINT)}]",
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path, what: Ingredients) -> None:
    """Make the recipe in `folder`, which is empty or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    script = image_file("environment/install_wheel.py").read_bytes()
    probe = Digest.of(what.probe).hex
    tools = Digest.of(script).hex
    recipe = {
        "schema": 1,
        "tools": {"folder": tools, "files": ["install_wheel.py"]},
        "probe": {"file": "probe.tar", "sha256": probe},
        "packages": [p.model_dump() for p in (what.base, what.conda_part, *what.wheels)],
    }
    files = {
        "Dockerfile": dockerfile(what, tools, f"{probe}.tar").encode(),
        "docker-bake.hcl": bake_file().read_bytes(),
        "install_wheel.py": script,
        "probe.tar": what.probe,
        "recipe.json": strictjson.dumps(recipe),
        # For `docker run --env-file`; the build doesn't read them.
        **{f"profile-{name}.env": env_file(name) for name in BUILT_IN},
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)


def stage(recipe: Path, packages: Sequence[PackageEntry], store: PackageStore, context: Path) -> None:
    """Lay out the build context: every package hashed again, and named by its hash.

    The names matter: BuildKit may take an old file of the same name, size and mtime for a new one.

    Args:
        context: an empty folder, best on the store's own file system (files are linked, not copied).

    Raises:
        Missing / DigestMismatch / ManyFindings: packages are not in the store as locked; all are named.
        Malformed / UnsafePath: recipe.json is not a recipe, or names places elsewhere; or the Dockerfile
            says what no recipe of ours says.
    """
    told = strictjson.loads(_read(recipe, "recipe.json"), recipe / "recipe.json")
    try:
        tools, probe = told["tools"], told["probe"]
        folder, sha256 = Digest(str(tools["folder"])).hex, Digest(str(probe["sha256"])).hex
        names = [check_file_name(str(n)) for n in tools["files"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(recipe / "recipe.json", [f"not a recipe: {error}"]) from error
    context.mkdir(parents=True, exist_ok=True)
    frozen = _read(recipe, "Dockerfile")
    check_dockerfile(frozen.decode("utf-8", "replace"), recipe / "Dockerfile")
    (context / "Dockerfile").write_bytes(frozen)
    (context / folder).mkdir()
    _copy(recipe, names, context / folder)
    data = _read(recipe, "probe.tar")
    if (found := Digest.of(data)).hex != sha256:
        raise DigestMismatch(recipe / "probe.tar", sha256, found)
    (context / f"{sha256}.tar").write_bytes(data)
    findings: list[BadArchive] = []
    for package in packages:
        if package.kind == "conda":
            continue  # it is in the conda part
        if package.kind == "wheel":
            (context / package.sha256).mkdir()
            target = context / package.sha256 / package.file
        else:
            target = context / f"{package.sha256}.tar"
        digest = Digest(package.sha256)
        try:
            _link(store.verified(digest, package.file), target)
        except BadArchive as error:
            findings.append(error)
    raise_findings(store.root, findings)


def _copy(source: Path, names: Iterable[str], target: Path) -> None:
    for name in names:
        (target / name).write_bytes(_read(source, name))


def _read(recipe: Path, name: str) -> bytes:
    with open_regular(recipe, name) as stream:
        return stream.read()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
