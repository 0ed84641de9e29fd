"""Digests of pieces: which are bad is found, wherever in the file they came."""

from __future__ import annotations

import hashlib
import random
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.disk.faults import MissingDataError
from shoal.disk.piece_digests import PieceChecker, PieceDigests
from shoal.errors import FormatError
from shoal.formats.bitfield import iter_bits
from shoal.formats.digests import DIGEST_LENGTHS
from shoal.units import MIB

SIZE = 1000
GOOD = random.Random(2).randbytes(10 * SIZE + 1)


def digests_of(data: bytes, piece_length: int = SIZE, name: str = "sha-256") -> PieceDigests:
    starts = range(0, len(data), piece_length)
    digests = tuple(
        hashlib.new(name.replace("-", ""), data[at : at + piece_length]).digest() for at in starts
    )
    return PieceDigests.of(name, piece_length, len(data), digests)


def reader_of(data: bytes | bytearray) -> object:
    def read(offset: int, buffer: memoryview) -> None:
        buffer[:] = data[offset : offset + len(buffer)]

    return read


@pytest.mark.parametrize("name", DIGEST_LENGTHS)
@settings(deadline=None)  # it waits for threads and disks
@given(data=st.binary(max_size=300), piece_length=st.integers(1, 90), wrong=st.sets(st.integers(0, 299)))
def test_exactly_the_pieces_with_a_wrong_byte_are_bad(
    name: str, data: bytes, piece_length: int, wrong: set[int]
) -> None:
    wrong = {at for at in wrong if at < len(data)}
    came = bytearray(data)
    for at in wrong:
        came[at] ^= 1
    checker = PieceChecker(reader_of(came), digests_of(data, piece_length, name))  # type: ignore[arg-type]
    bad = checker.finish()
    assert bad is not None
    assert set(iter_bits(bad)) == {at // piece_length for at in wrong}


@pytest.mark.parametrize("step", [1, 700, 1000, 1024, 3000])
def test_bad_pieces_are_known_while_the_rest_is_still_coming(step: int) -> None:
    came = bytearray(GOOD)
    came[3500] ^= 1
    came[8500] ^= 1
    checker = PieceChecker(reader_of(came), digests_of(GOOD))  # type: ignore[arg-type]
    starts = list(range(0, len(GOOD), step))
    random.Random(step).shuffle(starts)
    for begin in starts:
        if not begin <= 100 < begin + step:  # the first piece never becomes whole
            checker.on_bytes(begin, min(begin + step, len(GOOD)))
    deadline = time.monotonic() + 30
    while checker.bad_bits != (1 << 3 | 1 << 8) and time.monotonic() < deadline:
        threading.Event().wait(0.001)
    assert checker.bad_bits == 1 << 3 | 1 << 8
    assert checker.finish() == 1 << 3 | 1 << 8


def test_only_what_was_bad_is_looked_at_again() -> None:
    read: list[int] = []

    def reading(offset: int, buffer: memoryview) -> None:
        read.append(offset)
        buffer[:] = GOOD[offset : offset + len(buffer)]

    checker = PieceChecker(reading, digests_of(GOOD), pieces=1 << 3 | 1 << 8)
    checker.on_bytes(0, 2 * SIZE)
    checker.on_bytes(3 * SIZE, 4 * SIZE)
    assert checker.finish() == 0
    assert sorted(read) == [3 * SIZE, 8 * SIZE]


def test_the_bytes_of_a_piece_are_told() -> None:
    digests = digests_of(GOOD)
    assert digests.span(3) == (3000, 4000)
    assert digests.span(10) == (10_000, 10_001)


def test_it_tells_progress_and_stops_when_asked() -> None:
    may_read = threading.Event()

    def read(_: int, buffer: memoryview) -> None:
        may_read.wait(30)

    def stop() -> bool:
        may_read.set()
        return True

    data = bytes(4 * MIB)
    checker = PieceChecker(read, digests_of(data, MIB))
    assert checker.finish(should_stop=stop) is None
    told: list[int] = []
    assert checker.finish(on_progress=told.append) == 0
    assert told[-1] <= 4 * MIB


def test_what_reading_raises_is_raised_at_the_end() -> None:
    def read(_: int, buffer: memoryview) -> None:
        raise MissingDataError("it is gone")

    checker = PieceChecker(read, digests_of(GOOD))
    checker.on_bytes(0, 5 * SIZE)
    with pytest.raises(MissingDataError):
        checker.finish()


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
