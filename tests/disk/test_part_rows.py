"""The rows beside a part file: kept with it, gone with it, and nobody else's."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.disk import part_rows
from shoal.disk.part_file import PartFile
from shoal.errors import DiskFullError, ExistsError, FileError

from .parts import LENGTH, PIECES, WHOLE, left_by_a_kill, names_in, open_part, put

ROWS = "file.part.group"
ROW = 132


def row(piece: int) -> bytes:
    return bytes([piece + 1]) * ROW


def rows_of(*pieces: int) -> dict[int, bytes]:
    return {piece: row(piece) for piece in pieces}


def kept(folder: Path, *pieces: int) -> PartFile:
    """A part file with these pieces and their rows."""
    part = open_part(folder)
    put(part, pieces)
    part.remember()
    part.save_rows(rows_of(*pieces))
    return part


@pytest.mark.parametrize("ends", [PartFile.close, left_by_a_kill])
def test_the_next_process_finds_them(tmp_path: Path, ends: Callable[[PartFile], None]) -> None:
    part = kept(tmp_path, 1, 4, 10)
    part.save_rows(rows_of(2))
    ends(part)
    again = open_part(tmp_path)
    assert again.load_rows(ROW) == rows_of(1, 2, 4, 10)
    again.close()


def test_a_row_is_replaced_in_its_place(tmp_path: Path) -> None:
    part = kept(tmp_path, 3, 4)
    part.save_rows({3: row(7)})
    assert part.load_rows(ROW) == {3: row(7), 4: row(4)}
    part.close()


def finish(part: PartFile) -> None:
    put(part, range(PIECES))
    part.finish()


def begin_anew(part: PartFile) -> None:
    part.start_anew(b"another", LENGTH, piece_length=4096)
    part.discard()


@pytest.mark.parametrize(
    ("ends", "left"), [(finish, {"file"}), (PartFile.discard, set()), (begin_anew, set())]
)
def test_they_go_with_the_part_file(tmp_path: Path, ends: Callable[[PartFile], None], left: set[str]) -> None:
    part = kept(tmp_path, 0, 5)
    ends(part)
    part.save_rows(rows_of(5))
    assert names_in(tmp_path) == left


def test_a_replaced_file_has_none_either(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    part = open_part(tmp_path, overwrite=True)
    part.save_rows(rows_of(1))
    finish(part)
    assert names_in(tmp_path) == {"file"}
    assert (tmp_path / "file").read_bytes() == WHOLE


def test_those_of_another_identity_are_not_found(tmp_path: Path) -> None:
    kept(tmp_path, 2).close()
    part = open_part(tmp_path, identity=b"another")
    assert part.load_rows(ROW) == {}
    part.close()
    assert names_in(tmp_path) == set()


def test_nothing_is_kept_of_what_can_never_be_resumed(tmp_path: Path) -> None:
    part = open_part(tmp_path, identity=None)
    part.save_rows(rows_of(1))
    assert ROWS not in names_in(tmp_path)
    part.close()


def test_a_file_that_was_cut_or_is_another_has_no_rows_there(tmp_path: Path) -> None:
    part = kept(tmp_path, 0, 1, 2)
    path = tmp_path / ROWS
    os.truncate(path, 4096 + 2 * ROW + 7)
    assert part.load_rows(ROW) == rows_of(0, 1)
    path.write_bytes(b"shoal part")
    assert part.load_rows(ROW) == {}
    path.unlink()
    assert part.load_rows(ROW) == {}
    part.close()


@pytest.mark.parametrize(
    "theirs", [b"of somebody else" + bytes(5000), bytes(4096) + b"a disk image"], ids=["text", "zeros"]
)
def test_somebody_elses_file_is_neither_read_written_nor_removed(tmp_path: Path, theirs: bytes) -> None:
    (tmp_path / ROWS).write_bytes(theirs)
    part = open_part(tmp_path)
    put(part, [1])
    assert part.load_rows(ROW) == {}
    with pytest.raises(ExistsError, match=r"file\.part\.group is in the way"):
        part.save_rows(rows_of(1))
    part.discard()
    assert (tmp_path / ROWS).read_bytes() == theirs


def test_an_empty_file_of_somebody_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / ROWS).touch()
    open_part(tmp_path).discard()
    assert names_in(tmp_path) == {ROWS}


def test_what_a_full_disk_left_of_them_goes_with_the_part_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(descriptor: int, data: bytes, offset: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    part = open_part(tmp_path)
    monkeypatch.setattr(part_rows, "_write", write)
    with pytest.raises(DiskFullError):
        part.save_rows(rows_of(1))
    assert ROWS in names_in(tmp_path)
    part.discard()
    assert names_in(tmp_path) == set()


def test_no_link_is_written_through(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "precious").write_bytes(b"")
    (folder / ROWS).symlink_to("../precious")
    part = open_part(folder)
    assert part.load_rows(ROW) == {}
    with pytest.raises(FileError, match="a symbolic link or a file stands on the way"):
        part.save_rows(rows_of(1))
    part.discard()
    assert (tmp_path / "precious").read_bytes() == b""


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_file_is_no_rows(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / ROWS)
    part = open_part(tmp_path)
    assert part.load_rows(ROW) == {}
    with pytest.raises(FileError):
        part.save_rows(rows_of(1))
    part.discard()
    assert names_in(tmp_path) == {ROWS}


def test_whoever_may_not_read_the_part_file_may_not_read_them(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    part.part_path.chmod(0o600)
    part.save_rows(rows_of(1))
    assert stat.S_IMODE((tmp_path / ROWS).stat().st_mode) == 0o600
    part.discard()


def test_which_pieces_the_url_itself_gave_is_remembered_with_them(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, [1, 2])
    part.on_piece(3, is_first_hand=True)
    part.on_piece(4, is_first_hand=True)
    part.on_piece(5, is_first_hand=True)
    part.forget(4 * 4096, 5 * 4096)
    part.on_piece(4)
    part.remember()
    left_by_a_kill(part)
    again = open_part(tmp_path)
    assert (again.have_bits, again.first_hand_bits) == (0b111110, 0b101000)
    again.discard()
