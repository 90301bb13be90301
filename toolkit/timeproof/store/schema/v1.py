"""What stands in `metadata_*.json` and `image.json`: schema version 1. No IO here.

The spelling, the checksum and how unknown fields are kept: see `document`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from timeproof.base.paths import check_collisions, check_relative
from timeproof.errors import UnsafePath
from timeproof.store.package_paths import check_file_name
from timeproof.store.schema.document import (
    Count,
    Document,
    Instant,
    JsonObject,
    Name,
    OciDigest,
    Positive,
    Sha256,
)
from timeproof.store.schema.records import (
    ArrayDistance,
    Distance,
    Machine,
    Record,
    SealFacts,
    WitnessFacts,
    WitnessOptions,
)

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


def _check_files(entries: list[FileEntry]) -> None:
    try:
        for entry in entries:
            check_relative(entry.path)
        check_collisions(e.path for e in entries)
    except UnsafePath as error:
        raise ValueError(f"UnsafePath: {error.message}") from error


def _check_witness(witness: Witness, where: str, roles: dict[str, str], reference: list[ArraySpec]) -> None:
    """A witness that could not be judged must not look like one."""
    has_own_file = witness.kind != "margin"
    if roles.get(witness.file) != ("witness" if has_own_file else "reference"):
        raise ValueError(
            f"{where}: {witness.file!r} is no {'witness' if has_own_file else 'reference'} of the files"
        )
    names = [spec.name for spec in witness.outputs]
    if has_own_file and sorted(names) != sorted(spec.name for spec in reference):
        raise ValueError(f"{where}: its outputs are not those of the reference")
    if not has_own_file and (not names or any(spec not in reference for spec in witness.outputs)):
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
            check_file_name(emulator.file)
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
            check_file_name(package.file)
        return self

    @property
    def folder(self) -> str:
        """The environment's folder name: `<name>-<12 of the lock's SHA-256>`."""
        return f"{self.name}-{self.lock_sha256[:12]}"
