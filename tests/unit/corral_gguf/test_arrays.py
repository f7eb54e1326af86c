"""Finding strings fast is the same as walking them."""

import struct

import pytest
from hypothesis import given, settings, strategies as st

from corral_gguf.arrays import Array, encode_strings, string_starts
from corral_gguf.constants import ValueType

WORDS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"", b"\0", b"\0" * 9, b"a\0", b"\0b", b"x" * 255, b"x" * 256, b"y" * 70_000, b"\n\0\0\0\0\0\0\0"]
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, max_size=12), st.lists(WORDS, max_size=12), st.integers(0, 1500), st.binary(max_size=20))
def test_the_fast_search_agrees_with_plain_walking(
    front: list[bytes], back: list[bytes], n_plain: int, tail: bytes
) -> None:
    strings = [*front, *(b"%d" % number for number in range(n_plain)), *back]
    raw = encode_strings(strings)
    starts = string_starts(memoryview(b"ab" + raw + tail), 2, len(strings))
    assert starts is not None
    expected, position = [2], 2
    for text in strings:
        position += 8 + len(text)
        expected.append(position)
    assert list(starts) == expected
    values = Array(ValueType.STRING, raw, len(strings)).tolist()
    assert [value.encode("utf-8", "surrogateescape") for value in values] == strings


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1200), st.integers(0, 30), st.integers(1, 2000))
def test_strings_that_do_not_fit_are_refused(n_good: int, cut: int, n_more: int) -> None:
    raw = encode_strings([b"word"] * n_good)
    data = memoryview(raw[: max(0, len(raw) - cut)] + struct.pack("<Q", 1 << 63))
    assert string_starts(data, 0, n_good + n_more) is None


def test_numbers_are_decoded_and_compare_like_lists() -> None:
    array = Array(ValueType.INT32, struct.pack("<3i", 1, -2, 3), 3)
    assert array == [1, -2, 3]
    assert array == (1, -2, 3)
    assert array != [1, -2]
    assert array != "abc"
    assert array[1] == -2
    assert array[1:] == [-2, 3]
    assert list(array) == [1, -2, 3]
    assert repr(array) == "Array(int32, 3 elements)"


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xc3", "né".encode()])
def test_bytes_that_are_not_utf8_survive(text: bytes) -> None:
    for count in (1, 600):
        values = Array(ValueType.STRING, encode_strings([text] * count), count).tolist()
        assert [value.encode("utf-8", "surrogateescape") for value in values] == [text] * count
