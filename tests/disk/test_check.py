"""Which pieces are there: found right, and found without reading what need not be read."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk.check import check_pieces, foreign_files, trusted_bits
from shoal.disk.state import Remembered
from shoal.disk.storage import Storage
from shoal.errors import FileError
from shoal.formats.bitfield import all_bits
from shoal.formats.metainfo import Metainfo
from shoal.testing.torrents import make_torrent, whole_run
from shoal.units import KIB, MIB

PIECE = 16 * KIB
FORMATS = {"v1": (True, False), "v2": (False, True), "hybrid": (True, True)}

CONTENTS = {
    "a": random.Random(1).randbytes(3 * PIECE + 5),
    "b": b"",
    "c": random.Random(2).randbytes(100),
    "d": random.Random(3).randbytes(2 * PIECE),
}


@pytest.fixture(params=FORMATS)
def metainfo(request: pytest.FixtureRequest) -> Metainfo:
    v1, v2 = FORMATS[request.param]
    return make_torrent(CONTENTS, PIECE, v1=v1, v2=v2)


@pytest.fixture
def storage(metainfo: Metainfo, tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(metainfo, tmp_path)
    yield storage
    storage.close()


def all_of(metainfo: Metainfo) -> int:
    return all_bits(metainfo.layout.piece_count)


def file_index(metainfo: Metainfo, name: str) -> int:
    return next(index for index, file in enumerate(metainfo.files) if file.path == (name,))


def remember(storage: Storage, have_bits: int) -> Remembered:
    return Remembered(have_bits, storage.stamps(), 0, 0)


# -- checking -------------------------------------------------------------------------------------------


def test_a_finished_download_is_good_in_every_format(metainfo: Metainfo, storage: Storage) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))
    assert check_pieces(metainfo, storage, all_of(metainfo)) == all_of(metainfo)


def test_a_wrong_byte_costs_its_piece_and_no_other(
    metainfo: Metainfo, storage: Storage, tmp_path: Path
) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))
    with (tmp_path / "t" / "a").open("r+b") as file:
        file.seek(PIECE + 7)
        file.write(bytes([CONTENTS["a"][PIECE + 7] ^ 1]))
    assert check_pieces(metainfo, storage, all_of(metainfo)) == all_of(metainfo) & ~0b10


def test_only_the_pieces_asked_for_are_looked_at(metainfo: Metainfo, storage: Storage) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))
    assert check_pieces(metainfo, storage, 0b101) == 0b101
    assert check_pieces(metainfo, storage, 0) == 0


@given(
    have=st.sets(st.integers(0, 11)), threads=st.integers(1, 4), format_name=st.sampled_from(sorted(FORMATS))
)
def test_exactly_the_pieces_written_are_found(have: set[int], threads: int, format_name: str) -> None:
    v1, v2 = FORMATS[format_name]
    metainfo = make_torrent(CONTENTS, PIECE, v1=v1, v2=v2)
    run = whole_run(metainfo, CONTENTS)
    layout = metainfo.layout
    with TemporaryDirectory() as folder:
        storage = Storage(metainfo, Path(folder))
        expected = 0
        for piece in have & set(range(layout.piece_count)):
            begin = layout.piece_offset(piece)
            storage.write(begin, run[begin : begin + layout.piece_size(piece)])
            expected |= 1 << piece
        assert check_pieces(metainfo, storage, all_of(metainfo), threads=threads) == expected
        storage.close()


def test_a_piece_longer_than_what_is_read_at_once_is_hashed_whole(tmp_path: Path) -> None:
    contents = {"big": random.Random(4).randbytes(5 * MIB + 3)}
    metainfo = make_torrent(contents, 4 * MIB)
    storage = Storage(metainfo, tmp_path)
    storage.write(0, contents["big"])
    assert check_pieces(metainfo, storage, 0b11) == 0b11
    storage.write(3 * MIB, b"wrong")
    assert check_pieces(metainfo, storage, 0b11) == 0b10
    storage.close()


def test_missing_and_short_files_are_not_read(
    metainfo: Metainfo, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_bytes(CONTENTS["a"][:100])

    def refuse(*_: object) -> int:
        raise AssertionError("read what is not there")

    monkeypatch.setattr(os, "preadv", refuse)
    assert check_pieces(metainfo, storage, all_of(metainfo)) == 0


@pytest.mark.system
@pytest.mark.parametrize("format_name", FORMATS)
def test_holes_are_not_read_and_count_only_where_zeros_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    v1, v2 = FORMATS[format_name]
    contents = {"sparse": random.Random(5).randbytes(MIB) + bytes(MIB) + random.Random(6).randbytes(MIB)}
    metainfo = make_torrent(contents, MIB, v1=v1, v2=v2)
    (tmp_path / "t").mkdir()
    with (tmp_path / "t" / "sparse").open("wb") as file:
        file.truncate(3 * MIB)
    storage = Storage(metainfo, tmp_path)
    if storage.presence(0, MIB).name != "HOLE":
        pytest.skip("this file system tells no holes")

    def refuse(*_: object) -> int:
        raise AssertionError("read a hole")

    monkeypatch.setattr(os, "preadv", refuse)
    assert check_pieces(metainfo, storage, 0b111) == 0b010
    storage.close()


def test_progress_ends_with_all_bytes_and_a_stop_is_obeyed(metainfo: Metainfo, storage: Storage) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))
    told: list[int] = []
    check_pieces(metainfo, storage, all_of(metainfo), on_progress=told.append)
    assert told[-1] == metainfo.layout.total_size
    assert told == sorted(told)


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_bad_piece(
    metainfo: Metainfo, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(FileError, match="reading failed"):
        check_pieces(metainfo, storage, all_of(metainfo))


# -- trusting -------------------------------------------------------------------------------------------


def test_without_a_record_everything_that_is_there_is_checked(metainfo: Metainfo, storage: Storage) -> None:
    assert trusted_bits(metainfo, storage, None) == (0, 0)
    storage.write(0, whole_run(metainfo, CONTENTS))
    assert trusted_bits(metainfo, storage, None) == (0, all_of(metainfo))


def test_untouched_files_are_believed_unread(metainfo: Metainfo, storage: Storage) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))
    assert trusted_bits(metainfo, storage, remember(storage, 0b101)) == (0b101, 0)


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: path.write_bytes(b"x" * 17),
    ],
    ids=["another mtime", "another size"],
)
def test_a_touched_file_is_checked_with_all_its_pieces(
    touch: Callable[[Path], None], metainfo: Metainfo, storage: Storage, tmp_path: Path
) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))
    remembered = remember(storage, all_of(metainfo))
    touch(tmp_path / "t" / "d")
    pieces = metainfo.layout.bits_of_files([file_index(metainfo, "d")])
    assert trusted_bits(metainfo, storage, remembered) == (all_of(metainfo) & ~pieces, pieces)


def test_pieces_of_a_file_that_is_gone_are_neither_believed_nor_checked(
    metainfo: Metainfo, storage: Storage, tmp_path: Path
) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))
    remembered = remember(storage, all_of(metainfo))
    (tmp_path / "t" / "a").unlink()
    pieces = metainfo.layout.bits_of_files([file_index(metainfo, "a")])
    assert trusted_bits(metainfo, storage, remembered) == (all_of(metainfo) & ~pieces, 0)


def test_a_record_of_another_number_of_files_is_not_believed(metainfo: Metainfo, storage: Storage) -> None:
    storage.write(0, whole_run(metainfo, CONTENTS))
    remembered = Remembered(all_of(metainfo), storage.stamps()[:-1], 0, 0)
    assert trusted_bits(metainfo, storage, remembered) == (0, all_of(metainfo))


def test_another_choice_of_files_is_not_believed(tmp_path: Path) -> None:
    """What was in the parts file is not in the file, when that becomes wanted."""
    metainfo = make_torrent(CONTENTS, PIECE)
    narrow = Storage(metainfo, tmp_path / "root", wanted_files={0}, parts_path=tmp_path / "parts")
    narrow.write(0, whole_run(metainfo, CONTENTS)[: 4 * PIECE])
    remembered = remember(narrow, 0b1111)
    assert trusted_bits(metainfo, narrow, remembered) == (0b1111, 0)
    narrow.close()
    wide = Storage(metainfo, tmp_path / "root")
    assert trusted_bits(metainfo, wide, remembered) == (0b0111, 0)
    wide.close()


# -- what is in the way ---------------------------------------------------------------------------------


def test_a_file_that_shares_nothing_is_foreign(metainfo: Metainfo, storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_bytes(b"precious" * 1000)
    assert foreign_files(metainfo, storage, None, 0) == [file_index(metainfo, "a")]


def test_a_file_with_a_good_piece_a_record_or_no_data_is_not_foreign(
    metainfo: Metainfo, storage: Storage, tmp_path: Path
) -> None:
    assert foreign_files(metainfo, storage, None, 0) == []
    storage.write(0, CONTENTS["a"][:PIECE])
    assert foreign_files(metainfo, storage, None, 0b1) == []
    assert foreign_files(metainfo, storage, None, 0) == [0]
    assert foreign_files(metainfo, storage, remember(storage, 0), 0) == []
    (tmp_path / "t" / "a").write_bytes(b"")
    assert foreign_files(metainfo, storage, None, 0) == []


def test_an_unwanted_file_is_never_foreign(tmp_path: Path) -> None:
    metainfo = make_torrent(CONTENTS, PIECE)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "d").write_bytes(b"precious" * 1000)
    storage = Storage(metainfo, tmp_path, wanted_files={0}, parts_path=tmp_path / "parts")
    assert foreign_files(metainfo, storage, None, 0) == []
    storage.close()


def test_a_file_that_was_unwanted_when_recorded_is_still_foreign(tmp_path: Path) -> None:
    metainfo = make_torrent(CONTENTS, PIECE)
    narrow = Storage(metainfo, tmp_path, wanted_files={0}, parts_path=tmp_path / "parts")
    narrow.write(0, whole_run(metainfo, CONTENTS)[: 4 * PIECE])
    remembered = remember(narrow, 0b1111)
    narrow.close()
    (tmp_path / "t" / "d").write_bytes(b"precious" * 1000)
    wide = Storage(metainfo, tmp_path)
    assert foreign_files(metainfo, wide, remembered, 0b0111) == [file_index(metainfo, "d")]
    wide.close()
