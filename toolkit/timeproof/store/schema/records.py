"""The small records inside a metadata file: distances, machines, and what sealing found. No IO here.

Their fields may be absent, for archives are older than some of them, and an absent field stays absent: what
was read is spelled with the same fields again, those included that this toolkit does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

Number = int | float | str  # strict JSON has no NaN and no infinity: "NaN", "Infinity", "-Infinity"


class Record(BaseModel):
    """The base of all: strict types, frozen, and what a later toolkit adds is kept."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="allow", protected_namespaces=(), ser_json_inf_nan="constants"
    )  # NaN is refused when it is spelled; pydantic would make it null


class Facts(Record):
    """A record whose fields may all be absent; only those that were given are spelled."""

    @model_serializer(mode="wrap")
    def _spell_given(self, spell: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = spell(self)
        return {name: value for name, value in plain.items() if name in self.model_fields_set}


class ArrayDistance(Facts):
    """How far one output is from its reference. Null stands where there was nothing to measure.

    `docs/numerics.md` says what the figures mean.
    """

    verdict: str = ""
    reason: str = ""  # the one fact that decided
    dtype: str = ""
    shape: list[int] = []
    actual_dtype: str = ""
    actual_shape: list[int] = []
    differing: Number | None = None  # elements whose bytes differ
    worst: list[Number] | None = None  # the index of the farthest element
    max_abs: Number | None = None
    scale: Number | None = None  # the largest finite |reference|
    relative: Number | None = None
    sulp: Number | None = None
    max_ulp: Number | None = None
    rows: Number | None = None
    row_limit: Number | None = None
    rows_beyond: Number | None = None
    first_rows_beyond: list[Number] | None = None
    rows_off: Number | None = None
    beyond_onnx: Number | None = None
    nan_moved: Number | None = None
    inf_moved: Number | None = None
    nan_payloads: Number | None = None
    signed_zeros: Number | None = None
    flips: Number | None = None
    tie_flips: Number | None = None
    smallest_margin: Number | None = None
    histogram: list[Number] | None = None
    elements: Number | None = None
    fraction: Number | None = None


class Distance(Facts):
    """How far some outputs are from their references: the verdict, a sentence, and each output's figures."""

    verdict: str = ""
    reason: str = ""  # why nothing was measured
    summary: str = ""
    outputs: dict[str, ArrayDistance] = {}
    missing: list[str] = []
    extra: list[str] = []
    compared: dict[str, str] = {}  # of an interchange copy: the model's output → the copy's

    @property
    def sentence(self) -> str:
        """What was measured, or why nothing was."""
        return self.summary or self.reason


class Machine(Facts):
    """The machine on which an artifact was sealed, as the probe describes it."""

    cpu: str = ""
    flags: list[str] = []  # what the CPU can do, sorted
    kernel: str = ""
    libc: str = ""
    arch: str = ""

    @classmethod
    def read(cls, description: object) -> Self:
        """Read a description, which a container wrote; one that is not of this form is left out whole."""
        try:
            return cls.model_validate(description if isinstance(description, Mapping) else {})
        except ValidationError:
            return cls()


class SealFacts(Facts):
    """How an artifact was sealed. All absent where it was imported."""

    runs: int = 0
    seeds: list[int] = []
    seconds: list[Number] = []  # of each run, its container included
    toolkit: str = ""  # the version of timeproof


class WitnessFacts(Facts):
    """What was found of a witness when it was sealed."""

    distance: Distance | None = None  # the native answer's from it
    seconds: Number | None = None


class WitnessOptions(Facts):
    """How a witness is made: on which simulated CPU, by which emulator of the package store."""

    cpu: str = ""
    emulator: str = ""  # its SHA-256
