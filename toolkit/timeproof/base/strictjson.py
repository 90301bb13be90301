"""JSON as the archive writes and reads it: one spelling out, nothing doubtful in. No IO here.

`json.loads` alone accepts NaN, keeps the last of two equal keys, and raises RecursionError on deep
nesting; an archive that is read in ten years must not depend on such habits. Most of what is read is
spelled as we spell it, and there is nothing doubtful in that: it is read and spelled again by a fast
parser, and believed where the bytes are the same. All else, and every error, is the slow parser's.
"""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import Any, TypeAlias

import orjson

from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, Limit, Malformed

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# Possessive, and satisfied by the end of the data: a regex that backtracked, or tried again at each
# quote of a string that never ends, would take quadratic time (40 kB of escaped quotes: 5 seconds).
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_TOO_DEEP = b"\n" + b"  " * LIMITS.json_depth  # no string holds a line break: the indent tells the level
_OURS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_STRICT_INTEGER
_SHOWN = 80  # characters of a key that a message repeats


class _Doubt(ValueError):
    pass


def _depth(data: bytes) -> int:
    deepest = depth = 0
    for bracket in re.findall(rb"[\[{\]}]", _STRING.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                text = key if len(key) <= _SHOWN else key[:_SHOWN] + "…"
                raise _Doubt(f"the key {text!r} stands twice in one object")
            keys.add(key)
    return value


def _as_we_spell_it(data: bytes) -> Json:
    """The value of what `dumps` could have written; None where that is not certain.

    A key that stood twice, NaN, a number that no reader holds exactly: spelled again they are different,
    or can't be spelled. Only in a float's exponent that parser leaves out a zero: 5e-8, and ours is 5e-08;
    with the zeros left out on both sides, keys and strings still are the same in number and order.
    """
    if not (data.startswith(b"{\n  ") and data.endswith(b"\n}\n")) or _TOO_DEEP in data:
        return None
    try:
        value: Json = orjson.loads(data)
        again = orjson.dumps(value, option=_OURS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    if again != data and again.replace(b"e-0", b"e-") != data.replace(b"e-0", b"e-"):
        return None
    return value


def _constant(name: str) -> Json:
    raise _Doubt(f"{name} is not JSON")


def _integer(path: object, text: str) -> int:
    _check_digits(path, text)
    value = int(text)
    if abs(value) > LIMITS.integer:
        raise Limit(path, f"the number {value}, at most ±2**53")
    return value


def _floating(path: object, text: str) -> float:
    _check_digits(path, text)
    value = float(text)
    if not math.isfinite(value):
        raise _Doubt(f"the number {text} overflows")
    return value


def _check_digits(path: object, text: str) -> None:
    if len(text) > LIMITS.json_digits:
        raise Limit(path, f"a number of {len(text)} digits, at most {LIMITS.json_digits}")


def loads(data: bytes, path: object, *, limit: int = LIMITS.json_bytes) -> Any:
    """Parse UTF-8 JSON strictly into a `Json` value; `path` is only for the messages.

    Raises Malformed for duplicate keys, NaN, Infinity, numbers that overflow, lone surrogates and
    syntax errors; Limit for too many bytes, levels or digits.
    """
    if len(data) > limit:
        raise Limit(path, f"{len(data)} bytes of JSON, at most {limit}")
    if (spelled_alike := _as_we_spell_it(data)) is not None:
        return spelled_alike
    if (depth := _depth(data)) > LIMITS.json_depth:
        raise Limit(path, f"{depth} levels of nesting, at most {LIMITS.json_depth}")

    try:
        text = data.decode("utf-8")
        if text.startswith("\ufeff"):
            raise _Doubt("it starts with a byte order mark")
        value: Json = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_constant=_constant,
            parse_int=partial(_integer, path),
            parse_float=partial(_floating, path),
        )
        if r"\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except BadArchive:
        raise
    except UnicodeEncodeError:
        raise Malformed(path, ["a string holds a lone surrogate"]) from None
    except UnicodeDecodeError as error:
        raise Malformed(path, [f"byte {error.start} is not UTF-8"]) from None
    except RecursionError:
        raise Limit(path, "the nesting is too deep") from None
    except ValueError as error:
        raise Malformed(path, [str(error)]) from None
    return value


def dumps(value: object) -> bytes:
    """Spell `value` as the archive does: UTF-8, two spaces, keys as they come, a final newline.

    `loads(dumps(v)) == v` for every value that `loads` accepts. Raises ValueError for NaN and Infinity.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def compact(value: object) -> str:
    """Spell `value` on one line, ASCII only: for command lines and Dockerfiles."""
    return json.dumps(value, allow_nan=False)
