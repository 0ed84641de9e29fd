"""Hash the files of a torrent to be, on all cores, reading every byte once.

Gives the hashes that `formats/metainfo.py` builds a torrent of: SHA-1 of every piece (v1, BEP 3), SHA-256 trees of
16 KiB leaves for every file (v2, BEP 52), or both from one read (hybrid: files padded to whole pieces, BEP 47).

Always true: a file that is not what it was when it was found (another length, another mtime) is an error, never a
torrent that nobody can complete. Memory: a buffer of `_CHUNK_LENGTH` a thread.
Threads, and why not processes: docs/decisions/0003-hashing.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.disk.faults import file_fault
from shoal.disk.parallel import OnProgress, ShouldStop, Work, work_through
from shoal.disk.walk import SourceFile
from shoal.errors import FileError
from shoal.formats import merkle
from shoal.formats.layout import BLOCK_LENGTH, FileSpan, Layout
from shoal.units import MIB

_CHUNK_LENGTH = 1 * MIB  # stays in a core's own cache between reading and hashing; larger is slower


@dataclass(frozen=True, slots=True)
class FileTree:
    """A file's place in a v2 torrent."""

    pieces_root: bytes  # b"" for an empty file
    piece_layer: bytes  # one hash a piece, b"" where the file fits into one


@dataclass(frozen=True, slots=True)
class PayloadHashes:
    """What hashing found; a kind that was not asked for is empty."""

    piece_hashes: bytes  # 20 bytes a piece
    file_trees: tuple[FileTree, ...]  # as the files came


def hash_files(
    files: Sequence[SourceFile],
    piece_length: int,
    *,
    v1: bool = True,
    v2: bool = False,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> PayloadHashes | None:
    """The hashes of `files` in this order; None if `should_stop` said so. Raises `FileError`."""
    plan = _Plan.of(files, piece_length, aligned=v2)
    found = _Found(plan.layout.piece_count)
    is_done = work_through(
        range(plan.layout.piece_count),
        lambda: _make_worker(plan, found, v1=v1, v2=v2),
        threads=threads,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    if not is_done:
        return None
    for file in files:
        _check_unchanged(file, file.path.stat())
    return PayloadHashes(
        piece_hashes=b"".join(found.piece_hashes) if v1 else b"",
        file_trees=_file_trees(plan, found.subtree_roots) if v2 else (),
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """The run of bytes that pieces are cut from: file, padding, file, padding, ..."""

    files: Sequence[SourceFile]
    layout: Layout  # file i is at 2 * i, the padding after it at 2 * i + 1

    @classmethod
    def of(cls, files: Sequence[SourceFile], piece_length: int, *, aligned: bool) -> _Plan:
        last = max((index for index, file in enumerate(files) if file.size), default=0)
        sizes: list[int] = []
        for index, file in enumerate(files):
            padding = -file.size % piece_length if aligned and index < last else 0
            sizes += (file.size, padding)
        return cls(files, Layout(piece_length, sizes))

    def pieces_of_file(self, file_index: int) -> range:
        return self.layout.pieces_of_file(2 * file_index)


class _Found:
    """Results by piece; each is written once, by whichever thread had the piece."""

    def __init__(self, piece_count: int) -> None:
        self.piece_hashes: list[bytes] = [b""] * piece_count
        self.subtree_roots: list[bytes] = [b""] * piece_count


def _make_worker(plan: _Plan, found: _Found, *, v1: bool, v2: bool) -> Work:
    layout = plan.layout
    reader = _Reader(plan.files)
    chunk = memoryview(bytearray(min(_CHUNK_LENGTH, layout.piece_length)))

    def hash_piece(piece: int) -> int:
        sha1 = hashlib.sha1(usedforsecurity=False)
        leaves: list[bytes] = []
        payload = 0
        start, size = layout.piece_offset(piece), layout.piece_size(piece)
        for begin in range(0, size, len(chunk)):
            view = chunk[: size - begin]
            data_length = reader.fill(view, layout.spans(start + begin, len(view)))
            payload += data_length
            if v1:
                sha1.update(view)
            if v2:
                leaves += merkle_leaves(view[:data_length])
        if v1:
            found.piece_hashes[piece] = sha1.digest()
        if v2:
            found.subtree_roots[piece] = _subtree_root(leaves, plan, start)
        return payload

    return hash_piece
