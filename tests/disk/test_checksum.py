"""Checksums as people write them, and checked while the file grows."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk.checksum import Checker, Checksum, parse_checksum
from shoal.disk.faults import MissingDataError
from shoal.errors import ChecksumError, UsageError
from shoal.formats.digests import DIGEST_LENGTHS, new_hash
from shoal.units import MIB

from .parts import LENGTH, PIECE, PIECES, WHOLE, open_part, put

PATH = Path("file.iso")


# As people write them


@pytest.mark.parametrize("name", DIGEST_LENGTHS)
def test_every_algorithm_is_parsed_as_it_is_shown(name: str) -> None:
    (checksum,) = expected(WHOLE, name)
    assert parse_checksum(str(checksum)) == checksum
    assert parse_checksum(f" {name.upper()}: {checksum.digest.hex().upper()} ") == checksum
    assert str(checksum).startswith(name.replace("-", "") + ":")


def test_the_names_of_registries_are_understood() -> None:
    assert parse_checksum("SHA-256:" + "00" * 32) == Checksum("sha-256", bytes(32))
    assert parse_checksum("sha:" + "00" * 20) == Checksum("sha-1", bytes(20))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "'' is not a checksum", "write it like sha256:HEX"),
        ("ab" * 32, "is not a checksum", f"write sha256:{'ab' * 32}"),
        ("d" * 32, "is not a checksum", "write md5:"),
        ("sha256=" + "0" * 64, "is not a checksum", "write it like sha256:HEX"),
        ("crc32:00000000", "'crc32' is none of sha512, sha384, sha256, sha224, sha1, md5", "sha256:HEX"),
        ("sha256:abc", "3 hexadecimal digits, where sha256 has 64", "cut off"),
        ("sha256:", "0 hexadecimal digits", "cut off"),
        ("sha256:" + "g" * 64, "is not a checksum", "sha256:HEX"),
        ("sha256:" + "0" * 63 + "٣", "is not a checksum", "sha256:HEX"),
    ],
)
def test_what_is_no_checksum_is_refused_with_a_way_to_write_it(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_checksum(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint


@given(st.text(max_size=150))
def test_any_text_is_a_checksum_or_a_usage_error(text: str) -> None:
    try:
        checksum = parse_checksum(text)
    except UsageError:
        return
    assert len(checksum.digest) == DIGEST_LENGTHS[checksum.name]


# Checked while it grows


def expected(data: bytes, *names: str) -> list[Checksum]:
    found = []
    for name in names or ("sha-256",):
        hashed = new_hash(name)
        hashed.update(data)
        found.append(Checksum(name, hashed.digest()))
    return found


class Source:
    """Bytes to check, and how often each was read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read: list[tuple[int, int]] = []

    def __call__(self, offset: int, buffer: memoryview) -> None:
        self.read.append((offset, offset + len(buffer)))
        buffer[:] = self.data[offset : offset + len(buffer)]


def wait_until_hashed(checker: Checker, count: int) -> None:
    deadline = time.monotonic() + 60
    while checker.hashed < count:
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


@given(
    length=st.integers(0, 3 * MIB),
    ends=st.lists(st.integers(0, 3 * MIB), max_size=5),
    names=st.sets(st.sampled_from(list(DIGEST_LENGTHS)), min_size=1),
)
def test_a_right_file_passes_however_it_grew_and_every_byte_is_read_once(
    length: int, ends: list[int], names: set[str]
) -> None:
    data = random.Random(length).randbytes(length)
    source = Source(data)
    checker = Checker(source, expected(data, *names), PATH)
    for end in ends:
        checker.advance(min(end, length))
    assert checker.finish(length)
    checker.close()
    assert [begin for begin, _ in source.read] == [0, *(end for _, end in source.read)][: len(source.read)]
    assert sum(end - begin for begin, end in source.read) == length


def test_nothing_is_read_before_it_is_here_and_all_that_is_without_being_asked() -> None:
    data = random.Random(1).randbytes(5 * MIB)
    source = Source(data)
    checker = Checker(source, expected(data), PATH)
    for end in (MIB // 2, 3 * MIB, 4 * MIB + 1):
        checker.advance(end)
        wait_until_hashed(checker, end)
        assert max(end for _, end in source.read) == end
    checker.advance(MIB)  # late news of what it knows
    assert checker.finish(len(data))
    checker.close()


def test_another_digest_is_an_error_that_names_both() -> None:
    wrong, right = Checksum("sha-256", bytes(32)), expected(b"hello")[0]
    checker = Checker(Source(b"hello"), [*expected(b"hello", "md5"), wrong], PATH)
    with pytest.raises(ChecksumError) as caught:
        checker.finish(5)
    checker.close()
    assert str(caught.value) == f"file.iso: its digest is {right}, where {wrong} was expected"
    assert caught.value.exit_code == 32


def test_progress_is_told_and_it_stops_when_asked() -> None:
    may_read = threading.Event()

    def read(_: int, buffer: memoryview) -> None:
        may_read.wait(30)

    told: list[int] = []
    checker = Checker(read, expected(bytes(2 * MIB)), PATH)
    assert not checker.finish(2 * MIB, on_progress=told.append, should_stop=lambda: True)
    assert told == [0]
    may_read.set()
    assert checker.finish(2 * MIB, on_progress=told.append)
    assert told[-1] == 2 * MIB
    checker.close()


@pytest.mark.parametrize("error", [MissingDataError("it is gone"), ValueError("it is closed")], ids=str)
def test_what_reading_raises_is_raised_at_the_end(error: Exception) -> None:
    def read(_: int, buffer: memoryview) -> None:
        raise error

    checker = Checker(read, expected(b"x"), PATH)
    checker.advance(1)
    with pytest.raises(type(error), match="it is"):
        checker.finish(1)
    checker.close()


def test_closing_ends_the_thread_with_work_left_or_without() -> None:
    before = threading.active_count()
    for end in (0, 100 * MIB):
        checker = Checker(Source(bytes(100 * MIB)), expected(b""), PATH)
        checker.advance(end)
        checker.close()
        checker.close()
    assert threading.active_count() == before


def test_a_part_file_is_checked_while_it_is_written(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, [0, 1, 2])
    checker = Checker(part.read_into, expected(WHOLE), part.path)
    for piece in [5, 4, 3, *range(6, PIECES)]:
        put(part, [piece])
        checker.advance(part.prefix_length)
    wait_until_hashed(checker, 3 * PIECE)
    assert checker.finish(LENGTH)
    checker.close()
    part.finish()
