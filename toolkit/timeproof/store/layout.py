"""Where things lie in an archive, and what a user may call them. Reads names, never contents."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from timeproof.base.progress import Progress
from timeproof.errors import BadGridSize, BadRequest, NotFound
from timeproof.store.claims import Claim
from timeproof.store.package_paths import PACKAGES
from timeproof.store.storage import LocalStorage, Storage
from timeproof.store.versions import TAG

if TYPE_CHECKING:
    from timeproof.store.schema.v1 import ImageIdentity

DEFAULT_ARCHIVE = Path("logs/extensions/models")
# What a framework is called, in folders and in metadata.
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Of the frameworks whose artifacts are older than the tag in the metadata. The tag of any other is its name,
# unless the files in its folder say otherwise.
FIRST_TAGS = {"pytorch": "pt", "xgboost": "xgb", "lightgbm": "lgb", "onnx": "onnx"}
_NUMBER = "0*[1-9][0-9]{0,15}"  # ASCII: int() would take any script's digits
_REF = re.compile(
    rf"(?:.*/)?grid-size-({_NUMBER})/({NAME.pattern})"
    rf"(?:/v({_NUMBER})|/metadata_({TAG.pattern})_v({_NUMBER})\.json)?/?"
)
_METADATA = re.compile(rf"metadata_({TAG.pattern})_v([1-9]\d*)\.json")
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
    """One artifact's name: `grid-size-8/pytorch/v1`. `Ref.parse(str(r)) == r`.

    Args:
        prefix: the tag that the files carry, where it is not the one that the framework's name implies.
    """

    grid_size: int
    framework: str
    version: int
    prefix: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"grid-size-{self.grid_size}/{self.framework}/v{self.version}"

    @property
    def folder(self) -> str:
        return f"grid-size-{self.grid_size}/{self.framework}"

    @property
    def tag(self) -> str:
        """What the artifact's file names carry: `pt_v1`."""
        return f"{self.prefix or implied_tag(self.framework)}_v{self.version}"

    @property
    def metadata(self) -> str:
        """The metadata file, relative to the archive."""
        return f"{self.folder}/metadata_{self.tag}.json"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read a whole reference. Raises BadRequest."""
        grid, framework, version, tag = _parts(text)
        if version is None:
            raise BadRequest(f"{text!r} names no version", advice="write grid-size-N/FRAMEWORK/vN")
        return cls(grid, framework, version, tag)


def implied_tag(framework: str) -> str:
    """The tag of a framework whose files do not say another."""
    return FIRST_TAGS.get(framework) or framework.replace("_", "")[:32]  # as many as TAG takes


def may_carry(framework: str, tag: str) -> bool:
    """Whether files of `framework` may carry `tag`: any, but that of the first frameworks is fixed."""
    return FIRST_TAGS.get(framework, tag) == tag


def _parts(text: str) -> tuple[int, str, int | None, str]:
    match = _REF.fullmatch(text)
    if not match or not may_carry(match[2], match[4] or implied_tag(match[2])):
        raise BadRequest(
            f"{text!r} is not an artifact's name",
            advice="write grid-size-N/FRAMEWORK/vN; 'timeproof ls' lists what there is",
        )
    version = match[3] or match[5]
    return check_grid_size(match[1]), match[2], int(version) if version else None, match[4] or ""


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

    def public_path(self, path: str) -> str:
        """What people call a file or folder of the archive: for a copy of a remote one, its address."""
        return path

    def fetch(self, claims: Iterable[Claim]) -> None:
        """See that files are on this machine before they are read. Here they are; `remote` fetches them."""

    def fetch_documents(self, paths: Iterable[str]) -> None:
        """See that documents are here as they are now. Here they are; `remote` fetches them."""

    def storage(self, folder: str) -> Storage:
        """Where what belongs into one of the archive's folders is published."""
        return LocalStorage(self.root / folder, self.root)

    def deposit(self, claims: Iterable[Claim], image: ImageIdentity | None = None) -> None:
        """See that packages, and an image's blobs, lie in the archive before a document names them.

        Here they do, and the image is listed; an archive that lies elsewhere gets what it lacks.
        """

    @contextmanager
    def whole(self, refs: Sequence[Ref] | None, progress: Progress) -> Iterator[Archive]:
        """The archive with every file on this machine: of these artifacts, or of all."""
        del refs, progress  # all of it is here
        yield self

    @property
    def packages(self) -> Path:
        return self.root / PACKAGES

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
        return list(self.tags(grid_size, framework))

    def tags(self, grid_size: int, framework: str) -> dict[int, str]:
        """The tag of every published version of one framework at one grid size, ascending."""
        folder = self.root / f"grid-size-{grid_size}" / framework
        if not folder.is_dir():
            return {}
        matches = [match for p in folder.iterdir() if (match := _METADATA.fullmatch(p.name))]
        pairs = [(int(match[2]), match[1]) for match in matches if may_carry(framework, match[1])]
        return dict(sorted(pairs, reverse=True)[::-1])

    def refs(self) -> Iterator[Ref]:
        """Every published artifact, ordered by grid size, framework, version."""
        grids = sorted(
            int(f[1])
            for p in (self.root.iterdir() if self.root.is_dir() else ())
            if (f := _GRID.fullmatch(p.name))
        )
        for grid in grids:
            for framework in self._frameworks(grid):
                for version, tag in self.tags(grid, framework).items():
                    yield Ref(grid, framework, version, tag)

    def _frameworks(self, grid_size: int) -> list[str]:
        """The frameworks that have a folder at one grid size, whether this toolkit knows them or not."""
        folder = self.root / f"grid-size-{grid_size}"
        return sorted(p.name for p in folder.iterdir() if NAME.fullmatch(p.name)) if folder.is_dir() else []

    def locate(self, text: str) -> Ref:
        """The artifact that `text` names; without a version, the newest. Raises NotFound, BadRequest."""
        self.require()
        grid, framework, version, _ = _parts(text)
        tags = self.tags(grid, framework)
        if not tags:
            raise NotFound(
                f"{self.root} holds no {framework} artifact at grid size {grid}",
                advice="'timeproof ls' lists what it holds",
            )
        if version is None:
            version = max(tags)
        if version not in tags:
            raise NotFound(
                f"{self.root} holds no version {version} of {framework} at grid size {grid}",
                advice=f"it holds {', '.join(f'v{v}' for v in tags)}",
            )
        return Ref(grid, framework, version, tags[version])

    def resolve(self, text: str) -> Ref:
        """The artifact of that whole name, with the tag that its files carry; it may be absent."""
        ref = Ref.parse(text)
        if ref.framework in FIRST_TAGS:
            return ref
        return replace(ref, prefix=self.tags(ref.grid_size, ref.framework).get(ref.version, ref.prefix))

    def environment_names(self) -> list[str]:
        """The published environments' folder names, sorted."""
        if not self.environments.is_dir():
            return []
        return sorted(
            p.name
            for p in self.environments.iterdir()
            if not p.name.startswith(".") and (p / "image.json").is_file()
        )
