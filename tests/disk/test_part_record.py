"""The record beside a part file: what it keeps, and what becomes of a damaged one."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk.part_record import Known, PartRecord, process_at_work
from shoal.disk.safe_path import SafeRoot
from shoal.disk.storage import Stamp

from .parts import PIECES, names_in, open_part, put

KEY = bytes(range(32))


@pytest.fixture
def record(tmp_path: Path) -> Iterator[PartRecord]:
    record = PartRecord.open(SafeRoot(tmp_path), "r")
    record.start_anew(KEY, 9)
    yield record
    record.close()


def known(have_bits: int, piece_count: int = 9) -> Known:
    return Known(have_bits, array("I", range(piece_count)), Stamp(have_bits, -have_bits))


def test_the_newest_of_many_records_counts(record: PartRecord) -> None:
    assert record.load(KEY, 9) is None
    for have_bits in range(1, 6):
        record.save(known(have_bits))
        assert record.load(KEY, 9) == known(have_bits)


def test_a_newest_one_that_is_damaged_leaves_the_one_before(record: PartRecord) -> None:
    record.save(known(1))
    before = record.path.read_bytes()
    record.save(known(3))
    after = record.path.read_bytes()
    changed = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    for broken in (
        before[: changed[-1]] + after[changed[-1] :],
        after[: changed[0] + 50] + before[changed[0] + 50 :],
    ):
        record.path.write_bytes(broken)
        assert record.load(KEY, 9) == known(1)
        record.save(known(7))
        assert record.load(KEY, 9) == known(7)


@pytest.mark.parametrize(("key", "piece_count"), [(KEY[::-1], 9), (KEY, 8), (KEY, 10), (KEY, 40_000)])
def test_what_was_saved_of_another_file_is_not_known(
    record: PartRecord, key: bytes, piece_count: int
) -> None:
    record.save(known(1))
    assert record.load(key, piece_count) is None


@given(at=st.integers(0, 3 * 4096 - 1), value=st.integers(0, 255), cut=st.booleans())
def test_any_damage_gives_a_record_that_was_saved_or_none(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, cut: bool
) -> None:
    record = PartRecord.open(SafeRoot(tmp_path_factory.mktemp("records")), "r")
    record.start_anew(KEY, 9)
    record.save(known(1))
    record.save(known(3))
    data = record.path.read_bytes()
    record.path.write_bytes(data[:at] if cut else data[:at] + bytes([value]) + data[at + 1 :])
    assert record.load(KEY, 9) in (known(1), known(3), None)
    record.close()


def test_to_remember_needs_no_more_room_than_the_record_had_from_the_start(record: PartRecord) -> None:
    size, blocks = record.path.stat().st_size, record.path.stat().st_blocks
    for have_bits in range(5):
        record.save(known(have_bits))
    assert (record.path.stat().st_size, record.path.stat().st_blocks) == (size, blocks)


@pytest.mark.parametrize("damage", [b"", b"sho", bytes(5000), b"shoal part file\n" + b"?" * 20_000])
def test_a_damaged_record_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    part = open_part(tmp_path)
    put(part, range(5))
    part.remember()
    part.close()
    (tmp_path / "file.part.shoal").write_bytes(damage)
    if not damage:
        (tmp_path / "file.part").unlink()  # without a trace of a record it would be somebody else's
    part = open_part(tmp_path)
    assert part.have_bits == 0
    put(part, range(PIECES))
    part.finish()
    assert names_in(tmp_path) == {"file"}


def test_a_record_that_nobody_signed_names_nobody(tmp_path: Path) -> None:
    assert process_at_work(SafeRoot(tmp_path), "r") is None
    for text in (b"", b"shoal part file\n", b"shoal part file\npid x\n", b"else\npid 5\n"):
        (tmp_path / "r").write_bytes(text)
        assert process_at_work(SafeRoot(tmp_path), "r") is None
