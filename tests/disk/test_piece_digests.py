"""Digests of pieces: which are bad is found, wherever in the file they came."""

from __future__ import annotations

import hashlib
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk.faults import MissingDataError
from shoal.disk.piece_digests import PieceChecker, PieceDigests
from shoal.errors import FormatError
from shoal.formats.bitfield import iter_bits
from shoal.formats.digests import DIGEST_LENGTHS

SIZE = 1000
GOOD = random.Random(2).randbytes(10 * SIZE + 1)


def digests_of(data: bytes, piece_length: int = SIZE, name: str = "sha-256") -> PieceDigests:
    starts = range(0, len(data), piece_length)
    digests = tuple(
        hashlib.new(name.replace("-", ""), data[at : at + piece_length]).digest() for at in starts
    )
    return PieceDigests.of(name, piece_length, len(data), digests)


def never() -> bool:
    return False


def reader_of(data: bytes | bytearray) -> object:
    def read(offset: int, buffer: memoryview) -> None:
        buffer[:] = data[offset : offset + len(buffer)]

    return read


@pytest.mark.parametrize("name", DIGEST_LENGTHS)
@given(data=st.binary(max_size=300), piece_length=st.integers(1, 90), wrong=st.sets(st.integers(0, 299)))
def test_exactly_the_pieces_with_a_wrong_byte_are_bad(
    name: str, data: bytes, piece_length: int, wrong: set[int]
) -> None:
    wrong = {at for at in wrong if at < len(data)}
    came = bytearray(data)
    for at in wrong:
        came[at] ^= 1
    expected = digests_of(data, piece_length, name)
    checker = PieceChecker(reader_of(came), expected)  # type: ignore[arg-type]
    for piece in range(expected.layout.piece_count):
        checker.judge(piece)
    checker.wait(never)
    bad = {at // piece_length for at in wrong}
    assert set(checker.take_wrong()) == bad
    assert set(iter_bits(checker.good_bits)) == set(range(expected.layout.piece_count)) - bad
    checker.close()


def test_a_piece_that_was_wrong_is_good_when_it_came_again() -> None:
    came = bytearray(GOOD)
    came[3500] ^= 1
    told = threading.Event()
    checker = PieceChecker(reader_of(came), digests_of(GOOD), told.set)  # type: ignore[arg-type]
    checker.judge(3)
    assert told.wait(30)
    checker.wait(never)
    assert (checker.take_wrong(), checker.take_wrong(), checker.good_bits) == ([3], [], 0)
    came[3500] ^= 1
    checker.judge(3)
    checker.wait(never)
    assert (checker.take_wrong(), checker.good_bits) == ([], 1 << 3)
    checker.close()


def test_who_waits_can_be_stopped() -> None:
    may_read = threading.Event()

    def read(_: int, buffer: memoryview) -> None:
        may_read.wait(30)

    checker = PieceChecker(read, digests_of(GOOD))
    checker.judge(0)
    checker.wait(lambda: True)
    assert checker.good_bits == 0
    may_read.set()
    checker.close()


def test_the_bytes_of_a_piece_are_told() -> None:
    digests = digests_of(GOOD)
    assert digests.span(3) == (3000, 4000)
    assert digests.span(10) == (10_000, 10_001)


def test_what_reading_raises_is_raised_to_who_asks_what_is_wrong() -> None:
    def read(_: int, buffer: memoryview) -> None:
        raise MissingDataError("it is gone")

    checker = PieceChecker(read, digests_of(GOOD))
    checker.judge(0)
    checker.wait(never)
    with pytest.raises(MissingDataError):
        checker.take_wrong()
    checker.close()


@pytest.mark.parametrize(
    ("name", "piece_length", "length", "digests"),
    [
        ("sha-256", SIZE, 2 * SIZE, (bytes(32),)),
        ("sha-256", SIZE, SIZE, (bytes(20),)),
        ("sha-256", 0, SIZE, (bytes(32),)),
        ("crc", SIZE, SIZE, (bytes(4),)),
    ],
)
def test_digests_that_do_not_fit_the_file_are_refused(
    name: str, piece_length: int, length: int, digests: tuple[bytes, ...]
) -> None:
    with pytest.raises(FormatError, match="digests"):
        PieceDigests.of(name, piece_length, length, digests)
