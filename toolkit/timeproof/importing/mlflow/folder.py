"""What an MLflow model folder says of itself: its `MLmodel` file, read within bounds. Nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base.digests import Digest
from timeproof.base.paths import check_relative, list_tree, open_regular
from timeproof.environments.lock.strict_yaml import load_yaml
from timeproof.errors import BadArchive, NotImportable, UnsafePath

MLMODEL = "MLmodel"
MLMODEL_BYTES = 4 * 2**20  # bytes of an MLmodel file, and of a requirements.txt; MLflow's own are of a few kB
NEWEST_MAJOR = 3  # of the MLflow releases whose folders are read
WHOLE = "give the whole folder, as MLflow wrote it"
_SHOWN = 200  # characters of a stranger's text that a message repeats


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder with an `MLmodel` file.

    Args:
        root: the folder; it may be a link, what lies in it may not.
        digest: of the MLmodel file's bytes.
        flavors: what the file says of each flavor, by its name.
        facts: the rest of the file.
    """

    root: Path
    digest: Digest
    flavors: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, root: Path) -> ModelFolder:
        """Read the MLmodel file of a folder. Raises NotImportable, which says what is wrong with it."""
        data = read_bytes(root, MLMODEL, MLMODEL_BYTES)
        try:
            value = load_yaml(data, root / MLMODEL, limit=MLMODEL_BYTES)
        except BadArchive as error:
            raise NotImportable(root, [error.message], advice="log the model again with MLflow") from None
        flavors = value.pop("flavors", None) if isinstance(value, dict) else None
        if not isinstance(flavors, dict) or not all(isinstance(f, dict) for f in flavors.values()):
            raise NotImportable(
                root,
                [f"{MLMODEL} names no flavors: it is not a file that MLflow wrote"],
                advice="give the folder that MLflow's save_model or log_model wrote",
            )
        folder = cls(root, Digest.of(data), flavors, value)
        folder.check_version()
        return folder

    @property
    def mlflow_version(self) -> str:
        """The release of MLflow that wrote the folder; empty where it does not say so."""
        return quoted(self.facts.get("mlflow_version") or "")

    @property
    def python_function(self) -> Mapping[str, Any]:
        """What the folder says of MLflow's own way to serve it."""
        return self.flavors.get("python_function", {})

    def check_version(self) -> None:
        """Raise NotImportable for a folder that a later MLflow wrote than this toolkit knows."""
        major = self.mlflow_version.partition(".")[0]
        if major.isdecimal() and int(major[:9]) > NEWEST_MAJOR:
            raise NotImportable(
                self.root,
                [f"MLflow {self.mlflow_version} wrote it; folders of MLflow up to {NEWEST_MAJOR}.x are read"],
                advice="upgrade timeproof; or load the model in your process and archive it:"
                " timeproof.archive(model, inputs, grid_size=…)",
            )

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A field of the MLmodel file that is a mapping; empty where it is absent or null.

        Raises NotImportable where it is something else.
        """
        value = self.facts.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise NotImportable(
                self.root, [f"{MLMODEL}: {name} is {quoted(value)!r}, not a mapping"], advice=WHOLE
            )
        return value

    def files_of(self, relative: str) -> list[str]:
        """The file of that path, or every file of the folder of that path, sorted."""
        if not (self.root / relative).is_dir():
            return [relative]
        return [f"{relative}/{name}" for name in list_tree(self.root / relative)]

    def digest_of(self, relative: str) -> Digest:
        """The digest of a file that was checked."""
        with open_regular(self.root, relative) as stream:
            return Digest.of_stream(stream)[0]

    def check_file(self, relative: object, field: str) -> str:
        """Check that a path of the MLmodel file is a file of this folder, or a folder without links in it.

        Returns the path. Raises NotImportable.
        """
        try:
            if not isinstance(relative, str):
                raise UnsafePath(quoted(relative), "it is no text")
            check_relative(relative)
            linked = (self.root / relative).is_symlink()
            for name in [relative] if linked else self.files_of(relative):
                open_regular(self.root, name).close()
        except BadArchive as error:
            raise NotImportable(
                self.root,
                [f"{MLMODEL}: {field}: {error.message}"],
                advice="give the whole folder, as MLflow wrote it; links, and paths out of it, are refused",
            ) from None
        except (OSError, ValueError) as error:
            raise NotImportable(self.root, [f"{MLMODEL}: {field}: {error}"], advice=WHOLE) from None
        return relative


def read_bytes(root: Path, relative: str, limit: int) -> bytes:
    """Read a file of the folder, following no link. Raises NotImportable."""
    try:
        with open_regular(root, relative) as stream:
            data = stream.read(limit + 1)
            while len(data) <= limit and (more := stream.read(limit + 1 - len(data))):
                data += more
    except BadArchive as error:
        raise NotImportable(root, [error.message], advice=WHOLE) from None
    except OSError as error:
        raise NotImportable(root, [f"{relative}: {error.strerror or error}"], advice=WHOLE) from None
    if len(data) > limit:
        raise NotImportable(root, [f"{relative} has more than {limit} bytes"], advice=WHOLE)
    return data


def parse_json(text: bytes | str, root: Path, place: str) -> Any:
    """Parse JSON as MLflow writes it, NaN and Infinity included. Raises NotImportable."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotImportable(
            root,
            [f"{place} is no JSON: {quoted(error)}"],
            advice="log the model again with its input example",
        ) from None


def quoted(value: object) -> str:
    """A stranger's text as a message may repeat it: printable, and not too long."""
    text = "".join(c if c.isprintable() else "�" for c in str(value)[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
