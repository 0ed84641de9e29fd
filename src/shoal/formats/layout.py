"""How pieces, blocks and files overlay.

A torrent is one long run of bytes: all files end to end, padding files included, cut into pieces of
`piece_length` (the last one shorter), and each piece into blocks of 16 KiB (likewise). A `Layout` is made
of nothing but `piece_length` and the file sizes, keeps two numbers a file and none a piece, and never
changes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from shoal.formats.bitfield import run_mask
from shoal.units import KIB

BLOCK_LENGTH = 16 * KIB  # what every client asks for at once, and accepts to be asked


@dataclass(frozen=True, slots=True)
class FileSpan:
    """`length` bytes of one file from `file_offset` on."""

    file_index: int
    file_offset: int
    length: int


class Layout:
    """The arithmetic of one torrent. An `offset` counts from the torrent's first byte."""

    __slots__ = ("file_offsets", "file_sizes", "piece_count", "piece_length", "total_size")

    def __init__(self, piece_length: int, file_sizes: Sequence[int]) -> None:
        self.piece_length = piece_length
        self.file_sizes = tuple(file_sizes)
        self.file_offsets = tuple(accumulate(self.file_sizes[:-1], initial=0)) if file_sizes else ()
        self.total_size = sum(self.file_sizes)
        self.piece_count = -(-self.total_size // piece_length)

    def piece_offset(self, piece: int) -> int:
        return piece * self.piece_length

    def piece_size(self, piece: int) -> int:
        """The piece's bytes: `piece_length`, or what is left for the last."""
        return min(self.piece_length, self.total_size - piece * self.piece_length)

    def block_count(self, piece: int) -> int:
        return -(-self.piece_size(piece) // BLOCK_LENGTH)

    def block_size(self, piece: int, block: int) -> int:
        return min(BLOCK_LENGTH, self.piece_size(piece) - block * BLOCK_LENGTH)

    def spans(self, offset: int, length: int) -> list[FileSpan]:
        """The parts of files that hold `length` bytes from `offset` on, in order; never an empty one."""
        found: list[FileSpan] = []
        if length <= 0:
            return found
        file_index = bisect_right(self.file_offsets, offset) - 1
        while length > 0:
            file_offset = offset - self.file_offsets[file_index]
            part = min(length, self.file_sizes[file_index] - file_offset)
            if part > 0:
                found.append(FileSpan(file_index, file_offset, part))
                offset += part
                length -= part
            file_index += 1
        return found

    def pieces_of_file(self, file_index: int) -> range:
        """The pieces that hold a byte of the file; none for an empty one."""
        start = self.file_offsets[file_index]
        size = self.file_sizes[file_index]
        first = start // self.piece_length
        return range(first, -(-(start + size) // self.piece_length) if size else first)

    def bits_of_files(self, file_indices: Iterable[int]) -> int:
        """The set of pieces that hold a byte of any of the files."""
        bits = 0
        for file_index in file_indices:
            pieces = self.pieces_of_file(file_index)
            bits |= run_mask(pieces.start, len(pieces))
        return bits
