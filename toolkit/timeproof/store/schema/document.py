"""What every document of an archive has: strict records, a schema version, a checksum of itself. No IO here.

`parse(d.to_bytes()) == d` for every document `d`. The checksum is the SHA-256 of the document with the
checksum's own digits read as zeros, so that a flipped bit is found before the document is believed.
Unknown fields survive a round trip.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from timeproof.base import strictjson
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, DigestMismatch, Malformed
from timeproof.store.schema import migrations
from timeproof.store.schema.records import Record

_ZEROS = "0" * 64
_CHECKSUM = re.compile(rb'"checksum": "sha256:([0-9a-f]{64})"')

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
OciDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=LIMITS.integer)]
Positive = Annotated[int, Field(ge=1, le=LIMITS.integer)]
Instant = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
Name = Annotated[str, Field(min_length=1, max_length=1024)]
JsonObject = dict[str, Any]


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
        value = migrations.upgrade(strictjson.loads(data, path), path, newest=cls.known_schema)
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
    match = _CHECKSUM.search(data)
    if match is None:
        raise Malformed(path, ["it carries no checksum of itself"])
    blank = b"".join((data[: match.start(1)], _ZEROS.encode(), memoryview(data)[match.end(1) :]))
    actual = Digest.of(blank)
    expected = Digest(match.group(1).decode())
    if actual != expected:
        raise DigestMismatch(path, expected, actual)
