"""The one result of a regression, `report.json`: every other report renders it. No IO here.

`Report.parse(r.to_bytes()) == r`. A cell stands only where the environment holds the artifact's
framework; every other pair is `not_applicable`, and has no cell.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from timeproof.base import strictjson
from timeproof.base.limits import LIMITS
from timeproof.compare.verdict import Verdict
from timeproof.errors import Malformed, NewerSchema
from timeproof.store.schema.document import JsonObject
from timeproof.store.schema.records import Record

# JSON has no enumerations: strict everywhere else, a verdict's name is taken for the verdict.
Finding = Annotated[Verdict, Field(strict=False)]


class ReportedArtifact(Record):
    """One artifact: a row of the grid."""

    ref: str  # grid-size-8/pytorch/v1
    framework: str
    framework_version: str | None  # that it was made with
    python: str
    environment: str  # its own
    profile: str
    created: str
    origin: str = "sealed"  # or imported: the reference is somebody else's
    tags: dict[str, str] = Field(default_factory=dict)
    history: str = ""  # "identical up to LightGBM 3.3.5, refused by 4.0.0, …"


class ReportedEnvironment(Record):
    """One environment: a column of the grid."""

    name: str  # its folder in the archive: torch-2.13-0123456789ab
    title: str  # what people call it: torch-2.13
    frameworks: dict[str, str]  # name → version
    packages: dict[str, str]  # every package, python too → version
    dated: str | None  # the day before which it can't have existed: its youngest package
    created: str
    manifest: str
    platform: str
    source: str = ""  # where its image came from: engine, rebuilt, stored, registry
    failure: str = ""  # why it could not be had; its cells are lost


class Cell(Record):
    """One artifact in one environment."""

    artifact: str
    environment: str
    verdict: Finding
    reason: str  # one line; the loader's own words where it refused
    profile: str
    own: bool = False  # the environment that it was sealed in
    answer: str | None = None  # SHA-256 over the outputs that came back: equal answers, equal digests
    signal: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)  # of the framework inside, as it says itself
    difference: JsonObject | None = None  # OutputsDiff.to_json()
    facts: JsonObject = Field(
        default_factory=dict
    )  # what else is known: whether the file's bytes round-trip, the witness, …
    notes: list[str] = Field(default_factory=list)
    log: str = ""  # the tail of what was printed
    seconds: float = 0.0  # in the container
    attempts: int = 1
    machine: int = 0  # index into the report's machines
    baseline: Annotated[Verdict | None, Field(strict=False)] = None
    expected: str | None = None  # why this breakage was declared
    fails: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.artifact, self.environment

    @property
    def change(self) -> str:
        """Against the baseline: `new`, `same`, `worse` or `better`."""
        if self.baseline is None:
            return "new"
        if self.verdict is self.baseline:
            return "same"
        return "worse" if self.verdict > self.baseline else "better"


class Breakage(Record):
    """A breakage that was declared to be expected, and did not happen."""

    artifact: str  # as it was declared: a pattern
    environment: str
    reason: str
    found: str  # what was found instead


class Report(Record):
    """A whole regression."""

    kind: Literal["timeproof-regression"] = "timeproof-regression"
    schema_version: Literal[1] = Field(1, alias="schema")
    toolkit: str
    archive: str
    artifacts: list[ReportedArtifact]
    environments: list[ReportedEnvironment]
    cells: list[Cell]  # in the order of artifacts, then environments
    machines: list[JsonObject] = Field(default_factory=list)
    fail_on: str = ""  # the rule by which cells fail
    baseline: str | None = None  # what was compared with
    gone: list[Breakage] = Field(default_factory=list)
    absent: list[list[str]] = Field(
        default_factory=list
    )  # [artifact, environment] of the baseline that were not run
    passed: bool = False
    notes: list[str] = Field(default_factory=list)
    run: JsonObject = Field(
        default_factory=dict
    )  # started, seconds, workers, resumed: what may differ between two equal runs

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)  # and what Record has

    @cached_property
    def grid(self) -> dict[tuple[str, str], Cell]:
        """Every cell by (artifact, environment)."""
        return {c.key: c for c in self.cells}

    @property
    def command(self) -> str:
        """The command that made the report: `regress` or `replay`."""
        return "replay" if self.run.get("command") == "replay" else "regress"

    @property
    def counts(self) -> dict[str, int]:
        """How many cells have each verdict, the best first."""
        counts = Counter(c.verdict for c in self.cells)
        return {str(v): counts[v] for v in sorted(counts, key=lambda v: v.severity)}

    def to_bytes(self) -> bytes:
        return strictjson.dumps(self.model_dump(mode="json", by_alias=True))

    def stable(self) -> dict[str, Any]:
        """What two runs of one plan must agree on: all but times, attempts and the machine."""
        plain: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude={"run", "machines"})
        for cell in plain["cells"]:
            for volatile in ("seconds", "attempts", "machine", "log"):
                del cell[volatile]
            if isinstance(witness := cell["facts"].get("witness"), dict):
                witness.pop("seconds", None)
        for environment in plain["environments"]:
            del environment["source"]
        return plain

    @classmethod
    def parse(cls, data: bytes, path: object) -> Self:
        """Read a report. Raises Malformed, NewerSchema or Limit."""
        value = strictjson.loads(data, path, limit=LIMITS.report_bytes)
        if not isinstance(value, dict) or value.get("kind") != "timeproof-regression":
            raise Malformed(path, ["it is not a report of timeproof regress"])
        schema = value.get("schema")
        if isinstance(schema, int) and not isinstance(schema, bool) and schema > 1:
            raise NewerSchema(path, schema, 1)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            issues = [
                f"{'.'.join(map(str, i['loc']))}: {i['msg']}" for i in error.errors(include_url=False)[:20]
            ]
            raise Malformed(path, issues) from None
