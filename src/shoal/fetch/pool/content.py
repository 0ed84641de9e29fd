"""What the swarms of a group are swarms of: a file whose piece hashes become known by records, and a meeting's nothing.

Always true: a piece of a pool is good only if its bytes have the digest that its author signed. The part file stays
its owner's: here it is only read and written by offset, and can still be read when it has its final name. Of a piece
that neighbours and the origin bring at the same time all bytes are the neighbours', or all the origin's: a liar cannot
slip its own among those that we sign.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import NoReturn

from shoal.disk.faults import MissingDataError, file_fault
from shoal.disk.part_file import PartFile
from shoal.fetch.pool.authors import Authors
from shoal.fetch.pool.runs import runs_of
from shoal.formats.bitfield import run_mask
from shoal.formats.layout import BLOCK_LENGTH, Layout


class PoolContent:
    """The file of one URL."""

    def __init__(self, name: str, info_hash: bytes, layout: Layout, authors: Authors) -> None:
        self.name = name
        self.info_hash = info_hash
        self.layout = layout
        self._authors = authors
        self._verified = threading.local()

    def is_good(self, piece: int, data: memoryview) -> bool:
        self._verified.digest = self._authors.digest_of(piece)
        return self._authors.is_good(piece, data)

    def is_good_still(self, piece: int) -> bool:
        """Whether what the calling thread found good last is: its author may be out by now."""
        return bool(self._authors.digest_of(piece) == self._verified.digest)


class MeetingContent:
    """One block that nobody has, for a swarm needs a layout."""

    def __init__(self, name: str, info_hash: bytes) -> None:
        self.name = name
        self.info_hash = info_hash
        self.layout = Layout(BLOCK_LENGTH, [BLOCK_LENGTH])

    def is_good(self, piece: int, data: memoryview) -> bool:
        return False


class PartStore:
    """The part file as a swarm reads and writes it, piece by piece. Reading goes on after `part` was finished.

    What comes from the origin is written here too, by `write_own`; whose a piece is, the first that has all of it says.
    """

    def __init__(self, part: PartFile, content: PoolContent) -> None:
        self._part = part
        self._content = content
        self._layout = content.layout
        self._descriptor = part.duplicate()
        self._writing = threading.Lock()
        self._own = 0  # pieces of which all bytes came from the origin ...
        self._theirs = 0  # ... and those that neighbours brought

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """A piece that was found good; nothing if it came from the origin meanwhile, or is good no longer."""
        piece = offset // self._layout.piece_length
        with self._writing:
            if not self._own >> piece & 1 and self._content.is_good_still(piece):
                self._part.write(offset, data)
                self._theirs |= 1 << piece

    def write_own(self, offset: int, chunks: Sequence[bytes], pieces: Sequence[int]) -> list[int]:
        """Bytes from the origin, with which `pieces` are whole. -> Those of them that are the origin's."""
        length = self._layout.piece_length
        end = offset + sum(map(len, chunks))
        with self._writing:
            touched = run_mask(offset // length, -(-end // length) - offset // length)
            if not touched & self._theirs:
                self._part.write_all(offset, chunks)
            else:
                data = memoryview(b"".join(chunks))
                for first, count in runs_of(touched & ~self._theirs):
                    low, high = max(offset, first * length), min(end, (first + count) * length)
                    self._part.write(low, data[low - offset : high - offset])
            own = [piece for piece in pieces if not self._theirs >> piece & 1]
            for piece in own:
                self._own |= 1 << piece
        return own

    def reopen(self, bits: int) -> int:
        """These are to come anew. -> Those that neighbours had brought."""
        with self._writing:
            theirs = self._theirs & bits
            self._theirs &= ~bits
        return theirs

    def disown(self, bits: int) -> None:
        """What came from our sources is wrong: anybody may bring these."""
        with self._writing:
            self._own &= ~bits

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
