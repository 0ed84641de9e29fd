"""Where a helper keeps what it fetched: one part file a URL, with its records beside it.

Always true: names are info hashes, so no stranger's name becomes a path; what is in use is locked by its `PartFile`
and never removed; what nobody uses is removed, the one unused for longest first, until the rest has its size. One
process alone works in the folder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.disk.folder_lock import FolderLock
from shoal.disk.part_file import PartFile
from shoal.errors import ExistsError, ShoalError
from shoal.fetch.pieces import piece_length_for

MOST_PLACES = 64  # helpers of one user without a cache; a machine has a few groups
_PART = ".part"


class Cache:
    """`size` is how many bytes may stay when nobody uses them; 0: nothing stays."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self._size = size
        self._lock: FolderLock | None = None
        self._kept: set[bytes] = set()  # info hashes of what stays; of what is in use, as it was before

    def has(self, info_hash: bytes) -> bool:
        """Whether some of it stayed, as far as can be told without looking: at no cost, for anybody may ask."""
        return info_hash in self._kept

    @property
    def keeps(self) -> bool:
        return self._size > 0

    def open(self, info_hash: bytes, length: int) -> PartFile:
        """Blocks. Raises `ExistsError` if another process is at it, `DiskFullError`, `FileError`.

        Room is taken up as pieces come: whoever asks for much and takes nothing costs nothing.
        """
        self._make_folder()
        piece_length = piece_length_for(length)
        return PartFile.open(
            self.folder, info_hash.hex(), info_hash, length, piece_length=piece_length, is_sparse=True
        )

    def prepare(self) -> None:
        """Take the folder; where nothing is kept, any one beside it that is free does as well.

        Blocks. Raises `ExistsError` if another process has it, `FileError` for one that cannot be.
        """
        first = self.folder
        for number in range(2, MOST_PLACES + 2):
            try:
                self._lock = FolderLock(self.folder)
                break
            except ExistsError:
                if self.keeps or number > MOST_PLACES:
                    raise
                self.folder = first.with_name(f"{first.name}-{number}")
        self._kept = {info_hash for path in self._parts() if (info_hash := _info_hash_of(path))}
        self.make_room()

    def close(self) -> None:
        """Others may have the folder."""
        if self._lock is not None:
            self._lock.release()

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_fault(error, self.folder, "writing") from error

    def put_back(self, part: PartFile, *, is_wanted: bool = True) -> None:
        """Nobody uses it any more. Blocks."""
        info_hash = _info_hash_of(part.part_path)
        if is_wanted and self.keeps and part.have_bits:
            part.remember()
            part.close()
            self._kept.add(info_hash)
            with suppress(OSError):
                os.utime(part.part_path)
        else:
            part.discard()
            self._kept.discard(info_hash)
        self.make_room()

    def make_room(self) -> None:
        """Remove what is too much; also what a killed process left. Blocks."""
        entries = []
        total = 0
        for path in self._parts():
            with suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_blocks * 512, path))
                total += status.st_blocks * 512
        for _, size, path in sorted(entries):
            if total <= self._size:
                return
            if self._remove(path):
                total -= size

    def _remove(self, path: Path) -> bool:
        """False: it is in use, or no file of ours."""
        info_hash = _info_hash_of(path)
        if not info_hash:
            return False
        try:
            part = PartFile.open(self.folder, info_hash.hex(), None, None, piece_length=1)
            part.discard()
        except ShoalError:
            return False
        self._kept.discard(info_hash)
        return True

    def _parts(self) -> list[Path]:
        return list(self.folder.glob(f"*{_PART}"))


def _info_hash_of(path: Path) -> bytes:
    """b"" for a file that is none of ours."""
    try:
        return bytes.fromhex(path.name.removesuffix(_PART))
    except ValueError:
        return b""
