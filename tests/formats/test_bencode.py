from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.bencode import (
    MAX_DEPTH,
    MAX_INTEGER_DIGITS,
    BencodeError,
    Value,
    decode,
    decode_dict_spans,
    decode_prefix,
    encode,
)

integers = st.integers(min_value=-(10**MAX_INTEGER_DIGITS) + 1, max_value=10**MAX_INTEGER_DIGITS - 1)
values: st.SearchStrategy[Value] = st.recursive(
    integers | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.binary(max_size=8), inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_what_is_encoded_decodes_to_the_same(value: Value) -> None:
    assert decode(encode(value)) == value


@given(values, st.sampled_from([bytes, bytearray, memoryview]))
def test_any_kind_of_buffer_will_do(value: Value, buffer: Callable[[bytes], bytes]) -> None:
    assert decode(buffer(encode(value))) == value


@given(st.binary(max_size=60))
def test_only_the_canonical_form_is_accepted(data: bytes) -> None:
    try:
        value = decode(data)
    except BencodeError as error:
        assert 0 <= error.position <= len(data)
    else:
        assert encode(value) == data


@given(values)
def test_no_beginning_of_a_value_is_a_value(value: Value) -> None:
    data = encode(value)
    for length in range(len(data)):
        with pytest.raises(BencodeError):
            decode(data[:length])


@given(values, st.binary(max_size=20))
def test_a_prefix_ends_where_its_value_ends(value: Value, tail: bytes) -> None:
    data = encode(value)
    assert decode_prefix(data + tail) == (value, len(data))
    assert decode_prefix(b"xyz" + data + tail, start=3) == (value, len(data) + 3)


@given(values, st.binary(min_size=1, max_size=20))
def test_trailing_bytes_are_refused_unless_allowed(value: Value, tail: bytes) -> None:
    data = encode(value) + tail
    assert decode(data, allow_trailing=True) == value
    with pytest.raises(BencodeError) as caught:
        decode(data)
    assert caught.value.position == len(data) - len(tail)


@given(st.dictionaries(st.binary(max_size=8), values, max_size=5), st.binary(max_size=9))
def test_spans_are_the_bytes_of_the_values(value: dict[bytes, Value], tail: bytes) -> None:
    data = encode(value)
    decoded, spans = decode_dict_spans(data + tail)
    assert decoded == value
    assert {key: data[start:end] for key, (start, end) in spans.items()} == {
        key: encode(held) for key, held in value.items()
    }


def test_text_and_tuples_encode_as_strings_and_lists() -> None:
    assert encode({"ä": ("b", 1), b"a": {}}) == "d1:ade2:äl1:bi1eee".encode()


@pytest.mark.parametrize("value", [True, None, 1.5, [False], {1: 2}, {"a": None}])
def test_what_bencode_lacks_is_a_bug_of_the_caller(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "byte 0: the data ends where a value, a key or an 'e' should be"),
        (b"l", "byte 1: the data ends where a value, a key or an 'e' should be"),
        (b"i007e", "byte 0: integer '007' is not canonical"),
        (b"i-0e", "byte 0: integer '-0' is not canonical"),
        (b"i-e", "byte 0: integer '-' is not a number"),
        (b"i 1e", "byte 0: integer ' 1' is not a number"),
        (b"i1_0e", "byte 0: integer '1_0' is not a number"),
        (b"li1e-", "byte 4: '-' begins no string or value"),
        (b"03:abc", "byte 0: string length '03' is not canonical"),
        (b"5:abc", "byte 0: a string of 5 bytes, but 3 are left"),
        (b"5abc", "byte 0: '5abc' is not a string's length and ':'"),
        (b"d1:bi0e1:ai0ee", "byte 7: key 'a' comes after 'b', but keys are sorted"),
        (b"d1:ai0e1:ai0ee", "byte 7: key 'a' comes twice"),
        (b"d1:ae", "byte 4: 'e' begins no string or value"),
        (b"di1ei2ee", "byte 1: 'i' begins no string or value"),
        (b"l\x00e", r"byte 1: '\x00' begins no string or value"),
        (b"lel", "byte 2: the value ends here, the data does not (bytes left: 1)"),
    ],
)
def test_an_error_says_where_and_what(data: bytes, message: str) -> None:
    with pytest.raises(BencodeError) as caught:
        decode(data)
    assert str(caught.value) == message
    assert message.startswith(f"byte {caught.value.position}: {caught.value.reason}")


def test_unsorted_keys_are_accepted_where_asked_for_but_never_a_key_twice() -> None:
    assert decode(b"d1:bi0e1:ai1ee", allow_unsorted=True) == {b"b": 0, b"a": 1}
    with pytest.raises(BencodeError, match="byte 13: key 'b' comes twice"):
        decode(b"d1:bi0e1:ai1e1:bi2ee", allow_unsorted=True)


def test_depth_has_a_limit_and_costs_no_stack() -> None:
    deepest = b"l" * MAX_DEPTH + b"e" * MAX_DEPTH
    assert encode(decode(deepest)) == deepest
    with pytest.raises(BencodeError, match=f"byte {MAX_DEPTH}: nested deeper than {MAX_DEPTH}"):
        decode(b"l" * 100_000 + b"e" * 100_000)
    with pytest.raises(BencodeError, match="byte 5: nested deeper than 2"):
        decode(b"d1:alleee", max_depth=2)


def test_encoding_costs_no_stack_either() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    assert encode(value) == b"l" * 100_001 + b"e" * 100_001


def test_the_count_of_values_has_a_limit_that_keys_count_against() -> None:
    assert decode(b"d1:ai0ee", max_items=3) == {b"a": 0}
    with pytest.raises(BencodeError, match="byte 4: more than 2 values and keys"):
        decode(b"d1:ai0ee", max_items=2)


def test_endless_digits_are_refused_before_they_are_read() -> None:
    digits = b"9" * 64_000_000
    started_at = time.process_time()
    for data in (b"i" + digits, b"i-" + digits + b"e", digits + b":"):
        with pytest.raises(BencodeError):
            decode(memoryview(data)[:5_000_000])
    assert time.process_time() - started_at < 1
    assert decode(b"i" + b"9" * MAX_INTEGER_DIGITS + b"e") == 10**MAX_INTEGER_DIGITS - 1
    with pytest.raises(BencodeError, match="has no end within"):
        decode(b"i" + b"9" * (MAX_INTEGER_DIGITS + 1) + b"e")


def test_a_dict_with_spans_must_be_a_dict() -> None:
    with pytest.raises(BencodeError, match="byte 0: not a dictionary"):
        decode_dict_spans(b"le")
