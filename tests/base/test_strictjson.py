"""Strict JSON: what goes out comes back, and nothing doubtful comes in."""

from __future__ import annotations

import json
import time
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.laws import examples

from timeproof.base import strictjson
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, Limit, Malformed

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-LIMITS.integer, LIMITS.integer)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


def loads(data: bytes, **how: Any) -> Any:
    return strictjson.loads(data, "m.json", **how)


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    data = strictjson.dumps(value)
    assert loads(data) == value
    assert strictjson.dumps(loads(data)) == data
    assert loads(strictjson.compact(value).encode("ascii")) == value
    assert "\n" not in strictjson.compact(value)


def test_the_spelling_is_fixed() -> None:
    assert strictjson.dumps({"b": [1, 2.5], "a": "ä"}) == (
        '{\n  "b": [\n    1,\n    2.5\n  ],\n  "a": "ä"\n}\n'.encode()
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")], {"a": float("nan")}])
def test_nan_and_infinity_are_never_written(value: Any) -> None:
    for write in (strictjson.dumps, strictjson.compact):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '{"a": NaN}', "[1, -Infinity]"])
def test_nan_and_infinity_are_refused(text: str) -> None:
    with pytest.raises(Malformed, match="is not JSON"):
        loads(text.encode())


@pytest.mark.parametrize("text", ["1e999", "-1e999", "[1e400]", "9" * 30 + "e300"])
def test_a_number_that_overflows_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="overflows"):
        loads(text.encode())


@pytest.mark.parametrize(
    "text", ["9" * 5000, "-" + "9" * 5000, "0." + "9" * 5000, "1" + "0" * 41, "1e" + "1" * 60]
)
def test_a_number_of_too_many_digits_goes_beyond_a_limit(text: str) -> None:
    with pytest.raises(Limit, match="digits"):
        loads(text.encode())


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63, -(2**63), 2**64])
def test_an_integer_that_some_reader_would_round_goes_beyond_a_limit(number: int) -> None:
    with pytest.raises(Limit, match=r"2\*\*53"):
        loads(b"%d" % number)


@pytest.mark.parametrize("number", [2**53, -(2**53), 0, -1])
def test_an_integer_that_every_reader_holds_is_read(number: int) -> None:
    assert loads(b"%d" % number) == number


@pytest.mark.parametrize(
    "text",
    ['{"digest": 1, "digest": 1}', '[{"a": {"b": 1, "c": 2, "b": 3}}]', r'{"a": 1, "\u0061": 2}'],
)
def test_a_key_that_stands_twice_is_refused_and_named(text: str) -> None:
    with pytest.raises(Malformed, match=r"the key '(digest|a|b)' stands twice"):
        loads(text.encode())


def test_a_long_key_is_not_repeated_at_length() -> None:
    key = b'"' + b"k" * 1_000_000 + b'": 1'
    with pytest.raises(Malformed) as caught:
        loads(b"{" + key + b", " + key + b"}")
    assert len(str(caught.value)) < 300


def test_the_same_key_in_two_objects_is_fine() -> None:
    assert loads(b'[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 200_000,
        b"[{" * 100_000,
        b'"' + b"x" * 100 + b'"' + b"[" * 200_000,
    ],
)
def test_deep_nesting_goes_beyond_a_limit(data: bytes) -> None:
    with pytest.raises(Limit, match="levels of nesting"):
        loads(data)


def test_nesting_up_to_the_limit_is_read() -> None:
    deep = b"[" * LIMITS.json_depth + b"]" * LIMITS.json_depth
    assert loads(deep)
    with pytest.raises(Limit, match=f"{LIMITS.json_depth + 1} levels"):
        loads(b"[" + deep + b"]")


def test_brackets_in_strings_are_no_nesting() -> None:
    for text in ("[" * 1000, '"' + "[" * 1000, "\\" + "[" * 1000, '\\"' * 500 + "{" * 100):
        assert loads(strictjson.dumps([text])) == [text]


@pytest.mark.parametrize(
    "data",
    [
        b'"' + b'\\"' * 200_000,
        b'"\\' * 200_000,
        b'"' * 400_001,
        b'"' + b"\\" * 400_001,
        b'"' + b"x" * 400_000,
    ],
)
def test_strings_that_never_end_are_refused_in_linear_time(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(Malformed):
        loads(data)
    assert time.process_time() - started < 30  # seconds of CPU; one attempt at each quote took minutes


@pytest.mark.parametrize(
    "text", [r'"\ud800"', r'"\udfff"', r'{"\ud800": 1}', r'["a", "\udc00\ud800"]', r'"\uD800x"']
)
def test_an_escaped_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="lone surrogate"):
        loads(text.encode())


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    assert loads(rb'"\ud83d\ude00"') == "\U0001f600"
    assert loads(rb'"\\ud800"') == r"\ud800"


@pytest.mark.parametrize(
    "data", [b'"\xed\xa0\x80"', b'"\xff"', b'"\xc3"', b'"\xc0\x80"', '"a"'.encode("utf-16")]
)
def test_bytes_that_are_not_utf8_are_refused_with_their_place(data: bytes) -> None:
    with pytest.raises(Malformed, match=r"byte \d is not UTF-8"):
        loads(data)


def test_a_byte_order_mark_is_refused() -> None:
    with pytest.raises(Malformed, match="byte order mark"):
        loads(b"\xef\xbb\xbf{}")


NOT_JSON = ["{", "]", "[1,]", "{'a': 1}", "01", "+1", ".5", "1.", "0x10", "1_000", "nul", "// c", "٣", "None"]


@pytest.mark.parametrize("text", ["", " ", '"\t"', '"\x00"', "[1 2]", "[1] [2]", *NOT_JSON])
def test_what_is_not_json_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        loads(text.encode())


def test_too_many_bytes_go_beyond_a_limit_before_they_are_parsed() -> None:
    assert loads(b"[1, 2]", limit=6) == [1, 2]
    with pytest.raises(Limit, match="7 bytes of JSON, at most 6"):
        loads(b"[1, 22]", limit=6)
    with pytest.raises(Limit, match="bytes of JSON"):
        loads(b"[" * (LIMITS.json_bytes + 1))


@given(
    st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ue0123456789.-+ntfalsr', max_size=60).map(str.encode)
)
@examples(400)
def test_any_bytes_give_a_value_or_one_of_two_errors(data: bytes) -> None:
    try:
        value = loads(data)
    except (Malformed, Limit):
        return
    assert loads(strictjson.dumps(value)) == value


def test_the_message_names_the_file() -> None:
    with pytest.raises(Malformed, match=r"^grid-size-8/m\.json is malformed: "):
        strictjson.loads(b"{", "grid-size-8/m.json")


# Pieces that make a document doubtful, odd, or only differently spelled.
PIECES = [b"NaN", b"1e999", b"-0", b"1e-7", b"1e-07", b"1e-007", b"1E5", b"1e+16", b"1.50", b"0" * 50]
PIECES += [b"9007199254740993", b"18446744073709551615", b"1." + b"1" * 50, b'"e-07": ":"', b"[" * 70]
PIECES += [
    b'"\\ud800"',
    b'"\\u0041"',
    b'"\\u0000"',
    b'"\xff"',
    b"\\",
    b"\\/",
    b"\x00",
    b"\x7f",
    b"\xef\xbb\xbf",
]
PIECES += [b"{}", b"[]", b"[ ]", b",", b" ", b"\n", b"0", b'"', b"tru"]


@st.composite
def spellings(draw: st.DrawFn) -> bytes:
    """A document as we spell it, then some of it taken out, put in, or put in again."""
    keys = st.sampled_from(["a", "b", "e-07", ":", '"', "ä"]) | TEXT
    floats = st.sampled_from([1e-07, 5e-324, 1e16, -0.0, 1e22, 0.1]) | st.floats(allow_nan=False)
    inner = st.dictionaries(keys, floats | VALUES, max_size=4)
    value = draw(st.dictionaries(keys, inner | floats | VALUES, min_size=1, max_size=5))
    data = json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
    for _ in range(draw(st.integers(0, 2))):
        lines = data.splitlines(keepends=True)
        k = draw(st.integers(1, len(lines)))
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.sampled_from([0, 0, 1, 5]))
        data = draw(
            st.sampled_from(
                [
                    b"".join([*lines[:k], *lines[k - 1 :]]),  # a line that stands twice
                    data[:at] + draw(st.sampled_from(PIECES)) + data[end:],
                    data.replace(b": ", b": " + draw(st.sampled_from(PIECES)) + b",", 1),
                ]
            )
        )
    return data


def outcome(data: bytes) -> tuple[str, str]:
    try:
        return "read", repr(loads(data))  # what is 1, 1.0 or True, and the order of keys, stands in it
    except BadArchive as error:
        return error.kind, error.message


@examples(400)
@given(spellings())
def test_the_fast_parser_reads_what_the_slow_one_reads_and_refuses_what_it_refuses(data: bytes) -> None:
    fast = outcome(data)
    with mock.patch.object(strictjson, "_as_we_spell_it", return_value=None):
        assert outcome(data) == fast


@pytest.mark.parametrize(
    "value", [{"a": 1}, {"a": {"b": [1.5, 5e-08, -1e-06, None, True, '\x1f\n"\\ä']}, "c": []}]
)
def test_what_we_wrote_needs_no_slow_parser(value: Any) -> None:
    with mock.patch.object(strictjson.json, "loads", None):
        assert repr(loads(strictjson.dumps(value))) == repr(value)


@pytest.mark.parametrize("levels", [LIMITS.json_depth, LIMITS.json_depth + 1])
def test_the_fast_parser_keeps_the_limit_of_nesting(levels: int) -> None:
    value: Any = 1
    for k in range(levels):
        value = [value] if k % 2 and k < levels - 1 else {"a": value}
    data = json.dumps(value, indent=2).encode() + b"\n"
    assert outcome(data)[0] == ("read" if levels <= LIMITS.json_depth else "Limit")
