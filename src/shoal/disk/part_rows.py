"""A row of bytes for each piece of a part file, in `NAME.part.group` beside it: what a group's members say of it.

A page of head, then the rows, each at the place of its piece and written over in place; where none was written are
zeros. Nothing here tells a whole row from a torn one: that its owner must see by the row itself, as by a signature.

Always true: a file that does not begin as ours do is somebody's; it is not read, written or removed. (An empty one is
written; the head is durable before any row is there.) Who may not read the part file may not read the rows. Its owner
has the part file locked, and calls from one thread at a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from shoal.disk.safe_path import SafeRoot
from shoal.errors import ExistsError, ShoalError

ROWS_SUFFIX = ".part.group"  # no longer than that of the record, by which long names are cut
_HEAD = b"shoal part rows\n"  # what makes the file ours
_PAGE = 4096


class PartRows:
    def __init__(self, root: SafeRoot, name: str) -> None:
        self.path: Path = root.shown([name])
        self._root = root
        self._name = name
        self._is_begun = False  # an empty file is one that we made

    def load(self, row_length: int, count: int) -> dict[int, bytes]:
        """By piece. What cannot be read is as good as absent."""
        try:
            descriptor = self._root.open_for_reading([self._name])
        except (OSError, ShoalError):
            return {}
        try:
            if os.pread(descriptor, len(_HEAD), 0) != _HEAD:
                return {}
            packed = os.pread(descriptor, row_length * count, _PAGE)
        except OSError:
            return {}
        finally:
            os.close(descriptor)
        none = bytes(row_length)
        rows = (packed[start : start + row_length] for start in range(0, len(packed), row_length))
        return {piece: row for piece, row in enumerate(rows) if len(row) == row_length and row != none}

    def save(self, rows: Mapping[int, bytes], mode: int) -> None:
        """Durable when it returns. What is elsewhere in the file stays. Raises `OSError` and `FileError`."""
        descriptor = self._root.open_for_writing([self._name])
        try:
            status = os.fstat(descriptor)
            is_new = status.st_size == 0
            if not is_new and os.pread(descriptor, len(_HEAD), 0) != _HEAD:
                raise ExistsError(
                    f"{self.path} is in the way: it is not of a download of ours",
                    hint="move it away, or choose another name or folder",
                )
            self._is_begun |= is_new
            if stat.S_IMODE(status.st_mode) != mode:
                os.fchmod(descriptor, mode)
            if is_new:
                _write(descriptor, _HEAD, 0)
                os.fsync(descriptor)
            for piece, row in rows.items():
                _write(descriptor, row, _PAGE + piece * len(row))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        with suppress(OSError, ShoalError):
            descriptor = self._root.open_for_reading([self._name])
            try:
                head = os.pread(descriptor, len(_HEAD), 0)
            finally:
                os.close(descriptor)
            if head == _HEAD or (not head and self._is_begun):
                self.path.unlink()


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
