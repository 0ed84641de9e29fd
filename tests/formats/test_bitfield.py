from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.formats.bitfield import (
    all_bits,
    bits_from_wire,
    bits_to_wire,
    iter_bits,
    lowest_bit,
    random_bit,
    run_mask,
    without,
)

sets = st.sets(st.integers(0, 2000), max_size=100)


def bits_of(pieces: set[int]) -> int:
    return sum(1 << piece for piece in pieces)


def test_the_first_piece_is_the_high_bit_of_the_first_byte() -> None:
    assert bits_to_wire(0b1, 9) == b"\x80\x00"
    assert bits_to_wire(0b1_0000_0000, 9) == b"\x00\x80"
    assert bits_from_wire(b"\x40\x80", 9) == 0b1_0000_0010


@given(sets, st.integers(0, 20))
def test_a_set_survives_the_wire(pieces: set[int], more: int) -> None:
    count = max(pieces, default=-1) + 1 + more
    assert bits_from_wire(bits_to_wire(bits_of(pieces), count), count) == bits_of(pieces)


@given(st.binary(max_size=20), st.integers(0, 160))
def test_any_bytes_are_a_set_or_a_named_error(data: bytes, count: int) -> None:
    try:
        bits = bits_from_wire(data, count)
    except FormatError:
        assert len(data) != (count + 7) // 8 or data[-1] & (0xFF >> (count % 8 or 8))
    else:
        assert bits_to_wire(bits, count) == data


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        (b"\x00\x00", 8, "a bitfield of 2 bytes, where 8 pieces need 1"),
        (b"", 1, "a bitfield of 0 bytes, where 1 pieces need 1"),
        (b"\xff\x81", 9, "a bitfield of 9 pieces has spare bits set at the end: 10000001"),
    ],
)
def test_wrong_length_and_spare_bits_are_refused(data: bytes, count: int, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        bits_from_wire(data, count)
    assert str(caught.value) == message


@given(sets)
def test_iterating_gives_the_pieces_in_order(pieces: set[int]) -> None:
    assert list(iter_bits(bits_of(pieces))) == sorted(pieces)


@given(sets, sets)
def test_one_set_without_another_is_their_difference(pieces: set[int], others: set[int]) -> None:
    assert set(iter_bits(without(bits_of(pieces), bits_of(others)))) == pieces - others


@given(sets.filter(bool))
def test_the_lowest_piece_is_found(pieces: set[int]) -> None:
    assert lowest_bit(bits_of(pieces)) == min(pieces)


@given(st.integers(0, 200), st.integers(0, 200))
def test_runs_and_all(start: int, count: int) -> None:
    assert set(iter_bits(run_mask(start, count))) == set(range(start, start + count))
    assert set(iter_bits(all_bits(count))) == set(range(count))


@given(sets.filter(bool), st.randoms(use_true_random=False))
def test_a_random_piece_is_one_of_the_set(pieces: set[int], rng: random.Random) -> None:
    assert random_bit(bits_of(pieces), rng) in pieces


def test_every_piece_is_as_likely_as_the_others() -> None:
    rng = random.Random(7)
    pieces = [0, 1, 2, 63, 64, 4000]
    counts = dict.fromkeys(pieces, 0)
    for _ in range(6000):
        counts[random_bit(bits_of(set(pieces)), rng)] += 1
    assert all(900 < count < 1100 for count in counts.values())
