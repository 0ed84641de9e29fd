"""Part files on disks that are full, failing or read-only, and after a power cut."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from shoal.disk import linux_calls, part_crcs, room
from shoal.errors import DiskFullError, FileError
from shoal.formats.bitfield import iter_bits
from shoal.units import KIB, MIB

from .parts import LENGTH, PIECE, PIECES, WHOLE, left_by_a_kill, names_in, open_part, put

# A full disk


def test_a_full_disk_is_an_error_and_all_that_was_written_is_there_next_time(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    part = open_part(small_disk, length=2 * MIB, piece_length=64 * KIB)
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    written = 0
    with pytest.raises(DiskFullError, match=r"disk full: .*file\.part: No space left"):
        for piece in range(32):
            part.write(piece * 64 * KIB, bytes([piece + 1]) * 64 * KIB)
            part.on_piece(piece)
            written += 1
    assert 8 < written < 16
    part.remember()  # needs no room, though there is none
    part.close()
    with pytest.raises(DiskFullError, match="more are needed"):
        open_part(small_disk, length=2 * MIB, piece_length=64 * KIB)
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    part = open_part(small_disk, length=2 * MIB, piece_length=64 * KIB)
    assert part.have_bits == (1 << written) - 1
    for piece in range(written, 32):
        part.write(piece * 64 * KIB, bytes([piece + 1]) * 64 * KIB)
        part.on_piece(piece)
    found = part.finish().read_bytes()
    assert found == b"".join(bytes([piece + 1]) * 64 * KIB for piece in range(32))


def test_a_disk_with_no_room_for_the_record_is_told_before_anything_is_downloaded(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(MIB))
    with pytest.raises(DiskFullError, match=r"file\.part\.shoal: No space left"):
        open_part(small_disk)
    assert names_in(small_disk) == {"ballast"}


def disk_with(monkeypatch: pytest.MonkeyPatch, free: int, blocks: int = 9) -> None:
    """Every disk is one of this much room."""
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_blocks=blocks, f_bavail=free, f_frsize=1))


@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_disk_in_memory_that_is_too_small_is_told_before_anything_is_downloaded(
    small_disk: Path, is_sparse: bool
) -> None:
    with pytest.raises(DiskFullError, match=r"file\.part: 2\.00 MiB more are needed"):
        open_part(small_disk, length=2 * MIB, piece_length=64 * KIB, is_sparse=is_sparse)
    assert names_in(small_disk) == set()


def test_of_a_file_that_is_gone_on_with_only_what_is_missing_has_to_have_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a file system packs what it holds, so that it takes fewer blocks than it has bytes."""
    monkeypatch.setattr(room, "_STAT_BLOCK", 0)
    part = open_part(tmp_path)
    put(part, range(8))
    part.remember()
    part.close()
    disk_with(monkeypatch, LENGTH - 8 * PIECE)
    part = open_part(tmp_path)
    assert part.have_bits.bit_count() == 8
    part.close()
    disk_with(monkeypatch, LENGTH - 8 * PIECE - 1)
    with pytest.raises(DiskFullError, match=r"8\.00 KiB more are needed"):
        open_part(tmp_path)


def test_a_disk_that_says_nothing_of_its_room_may_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_with(monkeypatch, 0, blocks=0)
    open_part(tmp_path).close()

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "fstatvfs", refuse)
    open_part(tmp_path).close()


def test_a_file_that_cannot_fit_is_refused_at_the_start_with_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_with(monkeypatch, 3 * MIB)
    with pytest.raises(DiskFullError, match=r"8\.00 MiB more are needed, 3\.00 MiB are free") as caught:
        open_part(tmp_path, length=8 * MIB, piece_length=MIB)
    assert "make room" in caught.value.hint
    assert names_in(tmp_path) == set()


def test_what_was_remembered_stays_when_the_disk_is_full_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = open_part(tmp_path)
    put(part, range(3))
    part.remember()
    part.close()
    with monkeypatch.context() as patched:
        disk_with(patched, 0)
        patched.setattr(room, "_STAT_BLOCK", 0)  # nothing of it has room yet
        with pytest.raises(DiskFullError, match="0 B are free"):
            open_part(tmp_path)
    part = open_part(tmp_path)
    assert part.have_bits == 0b111
    part.close()


def fail(monkeypatch: pytest.MonkeyPatch, call: str, code: int, path: Path) -> None:
    """Let a call of `os` fail for this file."""
    real = getattr(os, call)

    def failing(descriptor: int, *arguments: object) -> object:
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            raise OSError(code, os.strerror(code))
        return real(descriptor, *arguments)

    monkeypatch.setattr(os, call, failing)


def test_a_record_that_finds_no_room_leaves_the_last_one_and_the_next_try_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = open_part(tmp_path)
    put(part, range(3))
    part.remember()
    put(part, [3])
    with monkeypatch.context() as patched:
        fail(patched, "pwrite", errno.ENOSPC, tmp_path / "file.part.shoal")
        with pytest.raises(DiskFullError, match=r"file\.part\.shoal"):
            part.remember()
    part.remember()
    left_by_a_kill(part)
    part = open_part(tmp_path)
    assert part.have_bits == 0b1111
    part.close()


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EIO, FileError)])
def test_after_a_failed_fsync_nothing_more_is_recorded_nor_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    part = open_part(tmp_path)
    put(part, range(3))
    part.remember()
    put(part, range(3, PIECES))
    with monkeypatch.context() as patched:
        fail(patched, "fsync", code, part.part_path)
        with pytest.raises(kind, match=r"file\.part: "):
            part.remember()
    with pytest.raises(kind):
        part.remember()  # the system tells of a lost page once, and takes it for clean from then on
    with pytest.raises(kind):
        part.finish()
    part.close()
    part = open_part(tmp_path)
    assert part.have_bits == 0b111
    part.close()


def test_a_record_whose_fsync_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = open_part(tmp_path)
    put(part, range(3))
    with monkeypatch.context() as patched:
        fail(patched, "fsync", errno.EIO, tmp_path / "file.part.shoal")
        with pytest.raises(FileError, match=r"file\.part\.shoal: writing failed"):
            part.remember()
    part.close()


def test_a_record_that_cannot_be_read_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = open_part(tmp_path)
    put(part, range(3))
    part.remember()
    part.close()
    real = os.pread

    def unreadable(descriptor: int, length: int, offset: int) -> bytes:
        if offset:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, length, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", unreadable)
        with pytest.raises(FileError, match="reading failed"):
            open_part(tmp_path)
    part = open_part(tmp_path)
    assert part.have_bits == 0b111
    part.close()


def test_a_folder_that_may_not_be_written_is_named(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(FileError, match="Read-only file system") as caught:
        open_part(small_disk)
    assert str(small_disk) in str(caught.value)
    assert "choose another folder" in caught.value.hint


# Room


def test_room_is_reserved_only_where_the_file_system_does_it_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "allocate", lambda *_: False)
    part = open_part(tmp_path, length=64 * MIB, piece_length=MIB)
    status = part.part_path.stat()
    assert status.st_size == 64 * MIB
    assert status.st_blocks == 0
    part.close()


@pytest.mark.system
def test_reserving_keeps_what_is_there_and_makes_the_file_long_enough(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.write(WHOLE)
        file.flush()
        if not linux_calls.allocate(file.fileno(), 2 * LENGTH):
            pytest.skip("this file system cannot reserve room")
    assert (tmp_path / "file").read_bytes() == WHOLE + bytes(LENGTH)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_system_without_the_call_reserves_nothing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(linux_calls, "_library_call", lambda _: lambda *_: -1)
    monkeypatch.setattr(linux_calls.ctypes, "get_errno", lambda: code)
    assert not linux_calls.allocate(0, 1)


def test_an_interrupted_call_is_made_again_and_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter([errno.EINTR, errno.ENOSPC])
    monkeypatch.setattr(linux_calls, "_library_call", lambda _: lambda *_: -1)
    monkeypatch.setattr(linux_calls.ctypes, "get_errno", lambda: next(codes))
    with pytest.raises(OSError, match="No space left"):
        linux_calls.allocate(0, 1)


# A power cut


class ForgetfulDisk:
    """Keeps of each file what it was when it was last synced; a power cut leaves that and no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = os.fsync
        self._synced: dict[int, tuple[bytes, int]] = {}  # inode -> contents, time
        monkeypatch.setattr(os, "fsync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self._real(descriptor)
        status = os.fstat(descriptor)
        if not os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112  a link, not a path
            data = os.pread(descriptor, status.st_size, 0)
            self._synced[status.st_ino] = (data, status.st_mtime_ns)

    def cut_power(self, folder: Path) -> None:
        for path in folder.iterdir():
            data, mtime_ns = self._synced.get(path.stat().st_ino, (b"", 0))
            path.write_bytes(data)
            os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.mark.parametrize("seed", range(30))
def test_after_a_power_cut_only_what_was_synced_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    disk = ForgetfulDisk(monkeypatch)
    part = open_part(tmp_path)
    pieces = rng.sample(range(PIECES), rng.randrange(1, PIECES))
    remembered = 0
    for piece in pieces:
        put(part, [piece])
        if rng.random() < 0.4:
            part.remember()
            remembered = part.have_bits
    put(part, [])
    disk.cut_power(tmp_path)
    part._let_go()
    monkeypatch.setattr(part_crcs.zlib, "crc32", lambda *_: pytest.fail("the record alone is right"))
    if not remembered:
        assert (tmp_path / "file.part").stat().st_size == 0, "there was no reason to sync it"
        return
    part = open_part(tmp_path)
    assert part.have_bits == remembered
    for piece in iter_bits(remembered):
        view = memoryview(bytearray(min(PIECE, LENGTH - piece * PIECE)))
        part.read_into(piece * PIECE, view)
        assert view == WHOLE[piece * PIECE : (piece + 1) * PIECE]
    part.close()
