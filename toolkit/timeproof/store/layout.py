"""Where things lie in an archive, and what a user may call them. Reads names, never contents."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from timeproof.base.progress import Progress
from timeproof.errors import BadGridSize, BadRequest, NotFound

if TYPE_CHECKING:
    from timeproof.store.verify import Claim

DEFAULT_ARCHIVE = Path("logs/extensions/models")
SHORT = {"pytorch": "pt", "xgboost": "xgb", "lightgbm": "lgb", "onnx": "onnx"}
_NUMBER = "0*[1-9][0-9]{0,15}"  # ASCII: int() would take any script's digits
_REF = re.compile(
    rf"(?:.*/)?grid-size-({_NUMBER})/([a-z]+)(?:/v({_NUMBER})|/metadata_([a-z]+)_v({_NUMBER})\.json)?/?"
)
_METADATA = re.compile(r"metadata_([a-z]+)_v([1-9]\d*)\.json")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/{1,3}[^/].*", re.DOTALL)
_GRID = re.compile(r"grid-size-([1-9]\d*)")


def check_grid_size(value: object) -> int:
    """Return `value` if it is a positive whole number, as int or as decimal text; else BadGridSize."""
    if isinstance(value, str) and re.fullmatch(r"\+?[0-9]{1,16}", value):
        value = int(value)
    if isinstance(value, bool):
        raise BadGridSize(value)
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # that is what is asked
    except TypeError:
        raise BadGridSize(value) from None
    if number < 1 or number > 10**15:
        raise BadGridSize(value)
    return number


def is_address(text: str) -> bool:
    """Whether `text` is an address, such as `s3://bucket/models`, and no path. A drive is one letter."""
    return bool(_ADDRESS.fullmatch(text))


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """One artifact's name: `grid-size-8/pytorch/v1`. `Ref.parse(str(r)) == r`."""

    grid_size: int
    framework: str
    version: int

    def __str__(self) -> str:
        return f"grid-size-{self.grid_size}/{self.framework}/v{self.version}"

    @property
    def folder(self) -> str:
        return f"grid-size-{self.grid_size}/{self.framework}"

    @property
    def tag(self) -> str:
        """What the artifact's file names carry: `pt_v1`."""
        return f"{SHORT[self.framework]}_v{self.version}"

    @property
    def metadata(self) -> str:
        """The metadata file, relative to the archive."""
        return f"{self.folder}/metadata_{self.tag}.json"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read a whole reference. Raises BadRequest."""
        grid, framework, version = _parts(text)
        if version is None:
            raise BadRequest(f"{text!r} names no version", advice="write grid-size-N/FRAMEWORK/vN")
        return cls(grid, framework, version)


def _parts(text: str) -> tuple[int, str, int | None]:
    found = _REF.fullmatch(text)
    if not found or found[2] not in SHORT or found[4] not in {None, SHORT[found[2]]}:
        raise BadRequest(
            f"{text!r} is not an artifact's name",
            advice="write grid-size-N/FRAMEWORK/vN; 'timeproof ls' lists what there is",
        )
    version = found[3] or found[5]
    return check_grid_size(found[1]), found[2], int(version) if version else None


class Archive:
    """The folder that holds everything."""

    def __init__(self, root: Path | str = DEFAULT_ARCHIVE) -> None:
        if is_address(os.fspath(root)):
            raise BadRequest(
                f"{root} is not on this machine, and this needs an archive in a folder",
                advice="archive into a folder, then copy it there as it is; it can be read from there",
            )
        self.root = Path(root)

    @property
    def name(self) -> str:
        """What people call it: its folder, or its address."""
        return str(self.root)

    def fetch(self, claims: Iterable[Claim]) -> None:
        """See that files are on this machine before they are read. Here they are; `remote` fetches them."""

    @contextmanager
    def whole(self, refs: Sequence[Ref] | None, progress: Progress) -> Iterator[Archive]:
        """The archive with every file on this machine: of these artifacts, or of all."""
        del refs, progress  # all of it is here
        yield self

    @property
    def packages(self) -> Path:
        return self.root / "packages"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def environments(self) -> Path:
        return self.root / "environments"

    def check_place(self) -> None:
        """Raise BadRequest where something else than a folder stands in the archive's place."""
        if self.root.exists() and not self.root.is_dir():
            raise BadRequest(f"{self.root} is not a folder", advice="give another one with --archive")

    def require(self) -> None:
        """Raise NotFound unless the archive's folder is there."""
        if not self.root.is_dir():
            raise NotFound(
                f"there is no archive at {self.root}",
                advice="give its folder with --archive, or make one with 'timeproof archive'",
            )

    def versions(self, grid_size: int, framework: str) -> list[int]:
        """The published versions of one framework at one grid size, ascending."""
        folder = self.root / f"grid-size-{grid_size}" / framework
        short = SHORT[framework]
        if not folder.is_dir():
            return []
        found = (_METADATA.fullmatch(p.name) for p in folder.iterdir())
        return sorted(int(f[2]) for f in found if f and f[1] == short)

    def refs(self) -> Iterator[Ref]:
        """Every published artifact, ordered by grid size, framework, version."""
        grids = sorted(
            int(f[1])
            for p in (self.root.iterdir() if self.root.is_dir() else ())
            if (f := _GRID.fullmatch(p.name))
        )
        for grid in grids:
            for framework in sorted(SHORT):
                for version in self.versions(grid, framework):
                    yield Ref(grid, framework, version)

    def locate(self, text: str) -> Ref:
        """The artifact that `text` names; without a version, the newest. Raises NotFound, BadRequest."""
        self.require()
        grid, framework, version = _parts(text)
        there = self.versions(grid, framework)
        if not there:
            raise NotFound(
                f"{self.root} holds no {framework} artifact at grid size {grid}",
                advice="'timeproof ls' lists what it holds",
            )
        if version is None:
            return Ref(grid, framework, there[-1])
        if version not in there:
            raise NotFound(
                f"{self.root} holds no version {version} of {framework} at grid size {grid}",
                advice=f"it holds {', '.join(f'v{v}' for v in there)}",
            )
        return Ref(grid, framework, version)

    def environment_names(self) -> list[str]:
        """The published environments' folder names, sorted."""
        if not self.environments.is_dir():
            return []
        return sorted(
            p.name
            for p in self.environments.iterdir()
            if not p.name.startswith(".") and (p / "image.json").is_file()
        )
