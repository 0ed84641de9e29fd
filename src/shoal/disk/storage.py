"""Read and write a torrent's bytes in its files, by torrent offset.

Always true:
- No path leaves the root (`disk/safe_path.py` opens everything below it).
- Nothing is mapped into memory: a full disk is a `DiskFullError`, never a signal.
- A file is made on the first write to it, sparse and at its full length; reading makes nothing.
- A file is lengthened by writing to it, and never cut: what lies past its end in the torrent may be precious.
  `too_long_files` names such files and `cut_too_long` cuts them, for a caller who knows that they are ours.
- Padding is nowhere on the disk: dropped when written, zeros when read.

Unwanted files are not made. The bytes of them that share a piece with a wanted file live in the *parts file*,
sparse, at their torrent offsets, and only there: what lies under an unwanted file's own name is neither read
nor written.

Thread-safe and synchronous; every method may wait for the disk but `read_cached_into`. It does not verify
anything and knows no pieces: offsets and lengths are all it is asked for.
"""

from __future__ import annotations

import enum
import errno
import os
import threading
from bisect import bisect_right
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from shoal.disk.faults import MissingDataError, file_fault
from shoal.disk.memory_backed import is_in_memory
from shoal.disk.open_files import OpenFiles
from shoal.disk.safe_path import SafeRoot
from shoal.errors import FileError
from shoal.formats.metainfo import Metainfo

Buffer = bytes | bytearray | memoryview

_PARTS = -1  # the key of the parts file; the key of any other file is its index
_NOWHERE = -2  # the key of padding, and of symbolic links, which are never made

_CANNOT_TELL = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
_SEEK_DATA = getattr(os, "SEEK_DATA", None)


class Stamp(NamedTuple):
    """What a file looked like: as long as both are the same, nobody wrote to it since."""

    size: int
    mtime_ns: int
    is_of_parts: bool = False  # the parts file's: what lies under the file's own name is not ours


class Presence(enum.Enum):
    """What the disk has of a range, found without reading it."""

    ABSENT = enum.auto()  # a file is not there, or ends before the range does
    HOLE = enum.auto()  # all of it would read as zeros that nobody wrote
    DATA = enum.auto()


class Storage:
    """The files of one torrent below `root`."""

    def __init__(
        self,
        metainfo: Metainfo,
        root: Path,
        *,
        wanted_files: Collection[int] | None = None,
        parts_path: Path | None = None,
        read_only: bool = False,
    ) -> None:
        """All files are wanted unless `wanted_files` names some; then `parts_path` must be given."""
        if wanted_files is not None and parts_path is None:
            raise ValueError("unwanted files need a parts file for the bytes they share with wanted ones")
        layout = metainfo.layout
        self._metainfo = metainfo
        self._layout = layout
        self._root = SafeRoot(root)
        self._parts_path = parts_path
        self._read_only = read_only
        self._starts = layout.file_offsets
        self._ends = tuple(start + size for start, size in zip(self._starts, layout.file_sizes, strict=True))
        self._keys = _keys_of_files(metainfo, wanted_files)
        self._zero_points = tuple(  # the torrent offset of the first byte of what backs each file
            0 if key == _PARTS else start for key, start in zip(self._keys, self._starts, strict=True)
        )
        self._open_files = OpenFiles(self._open)
        self._unsynced: set[int] = set()  # keys; changed by one atomic call at a time
        self._unsynced_folders: set[tuple[str, ...]] = set()
        self._sync_lock = threading.Lock()

    # -- the data plane -------------------------------------------------------------------------------

    def write(self, offset: int, data: Buffer) -> None:
        """Write `data` at torrent offset `offset`. Raises `DiskFullError` or `FileError`, naming the path."""
        file_index = self._file_at(offset, len(data))
        if offset + len(data) <= self._ends[file_index]:
            self._write_to(file_index, offset, data)
            return
        view = memoryview(data)
        for span in self._layout.spans(offset, len(view)):
            self._write_to(span.file_index, offset, view[: span.length])
            offset += span.length
            view = view[span.length :]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from torrent offset `offset`. Raises `MissingDataError` where the disk has less."""
        file_index = self._file_at(offset, len(buffer))
        if offset + len(buffer) <= self._ends[file_index]:
            self._read_from(file_index, offset, buffer)
            return
        for span in self._layout.spans(offset, len(buffer)):
            self._read_from(span.file_index, offset, buffer[: span.length])
            offset += span.length
            buffer = buffer[span.length :]

    def read_cached_into(self, offset: int, buffer: memoryview) -> bool:
        """Fill `buffer` if all of it is in memory already; never waits for the disk.

        False where some is not, the file is not open yet, or the system cannot tell (macOS): then
        `read_into` in a thread is the way. `buffer` may be filled in part.
        """
        for span in self._layout.spans(offset, len(buffer)):
            if not self._read_cached_from(span.file_index, offset, buffer[: span.length]):
                return False
            offset += span.length
            buffer = buffer[span.length :]
        return True

    def _file_at(self, offset: int, length: int) -> int:
        if offset < 0 or offset + length > self._layout.total_size:
            raise ValueError(f"{length} bytes at {offset} are outside of {self._layout.total_size}")
        return bisect_right(self._starts, offset) - 1

    def _write_to(self, file_index: int, offset: int, data: Buffer) -> None:
        key = self._keys[file_index]
        if key == _NOWHERE or not data:
            return
        position = offset - self._zero_points[file_index]
        try:
            file = self._open_files.get(key, for_writing=True)
            with file.writing:
                written = os.pwrite(file.descriptor, data, position)
                while written < len(data):  # a signal, a disk that fills up, or over 2 GiB at once
                    written += os.pwrite(file.descriptor, memoryview(data)[written:], position + written)
        except OSError as error:
            raise file_fault(error, self._shown(key), "writing") from error
        self._unsynced.add(key)

    def _read_from(self, file_index: int, offset: int, view: memoryview) -> None:
        key = self._keys[file_index]
        if key == _NOWHERE:
            view[:] = bytes(len(view))
            return
        position = offset - self._zero_points[file_index]
        try:
            file = self._open_files.get(key, for_writing=False)
            while len(view):
                count = os.preadv(file.descriptor, [view], position)
                if not count:
                    raise MissingDataError(
                        f"{self._shown(key)}: ends at byte {position}, {len(view)} more were expected"
                    )
                position += count
                view = view[count:]
        except FileNotFoundError as error:
            raise MissingDataError(f"{self._shown(key)}: no such file") from error
        except OSError as error:
            raise file_fault(error, self._shown(key), "reading") from error

    def _read_cached_from(self, file_index: int, offset: int, view: memoryview) -> bool:
        key = self._keys[file_index]
        if key == _NOWHERE:
            view[:] = bytes(len(view))
            return True
        file = self._open_files.peek(key)
        if file is None or file.cached_flags is None:
            return False
        position = offset - self._zero_points[file_index]
        try:
            return os.preadv(file.descriptor, [view], position, file.cached_flags) == len(view)
        except OSError as error:
            if error.errno in _CANNOT_TELL:
                file.cached_flags = 0 if file.cached_flags and is_in_memory(file.descriptor) else None
            return False

    # -- what is there --------------------------------------------------------------------------------

    def presence(self, offset: int, length: int) -> Presence:
        """What the disk has of a range, by asking for lengths and holes only. Padding counts as a hole."""
        found = Presence.HOLE
        for span in self._layout.spans(offset, length):
            key = self._keys[span.file_index]
            if key != _NOWHERE:
                here = self._presence_in(key, offset - self._zero_points[span.file_index], span.length)
                if here is Presence.ABSENT:
                    return here
                found = here if here is Presence.DATA else found
            offset += span.length
        return found

    def stamps(self) -> tuple[Stamp | None, ...]:
        """The stamp of what backs each file, in torrent order; None where nothing does (and for padding)."""
        by_key = {key: None if key == _NOWHERE else self._stamp(key) for key in set(self._keys)}
        return tuple(by_key[key] for key in self._keys)

    def is_wanted(self, file_index: int) -> bool:
        """Whether the file lives under its own name here; never so for padding."""
        return self._keys[file_index] >= 0

    def shown_path(self, file_index: int) -> Path:
        """The file's path as messages name it."""
        return self._root.shown(self._metainfo.disk_path(file_index))

    def holds_data(self, file_index: int) -> bool:
        """Whether there is anything in a file under its own name but holes."""
        if not self.is_wanted(file_index):
            return False
        stamp = self._stamp(file_index)
        if stamp is None or not stamp.size:
            return False
        return self._presence_in(file_index, 0, stamp.size) is Presence.DATA

    def too_long_files(self) -> list[int]:
        """Wanted files that have bytes past their end in the torrent."""
        sizes = self._layout.file_sizes
        return [
            file_index
            for file_index, stamp in enumerate(self.stamps())
            if stamp is not None and self.is_wanted(file_index) and stamp.size > sizes[file_index]
        ]

    def _presence_in(self, key: int, position: int, length: int) -> Presence:
        try:
            file = self._open_files.get(key, for_writing=False)
            if os.fstat(file.descriptor).st_size < position + length:
                return Presence.ABSENT
            return hole_or_data(file.descriptor, position, length)
        except (FileNotFoundError, NotADirectoryError):
            return Presence.ABSENT
        except OSError as error:
            raise file_fault(error, self._shown(key), "reading") from error

    def _stamp(self, key: int) -> Stamp | None:
        try:
            status = self._shown(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise file_fault(error, self._shown(key), "looking") from error
        return Stamp(status.st_size, status.st_mtime_ns, key == _PARTS)

    # -- making, cutting, syncing, closing ------------------------------------------------------------

    def create_empty_files(self) -> None:
        """Make the wanted files of length zero, which no piece ever brings."""
        for file_index, size in enumerate(self._layout.file_sizes):
            if not size and self.is_wanted(file_index) and self._stamp(file_index) is None:
                try:
                    self._open_files.get(file_index, for_writing=True)
                except OSError as error:
                    raise file_fault(error, self._shown(file_index), "creating") from error

    def cut_too_long(self, file_indices: Collection[int]) -> None:
        """Cut these files to their length in the torrent. What they had past it is lost."""
        for file_index in file_indices:
            try:
                file = self._open_files.get(file_index, for_writing=True)
                os.ftruncate(file.descriptor, self._layout.file_sizes[file_index])
            except OSError as error:
                raise file_fault(error, self._shown(file_index), "shortening") from error
            self._unsynced.add(file_index)

    def sync(self) -> bool:
        """Make durable everything whose `write` returned before this call, and the names of new files.

        Tells whether anything was written since the last call. After an error the same files are synced again
        by the next call.
        """
        with self._sync_lock:
            written = list(self._unsynced)
            for key in written:
                self._unsynced.discard(key)  # before fsync: a write during it needs the next one
                self._sync_file(key)
            for folder in list(self._unsynced_folders):
                self._unsynced_folders.discard(folder)
                self._sync_folder(folder)
            return bool(written)

    def close(self) -> None:
        """Let go of all files. Syncs nothing."""
        self._open_files.close()

    def _sync_file(self, key: int) -> None:
        try:
            file = self._open_files.get(key, for_writing=False)
            os.fsync(file.descriptor)
        except OSError as error:
            self._unsynced.add(key)
            raise file_fault(error, self._shown(key), "syncing") from error

    def _sync_folder(self, folder: tuple[str, ...]) -> None:
        try:
            self._root.sync_folder(folder)
        except OSError as error:
            self._unsynced_folders.add(folder)
            raise file_fault(error, self._root.shown(folder), "syncing") from error

    def _shown(self, key: int) -> Path:
        if key == _PARTS and self._parts_path is not None:
            return self._parts_path
        return self.shown_path(key)

    def _open(self, key: int, for_writing: bool) -> int:
        if for_writing and self._read_only:
            raise FileError(f"{self._shown(key)}: not written: this torrent is open for reading only")
        if key == _PARTS:
            return self._open_parts(for_writing)
        names = self._metainfo.disk_path(key)
        if not for_writing:
            return self._root.open_for_reading(names)
        descriptor = self._root.open_for_writing(names)
        self._lengthen(descriptor, key, names)
        return descriptor

    def _open_parts(self, for_writing: bool) -> int:
        path = self._shown(_PARTS)
        root = SafeRoot(path.parent)
        return root.open_for_writing([path.name]) if for_writing else root.open_for_reading([path.name])

    def _lengthen(self, descriptor: int, file_index: int, names: Sequence[str]) -> None:
        """Give a new (or too short) file its full length, as a hole."""
        size = self._layout.file_sizes[file_index]
        status = os.fstat(descriptor)
        if status.st_size < size:
            try:
                os.ftruncate(descriptor, size)
            except OSError:
                os.close(descriptor)
                raise
        if status.st_size < size or not size:
            self._unsynced.add(file_index)
            self._unsynced_folders.update(tuple(names[:depth]) for depth in range(len(names)))


def _keys_of_files(metainfo: Metainfo, wanted_files: Collection[int] | None) -> tuple[int, ...]:
    wanted = None if wanted_files is None else frozenset(wanted_files)
    return tuple(
        _NOWHERE if not file.is_on_disk else file_index if wanted is None or file_index in wanted else _PARTS
        for file_index, file in enumerate(metainfo.files)
    )


def hole_or_data(descriptor: int, position: int, length: int) -> Presence:
    """What an open file has in a range that does not reach past its end; DATA where the system cannot tell."""
    if _SEEK_DATA is None:
        return Presence.DATA
    try:
        data_at = os.lseek(descriptor, position, _SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data up to the end of the file
            return Presence.HOLE
        if error.errno in _CANNOT_TELL:
            return Presence.DATA
        raise
    return Presence.HOLE if data_at >= position + length else Presence.DATA
