"""What the swarms of a group are swarms of: a file whose piece hashes become known by records, and a meeting's nothing.

Always true: a piece of a pool is good only if its bytes have the digest that its author signed. The part file stays
its owner's: here it is only read and written by offset, and can still be read when it has its final name.
"""

from __future__ import annotations

import os
from typing import NoReturn

from shoal.disk.faults import MissingDataError, file_fault
from shoal.disk.part_file import PartFile
from shoal.fetch.pool.authors import Authors
from shoal.formats.layout import BLOCK_LENGTH, Layout


class PoolContent:
    """The file of one URL."""

    def __init__(self, name: str, info_hash: bytes, layout: Layout, authors: Authors) -> None:
        self.name = name
        self.info_hash = info_hash
        self.layout = layout
        self._authors = authors

    def is_good(self, piece: int, data: memoryview) -> bool:
        return self._authors.is_good(piece, data)


class MeetingContent:
    """One block that nobody has, for a swarm needs a layout."""

    def __init__(self, name: str, info_hash: bytes) -> None:
        self.name = name
        self.info_hash = info_hash
        self.layout = Layout(BLOCK_LENGTH, [BLOCK_LENGTH])

    def is_good(self, piece: int, data: memoryview) -> bool:
        return False


class PartStore:
    """The part file as a swarm reads and writes it. Reading goes on after `part` was finished."""

    def __init__(self, part: PartFile) -> None:
        self._part = part
        self._descriptor = part.duplicate()

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._part.write(offset, data)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        try:
            while len(buffer):
                count = os.preadv(self._descriptor, [buffer], offset)
                if not count:
                    raise MissingDataError(f"{self._part.path}: ends at byte {offset}")
                offset += count
                buffer = buffer[count:]
        except OSError as error:
            raise file_fault(error, self._part.path, "reading") from error

    def read_cached_into(self, offset: int, buffer: memoryview) -> bool:
        """Fill `buffer` if all of it is in memory; never waits for the disk."""
        flags = getattr(os, "RWF_NOWAIT", None)
        if flags is None:
            return False
        try:
            return os.preadv(self._descriptor, [buffer], offset, flags) == len(buffer)
        except OSError:  # it would wait, or this file system cannot tell
            return False

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class NoStore:
    """For a meeting, in which nobody has anything."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> NoReturn:
        raise ValueError("nothing is written in a meeting")

    def read_into(self, offset: int, buffer: memoryview) -> NoReturn:
        raise ValueError("nothing is read in a meeting")

    def read_cached_into(self, offset: int, buffer: memoryview) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""
