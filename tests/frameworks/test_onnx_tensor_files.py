"""ONNX's data files against the onnx package's own writer, and against files that nobody vouches for."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.laws import examples
from support.onnx_bytes import message, number, text, varint

from timeproof.frameworks.imports import BadData
from timeproof.frameworks.onnx import tensor_files
from timeproof.frameworks.onnx.probe import elements

onnx = pytest.importorskip("onnx")
ml_dtypes = pytest.importorskip("ml_dtypes")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

NARROW = {
    "bfloat16": "bfloat16",
    "float8e4m3fn": "float8_e4m3fn",
    "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2",
    "float8e5m2fnuz": "float8_e5m2fnuz",
    "float8e8m0": "float8_e8m0fnu",
    "float4e2m1": "float4_e2m1fn",
}
SMALL = {"int4": "int4", "uint4": "uint4", "int2": "int2", "uint2": "uint2"}
PLAIN = st.one_of(
    hnp.floating_dtypes(endianness="<", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="<", sizes=(64, 128)),
    hnp.integer_dtypes(endianness="<"),
    hnp.unsigned_integer_dtypes(endianness="<"),
    hnp.boolean_dtypes(),
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@given(PLAIN.flatmap(lambda d: hnp.arrays(d, SHAPES)))
def test_what_onnx_writes_is_read_back_to_the_byte(array):
    found = tensor_files.tensor(numpy_helper.from_array(array, "x").SerializeToString())
    assert found.name == "x"
    assert same(found.array, array)


@examples(60)
@given(PLAIN.flatmap(lambda d: hnp.arrays(d, SHAPES)))
def test_elements_in_fields_of_their_own_type_are_the_same(array):
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    proto = helper.make_tensor("x", kind, array.shape, array.ravel().tolist())
    assert not proto.raw_data
    expected = numpy_helper.to_array(proto)
    assert same(tensor_files.tensor(proto.SerializeToString()).array, expected.astype(array.dtype))


@given(hnp.arrays(object, SHAPES, elements=st.text(st.characters(exclude_categories=["Cs"]), max_size=9)))
def test_strings_are_read_back(array):
    proto = TensorProto(data_type=TensorProto.STRING, dims=array.shape)
    proto.string_data.extend(s.encode() for s in array.ravel())
    data = proto.SerializeToString()
    if any(item.endswith("\0") for item in array.ravel()):
        with pytest.raises(BadData, match="NUL"):
            tensor_files.tensor(data)
        return
    found = tensor_files.tensor(data).array
    assert found.shape == array.shape
    assert found.tolist() == array.astype(str).tolist()


@pytest.mark.parametrize("name", NARROW)
def test_every_value_of_a_small_float_is_a_float32(name):
    element = elements.BY_NAME[name]
    bits = np.arange(1 << min(element.bits, 16)).astype(element.stored)
    expected = bits.view(getattr(ml_dtypes, NARROW[name])).astype(np.float32)
    found = elements.widened(bits, element)
    assert found.dtype == np.float32
    assert ((found == expected) | (np.isnan(found) & np.isnan(expected))).all()
    assert (np.signbit(found) == np.signbit(expected))[~np.isnan(expected)].all()


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
@pytest.mark.parametrize("name", [*NARROW, *SMALL])
def test_types_that_numpy_lacks_are_read_as_their_bits(name, typed):
    element = elements.BY_NAME[name]
    theirs = getattr(ml_dtypes, {**NARROW, **SMALL}[name])
    values = np.arange(7).astype(np.float32 if name in NARROW else np.int8) % 4 - (name == "int2")
    if name == "float8e8m0":
        values = 2**values  # it holds powers of two alone
    array = values.astype(theirs)
    if typed:
        proto = helper.make_tensor("x", element.number, [7], array.tolist())
    else:
        proto = numpy_helper.from_array(array, "x")
    found = tensor_files.tensor(proto.SerializeToString())
    assert found.element == element
    assert element.foreign
    if name in NARROW:
        assert elements.widened(found.array, element).tolist() == array.astype(np.float32).tolist()
    else:
        assert found.array.tolist() == array.astype(np.int8).tolist()


@given(st.sampled_from([*SMALL, "float4e2m1"]), st.lists(st.integers(0, 255), max_size=30))
def test_packing_undoes_unpacking(name, data):
    element = elements.BY_NAME[name]
    flat = np.array(data, np.uint8)
    count = len(data) * 8 // element.bits
    assert elements.packed(elements.unpacked(flat, element, count), element).tolist() == data


def test_sequences_and_optionals_are_read():
    one, two = (numpy_helper.from_array(np.arange(n, dtype=np.int64), str(n)) for n in (1, 2))
    sequence = helper.make_sequence("s", onnx.SequenceProto.TENSOR, [one, two])
    assert [t.array.tolist() for t in tensor_files.sequence(sequence.SerializeToString())] == [[0], [0, 1]]
    assert tensor_files.sequence(b"") == []
    optional = helper.make_optional("o", onnx.OptionalProto.TENSOR, one)
    found = tensor_files.optional(optional.SerializeToString())
    assert isinstance(found, tensor_files.Tensor)
    assert found.array.tolist() == [0]
    optional = helper.make_optional("o", onnx.OptionalProto.SEQUENCE, sequence)
    assert len(tensor_files.optional(optional.SerializeToString())) == 2
    assert (
        tensor_files.optional(
            helper.make_optional("o", onnx.OptionalProto.UNDEFINED, None).SerializeToString()
        )
        is None
    )


FLOATS = number(2, 1)  # data_type FLOAT
HOSTILE = {
    "nothing at all": (b"", "element type of the number 0"),
    "a type from the future": (number(2, 999), "number 999"),
    "2**62 elements": (number(1, 2**62) + FLOATS + message(9, b"\0" * 8), "which no array has"),
    "2**40 by 2**40": (number(1, 2**40) * 2 + FLOATS, "which no array has"),
    "a shape whose size overflows": (number(1, 2**32) * 2 + FLOATS + message(9), "which no array has"),
    "2**62 and none": (number(1, 2**62) + number(1, 0) + FLOATS, "which no array has"),
    "a negative dimension": (number(1, -1) + FLOATS, "a dimension of -1"),
    "packed dimensions, negative": (message(1, varint(-3)) + FLOATS, "a dimension of -3"),
    "40 dimensions": (number(1, 1) * 40 + FLOATS, "more than 32 dimensions"),
    "100 MB declared": (number(1, 25 * 2**20) + FLOATS + message(9, b"\0" * 8), "8 bytes of float"),
    "a length beyond the end": (number(1, 2) + FLOATS + b"\x4a\x80\x80\x80\x32" + b"\0" * 8, "cut off"),
    "too few raw bytes": (number(1, 3) + FLOATS + message(9, b"\0" * 11), "11 bytes of float"),
    "too many raw bytes": (number(1, 3) + FLOATS + message(9, b"\0" * 13), "13 bytes of float"),
    "elements in two fields": (
        number(1, 1) + FLOATS + message(9, b"\0" * 4) + message(4, b"\0" * 4),
        "several",
    ),
    "elements in the wrong field": (number(1, 1) + FLOATS + message(7, b"\0"), "in field 7"),
    "raw strings": (number(1, 1) + number(2, 8) + message(9, b"\0" * 4), "in field 9"),
    "a string that is not UTF-8": (number(1, 1) + number(2, 8) + message(6, b"\xff"), "not UTF-8"),
    "a number that is cut off": (number(1, 1) + number(2, 7) + message(7, b"\x80"), "cut off"),
    "a number of eleven bytes": (number(1, 1) + number(2, 7) + message(7, b"\x80" * 10 + b"\0"), "too long"),
    "a number beyond its type": (number(1, 1) + number(2, 2) + message(5, varint(256)), "no uint8"),
    "a bool of 2": (number(1, 1) + number(2, 9) + message(5, b"\2"), "neither 0 nor 1"),
    "a raw bool of 2": (number(1, 1) + number(2, 9) + message(9, b"\2"), "neither 0 nor 1"),
    "a segment": (number(1, 1) + FLOATS + message(3, number(1, 0)), "segment"),
    "external data": (
        number(1, 1) + FLOATS + message(13, text(1, "location"), text(2, "../x")),
        "another file",
    ),
    "marked external": (number(1, 1) + FLOATS + number(14, 1), "another file"),
    "one long string of many": (
        number(1, 50_000) + number(2, 8) + message(6, b"x" * 100_000) + message(6) * 49_999,
        "unequal length",
    ),
    "a dimension of four bytes": (b"\r\0\0\0\0", "field 1 of wire type 5"),
    "floats as numbers": (number(1, 1) + FLOATS + number(4, 0), "field 4 of wire type 0"),
    "a group": (b"\x0b", "wire type 3"),
    "a field of number 0": (b"\x00\x00", "field number 0"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_tensor_is_refused_by_name(what):
    data, why = HOSTILE[what]
    with pytest.raises(BadData, match=why):
        tensor_files.tensor(data)


@examples(300)
@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_else(data):
    for read in (tensor_files.tensor, tensor_files.sequence, tensor_files.optional):
        with suppress(BadData):
            read(data)


@examples(200)
@given(st.integers(0, 10**9), st.integers(0, 7))
def test_a_flipped_bit_or_a_cut_gives_a_tensor_or_a_refusal(place, bit):
    whole = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "x").SerializeToString()
    flipped = bytearray(whole)
    flipped[place % len(whole)] ^= 1 << bit
    for data in (bytes(flipped), whole[: place % len(whole)]):
        try:
            found = tensor_files.tensor(data)
        except BadData:
            continue
        assert found.array.nbytes <= 8 * len(whole)
