"""What stands in `metadata_*.json` and `image.json`: schema version 1. No IO here.

`parse(m.to_bytes()) == m` for every record `m`. Each document carries the SHA-256 of itself (with
that checksum's digits read as zeros), so that a flipped bit in it is found before it is believed.
Unknown fields survive a round trip.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from timeproof.base import strictjson
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import check_collisions, check_relative
from timeproof.errors import BadArchive, DigestMismatch, Malformed, UnsafePath
from timeproof.store.schema import migrations
from timeproof.store.schema.records import (
    ArrayDistance,
    Distance,
    Machine,
    Record,
    SealFacts,
    WitnessFacts,
    WitnessOptions,
)

_ZEROS = "0" * 64
_CHECKSUM = re.compile(rb'"checksum": "sha256:([0-9a-f]{64})"')

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
OciDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=LIMITS.integer)]
Positive = Annotated[int, Field(ge=1, le=LIMITS.integer)]
Instant = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
Name = Annotated[str, Field(min_length=1, max_length=1024)]
JsonObject = dict[str, Any]
Threshold = Literal["rounding", "drift", "drift_16bit", "row", "few", "few_of", "broken"]
Figure = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FileEntry(Record):
    """One file: where it lies (relative to the folder of its document), and its bytes."""

    path: str
    role: Name
    format: Name
    size: Count  # bytes
    sha256: Sha256


class ArraySpec(Record):
    """One array of the reference. `sha256` is of its elements' bytes in C order."""

    name: Annotated[str, Field(max_length=4096)]
    member: Annotated[str, Field(pattern=r"^(input|output)_\d{1,6}$")]  # of the .npz, without .npy
    dtype: str | list[Any]  # numpy's own spelling (`numpy.lib.format.dtype_to_descr`)
    shape: list[Count]
    sha256: Sha256
    element: Annotated[str, Field(max_length=32)] = ""  # ONNX's type, where NumPy has none: bfloat16, int4
    scores: bool | None = None  # whether the last axis holds class scores; None: its shape decides


class Framework(Record):
    """A framework, as far as a toolkit needs to know it that has no plugin for it.

    What stands after `python` is empty in artifacts that are older than plugins.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    version: str | None  # of the framework inside the container
    python: str
    tag: Annotated[str, Field(pattern=r"^([a-z][a-z0-9]{0,31})?$")] = ""  # what the files' names carry
    title: Annotated[str, Field(max_length=200)] = ""  # what people call it
    module: Annotated[str, Field(max_length=200)] = ""  # that runs its models
    distributions: list[Name] = []  # the packages that bring it


class Model(Record):
    file: str
    module: str | None
    qualname: str | None
    init_args: JsonObject
    options: JsonObject  # what the probe's loader is told
    source: list[str]
    signature: JsonObject = {}  # what inputs and outputs mean: features, classes, columns


class Copy(Record):
    """An interchange copy and how far its answer is from the native one."""

    name: Name
    framework: Name
    file: str
    options: JsonObject
    facts: JsonObject
    distance: Distance


class Witness(Record):
    """A second reference, for where the native one can't hold: see docs/numerics.md.

    A margin's outputs are some of the reference's own; the others have a file of their own, with an
    output for each of the reference's, of the same name.
    """

    kind: Literal["float64", "emulated", "margin"]
    file: str  # the .npz that holds its outputs
    outputs: list[ArraySpec]
    options: WitnessOptions = WitnessOptions()
    facts: WitnessFacts = WitnessFacts()


class Origin(Record):
    """Whose answers the reference's outputs are: ours, from sealing it, or a third party's."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    origin: Literal["sealed", "imported"]
    source: Annotated[str, Field(alias="from", max_length=4096)] = ""  # where they were imported from


class ImageIdentity(Record):
    """An image, three ways: what the engine runs, and what does not depend on compression."""

    manifest: OciDigest
    config: OciDigest
    diff_ids: list[OciDigest]
    platform: Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$")]


class EnvironmentRef(Record):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*-[0-9a-f]{12}$")]
    lock_sha256: Sha256
    image: ImageIdentity


class ProfileRecord(Record):
    """The numeric settings in force. `threads` None leaves each framework its own default."""

    name: Name
    threads: Positive | None
    variables: dict[str, str]


class EmulatorRecord(Record):
    """The program that simulated a CPU: one static file of the package store."""

    file: str
    version: str
    machine: str  # the architecture that it runs on, such as x86_64
    size: Count  # bytes
    sha256: Sha256


class Proof(Record):
    """What the probe answered on one CPU under one profile, output by output, against the reference."""

    cpu: Name
    profile: Name
    emulator: Sha256 | None  # of an entry of `emulators`; None where the CPU was the machine's own
    verdict: Name  # the worst of its outputs', or why there are none
    reason: str
    outputs: dict[str, ArrayDistance]
    seconds: float


class Document(Record):
    """A record that is a whole file, and carries its own checksum."""

    known_schema: ClassVar[int] = 1
    schema_version: Literal[1] = Field(alias="schema")
    checksum: OciDigest = f"sha256:{_ZEROS}"

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)  # and what Record has

    def to_bytes(self) -> bytes:
        """Spell the document, its checksum filled in."""
        plain = self.model_dump(mode="json", by_alias=True)
        blank = strictjson.dumps(plain | {"checksum": f"sha256:{_ZEROS}"})
        return blank.replace(_ZEROS.encode(), Digest.of(blank).hex.encode(), 1)

    @classmethod
    def parse(cls, data: bytes, path: object) -> Self:
        """Read and check a whole document; `path` is for messages.

        Raises:
            DigestMismatch: its bytes are not those that were sealed.
            NewerSchema: it was written by a later toolkit.
            Malformed: wrong types, missing fields; every one is listed, each with its place.
        """
        check_checksum(data, path)
        value = migrations.upgrade(strictjson.loads(data, path), path, known=cls.known_schema)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            issues = [f"{_place(i['loc'])}: {i['msg']}" for i in error.errors(include_url=False)]
            raise Malformed(path, issues) from None
        except BadArchive as error:
            raise Malformed(path, [error.message]) from error

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the document's bytes with blank checksum: the checksum itself."""
        return Digest.parse(self.checksum)


def _place(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the document"


def check_checksum(data: bytes, path: object) -> None:
    """Raise unless `data` carries the SHA-256 of itself."""
    found = _CHECKSUM.search(data)
    if found is None:
        raise Malformed(path, ["it carries no checksum of itself"])
    blank = b"".join((data[: found.start(1)], _ZEROS.encode(), memoryview(data)[found.end(1) :]))
    actual = Digest.of(blank)
    expected = Digest(found.group(1).decode())
    if actual != expected:
        raise DigestMismatch(path, expected, actual)


def _check_files(entries: list[FileEntry]) -> None:
    try:
        for entry in entries:
            check_relative(entry.path)
        check_collisions(e.path for e in entries)
    except UnsafePath as error:
        raise ValueError(f"UnsafePath: {error.message}") from error


def _check_witness(witness: Witness, where: str, roles: dict[str, str], reference: list[ArraySpec]) -> None:
    """A witness that could not be judged must not look like one."""
    own = witness.kind != "margin"
    if roles.get(witness.file) != ("witness" if own else "reference"):
        raise ValueError(f"{where}: {witness.file!r} is no {'witness' if own else 'reference'} of the files")
    names = [spec.name for spec in witness.outputs]
    if own and sorted(names) != sorted(spec.name for spec in reference):
        raise ValueError(f"{where}: its outputs are not those of the reference")
    if not own and (not names or any(spec not in reference for spec in witness.outputs)):
        raise ValueError(f"{where}: its outputs are none of the reference's")


class Metadata(Document):
    """`metadata_<short>_v<N>.json`: one artifact."""

    created: Instant
    grid_size: Positive
    version: Positive
    framework: Framework
    model: Model
    files: list[FileEntry]
    inputs: list[ArraySpec]
    outputs: list[ArraySpec]
    copies: list[Copy]
    environment: EnvironmentRef
    profile: ProfileRecord
    training: Distance | None  # how far the training process's own outputs are
    machine: Machine
    seal: SealFacts
    tags: dict[str, str]
    notes: list[str]
    kept: list[Name] = []  # what was kept only on request: inexact, random, saturating
    witnesses: list[Witness] = []  # the one to be asked first stands first
    thresholds: dict[Threshold, Figure] = {}  # those that are not the toolkit's own
    proofs: list[Proof] = []  # other CPUs on which it was run while it was sealed
    emulators: list[EmulatorRecord] = []  # in the package store
    reference: Origin = Origin(origin="sealed")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_files(self.files)
        for emulator in self.emulators:
            check_relative(emulator.file)
        if unknown := {p.emulator for p in self.proofs if p.emulator} - {e.sha256 for e in self.emulators}:
            raise ValueError(f"proofs: made by {min(unknown)}, which is no emulator here")
        listed = {e.path for e in self.files}
        for file in [self.model.file, *(c.file for c in self.copies)]:
            if file not in listed:
                raise ValueError(f"{file!r} is named, but not among the files")
        if sum(e.role == "reference" for e in self.files) != 1:
            raise ValueError("files: there is not one reference among them")
        for kind, specs in (("input", self.inputs), ("output", self.outputs)):
            for index, spec in enumerate(specs):
                if spec.member != f"{kind}_{index}":
                    raise ValueError(f"{kind} {index} is member {spec.member!r}")
            if len({spec.name for spec in specs}) != len(specs):
                raise ValueError(f"{kind}s: two have one name")
        for k, witness in enumerate(self.witnesses):
            _check_witness(witness, f"witnesses[{k}]", {e.path: e.role for e in self.files}, self.outputs)
        return self

    def file(self, role: str) -> FileEntry:
        """The one file of that role. Raises KeyError."""
        for entry in self.files:
            if entry.role == role:
                return entry
        raise KeyError(role)


class PackageEntry(Record):
    """One file of the package store that an image is made of."""

    kind: Literal["wheel", "conda", "base", "conda-part"]
    name: Name
    version: str
    file: str
    size: Count
    sha256: Sha256


class EnvironmentRecord(Document):
    """`image.json`: one environment. Written last: an environment exists once this does."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    created: Instant
    lock_sha256: Sha256
    image: ImageIdentity
    packages: list[PackageEntry]
    files: list[FileEntry]
    builder: dict[str, str]
    left_out: list[list[str]]  # [distribution, why it is not in the environment]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_files(self.files)
        for package in self.packages:
            check_relative(package.file)
        return self

    @property
    def folder(self) -> str:
        """The environment's folder name: `<name>-<12 of the lock's SHA-256>`."""
        return f"{self.name}-{self.lock_sha256[:12]}"
