"""A part file from its first byte to its final name, and what is believed of it in between."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from shoal.disk import part_crcs
from shoal.disk.faults import MissingDataError
from shoal.disk.part_file import PartFile
from shoal.errors import ExistsError, UnfinishedError
from shoal.formats.bitfield import all_bits

from .parts import IDENTITY, LENGTH, PIECE, PIECES, WHOLE, left_by_a_kill, names_in, open_part, put


def test_a_file_written_in_any_order_appears_whole_and_alone(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, [7, 0, 10, 3, 1, 2, 9, 8, 4, 6])
    assert names_in(tmp_path) == {"file.part", "file.part.shoal"}
    put(part, [5])
    assert part.finish() == tmp_path / "file"
    assert names_in(tmp_path) == {"file"}
    assert (tmp_path / "file").read_bytes() == WHOLE


def test_threads_write_at_once(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    threads = [threading.Thread(target=put, args=(part, range(n, PIECES, 3))) for n in range(3)]
    for thread in threads:
        thread.start()
    part.remember()
    for thread in threads:
        thread.join()
    assert part.finish().read_bytes() == WHOLE


def test_the_next_process_goes_on_where_the_last_one_remembered(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, [0, 1, 5])
    part.remember()
    part.close()
    part = open_part(tmp_path)
    assert part.have_bits == 0b100011
    assert part.prefix_length == 2 * PIECE
    put(part, set(range(PIECES)) - {0, 1, 5})
    assert part.finish().read_bytes() == WHOLE


def test_after_a_kill_what_was_remembered_is_read_again_and_the_rest_is_not_believed(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, [2, 3])
    part.remember()
    put(part, [4])
    left_by_a_kill(part)
    read: list[int] = []
    part = open_part(tmp_path, on_progress=read.append)
    assert part.have_bits == 0b1100
    assert read[-1] == 2 * PIECE
    part.close()


def test_a_clean_end_is_believed_unread(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, [2, 3])
    part.remember()
    part.write(9 * PIECE, b"not yet a piece")
    part.remember()  # nothing more is here, but the file has another time
    part.close()
    part = open_part(tmp_path, on_progress=lambda _: pytest.fail("it was read"))
    assert part.have_bits == 0b1100
    part.close()


def test_what_was_remembered_stays_so_when_the_check_after_a_kill_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = open_part(tmp_path)
    put(part, [2, 3])
    part.remember()
    left_by_a_kill(part)
    with monkeypatch.context() as patched:
        patched.setattr(part_crcs, "work_through", lambda *_, **__: False)
        with pytest.raises(UnfinishedError, match=r"stopped while .*file.part was checked"):
            open_part(tmp_path)
    part = open_part(tmp_path)
    assert part.have_bits == 0b1100
    part.close()


@pytest.mark.parametrize(
    "change",
    [{"identity": b"other"}, {"length": LENGTH + 1}, {"piece_length": 2 * PIECE}, {"identity": None}],
    ids=str,
)
def test_another_identity_begins_anew_and_mixes_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    part = open_part(tmp_path)
    put(part, range(9))
    part.remember()
    part.close()
    part = open_part(tmp_path, **change)  # type: ignore[arg-type]
    assert part.have_bits == 0
    assert not part.part_path.read_bytes().strip(b"\0")
    part.close()
    assert names_in(tmp_path) == set(), "of the new one nothing was remembered"


def test_the_record_does_not_tell_the_identity(tmp_path: Path) -> None:
    part = open_part(tmp_path, identity=b"https://origin/?signature=secret")
    put(part, [0])
    part.remember()
    assert b"secret" not in (tmp_path / "file.part.shoal").read_bytes()
    part.close()


def test_a_file_replaced_at_its_source_is_begun_anew_under_the_same_lock(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, range(9))
    part.remember()
    part.start_anew(b"etag-2", 3 * PIECE, piece_length=PIECE)
    assert part.have_bits == 0
    with pytest.raises(ExistsError):
        open_part(tmp_path)
    put(part, range(3), b"n" * 3 * PIECE)
    assert part.finish().read_bytes() == b"n" * 3 * PIECE


def _shortened(path: Path) -> None:
    os.truncate(path, 3 * PIECE)


def _shortened_and_lengthened(path: Path) -> None:
    os.truncate(path, 3 * PIECE)
    os.truncate(path, LENGTH)


def _written_to(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4 * PIECE)
        file.write(b"x")


def _swapped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4 * PIECE : 5 * PIECE] = bytes(PIECE)
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("meddle", "believed"),
    [(_shortened, 0b111), (_shortened_and_lengthened, 0b111), (_written_to, 0b1111), (_swapped, 0b1111)],
)
def test_a_part_file_that_somebody_changed_is_believed_no_further_than_it_is_right(
    tmp_path: Path, meddle: object, believed: int
) -> None:
    part = open_part(tmp_path)
    put(part, range(5))
    part.remember()
    part.close()
    assert callable(meddle)
    meddle(tmp_path / "file.part")
    part = open_part(tmp_path)
    assert part.have_bits == believed
    put(part, [piece for piece in range(PIECES) if not believed >> piece & 1])
    part.remember()
    left_by_a_kill(part)
    part = open_part(tmp_path)
    assert part.have_bits == all_bits(PIECES), "what came anew is recorded anew"
    assert part.finish().read_bytes() == WHOLE


def test_a_part_file_that_was_only_touched_is_read_and_then_believed(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, range(5))
    part.remember()
    part.close()
    os.utime(tmp_path / "file.part", (1, 1))
    read: list[int] = []
    part = open_part(tmp_path, on_progress=read.append)
    assert part.have_bits == 0b11111
    assert read[-1] == 5 * PIECE
    part.close()


def test_wrong_bytes_are_forgotten_by_whole_pieces_also_by_the_next_process(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, range(5), b"?" * LENGTH)
    part.remember()
    part.forget(PIECE + 1, 2 * PIECE + 1)
    assert part.have_bits == 0b11001
    part.remember()
    part.close()
    part = open_part(tmp_path)
    assert part.have_bits == 0b11001
    part.forget(0, LENGTH)
    put(part, range(PIECES))
    part.remember()
    left_by_a_kill(part)
    assert open_part(tmp_path).finish().read_bytes() == WHOLE


def test_a_stream_of_unknown_length_grows_and_is_never_resumed(tmp_path: Path) -> None:
    part = open_part(tmp_path, length=None)
    part.write(0, WHOLE[:100])
    part.remember()
    del part
    part = open_part(tmp_path, length=None)
    assert part.part_path.stat().st_size == 0
    part.write(0, WHOLE[:100])
    part.write(100, WHOLE[100:200])
    assert part.finish().read_bytes() == WHOLE[:200]


def test_an_empty_file_is_whole_at_once(tmp_path: Path) -> None:
    assert open_part(tmp_path, length=0).finish().read_bytes() == b""


def test_it_is_not_finished_before_all_is_here(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, range(10))
    with pytest.raises(ValueError, match="not all pieces"):
        part.finish()
    put(part, [10])
    os.truncate(part.part_path, LENGTH - 1)
    with pytest.raises(MissingDataError, match=rf"has {LENGTH - 1} bytes where {LENGTH} were"):
        part.finish()
    part.discard()
    assert names_in(tmp_path) == set()


def test_the_time_at_the_source_is_kept_if_asked(tmp_path: Path) -> None:
    part = open_part(tmp_path, length=0)
    assert part.finish(mtime=1_000_000_000.5).stat().st_mtime == 1_000_000_000.5
    assert open_part(tmp_path, "b", length=0).finish(mtime=1e30).exists(), "a time that no file can have"


def test_a_closed_part_file_leaves_nothing_if_nothing_is_remembered(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    part.write(0, b"x")
    part.close()
    part.close()
    assert names_in(tmp_path) == set()
    with pytest.raises(ValueError, match="closed"):
        part.write(0, b"x")


def test_bytes_outside_of_the_file_are_refused(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    with pytest.raises(ValueError, match="outside"):
        part.write(LENGTH - 1, b"xx")
    with pytest.raises(ValueError, match="piece 11 of 11"):
        part.on_piece(11)
    part.close()


def test_bytes_are_read_back_for_hashing_and_missing_ones_are_an_error(tmp_path: Path) -> None:
    part = PartFile.open(tmp_path, "file", IDENTITY, None, piece_length=PIECE)
    part.write(0, b"hello")
    buffer = memoryview(bytearray(4))
    part.read_into(1, buffer)
    assert buffer == b"ello"
    with pytest.raises(MissingDataError, match="ends at byte 5, 3 more were expected"):
        part.read_into(4, buffer)
    part.close()


def test_a_whole_file_may_be_kept_under_another_identity_and_is_found_only_whole(tmp_path: Path) -> None:
    part = open_part(tmp_path, identity=None)
    put(part, range(PIECES))
    part.keep_whole(b"kept")
    part.close()
    again = open_part(tmp_path, identity=None, whole_identity=b"kept")
    assert again.is_whole and again.replaced is None
    again.forget(0, 1)
    again.remember()
    again.close()
    part = open_part(tmp_path, identity=None, whole_identity=b"kept")
    assert part.have_bits == 0 and part.replaced is not None
    part.close()


def test_an_empty_file_is_no_whole_one_that_was_kept(tmp_path: Path) -> None:
    part = open_part(tmp_path, identity=None, length=0, whole_identity=b"kept")
    assert not part.is_whole and part.replaced is None
    assert part.finish().read_bytes() == b""


def test_it_is_known_whether_another_files_bytes_were_thrown_away(tmp_path: Path) -> None:
    part = open_part(tmp_path, mark=b"one")
    assert part.replaced is None
    put(part, [3])
    part.remember()
    part.close()
    part = open_part(tmp_path, length=LENGTH + PIECE * 1000, mark=b"other")
    assert part.replaced == b"one"
    part.close()
