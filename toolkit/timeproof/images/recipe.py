"""The recipe of an image: made once, from a lock's packages, then frozen. Runs no engine.

A recipe folder holds the Dockerfile, the bake file, the script that installs a wheel, the probe, and
`recipe.json` that names every package by SHA-256. `stage` turns it, with the package store, into a build
context.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from timeproof.base import strictjson
from timeproof.base.digests import Digest
from timeproof.base.paths import open_regular
from timeproof.errors import BadArchive, DigestMismatch, Malformed, raise_findings
from timeproof.images.dockerfile import check_dockerfile, write_dockerfile
from timeproof.images.ingredients import Ingredients
from timeproof.images.named_profiles import BUILT_IN, env_file
from timeproof.images.resources import bake_file, image_file
from timeproof.store.package_paths import check_file_name
from timeproof.store.packages import PackageStore
from timeproof.store.schema.v1 import PackageEntry


def write(folder: Path, ingredients: Ingredients) -> None:
    """Make the recipe in `folder`, which is empty or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    script = image_file("environment/install_wheel.py").read_bytes()
    probe = Digest.of(ingredients.probe).hex
    tools = Digest.of(script).hex
    recipe = {
        "schema": 1,
        "tools": {"folder": tools, "files": ["install_wheel.py"]},
        "probe": {"file": "probe.tar", "sha256": probe},
        "packages": [p.model_dump() for p in (ingredients.base, ingredients.conda_part, *ingredients.wheels)],
    }
    files = {
        "Dockerfile": write_dockerfile(ingredients, tools, f"{probe}.tar").encode(),
        "docker-bake.hcl": bake_file().read_bytes(),
        "install_wheel.py": script,
        "probe.tar": ingredients.probe,
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
    frozen = _Frozen(recipe)
    context.mkdir(parents=True, exist_ok=True)
    (context / "Dockerfile").write_bytes(frozen.dockerfile())
    (context / frozen.tools).mkdir()
    for name in frozen.tool_files:
        (context / frozen.tools / name).write_bytes(frozen.read(name))
    (context / f"{frozen.probe}.tar").write_bytes(frozen.probe_tar())
    findings: list[BadArchive] = []
    for package in packages:
        try:
            _stage_package(package, store, context)
        except BadArchive as error:
            findings.append(error)
    raise_findings(store.root, findings)


class _Frozen:
    """A recipe folder, which may be a stranger's: each part is checked when it is read."""

    def __init__(self, folder: Path) -> None:
        """Read recipe.json. Raises Malformed, UnsafePath."""
        self.folder = folder
        path = folder / "recipe.json"
        fields = strictjson.loads(self.read("recipe.json"), path)
        try:
            self.tools = Digest(str(fields["tools"]["folder"])).hex
            self.tool_files = [check_file_name(str(name)) for name in fields["tools"]["files"]]
            self.probe = Digest(str(fields["probe"]["sha256"])).hex
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(path, [f"not a recipe: {error}"]) from error

    def read(self, name: str) -> bytes:
        with open_regular(self.folder, name) as stream:
            return stream.read()

    def dockerfile(self) -> bytes:
        """The Dockerfile. Raises Malformed for what no recipe of ours says."""
        data = self.read("Dockerfile")
        check_dockerfile(data.decode("utf-8", "replace"), self.folder / "Dockerfile")
        return data

    def probe_tar(self) -> bytes:
        """The probe. Raises DigestMismatch."""
        data = self.read("probe.tar")
        if (actual := Digest.of(data)).hex != self.probe:
            raise DigestMismatch(self.folder / "probe.tar", self.probe, actual)
        return data


def _stage_package(package: PackageEntry, store: PackageStore, context: Path) -> None:
    """Put a package into the context, hashed again. Raises Missing, DigestMismatch, NotRegular."""
    if package.kind == "conda":
        return  # it is in the conda part
    if package.kind == "wheel":
        (context / package.sha256).mkdir()
        target = context / package.sha256 / package.file
    else:
        target = context / f"{package.sha256}.tar"
    _link(store.verified(Digest(package.sha256), package.file), target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
