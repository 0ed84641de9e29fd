"""Hash the files of a torrent to be, on all cores, reading every byte once.

Gives what `formats/metainfo_build.py` builds a torrent of: SHA-1 of every piece (v1, BEP 3), a SHA-256 tree
of 16 KiB blocks for every file (v2, BEP 52), or both from one read (hybrid: files padded to whole pieces).

Always true: a file that is not what it was when it was found (another length, another mtime) is an error, and
never a torrent that nobody can complete. Memory: a buffer of `_CHUNK_LENGTH` a thread.
Threads, and why not processes: docs/decisions/0003-hashing.md.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.disk.faults import file_fault
from shoal.disk.open_files import OpenFile
from shoal.disk.parallel import OnProgress, ShouldStop, Work, work_through
from shoal.disk.walk import SourceFile
from shoal.errors import FileError
from shoal.formats import merkle
from shoal.formats.layout import BLOCK_LENGTH, FileSpan, Layout
from shoal.formats.metainfo_build import FileTree
from shoal.units import MIB

_CHUNK_LENGTH = 1 * MIB  # as fast as 64 KiB to 1 MiB all are, and the fewest calls


@dataclass(frozen=True, slots=True)
class PayloadHashes:
    """What hashing found; a kind that was not asked for is empty."""

    piece_hashes: bytes  # 20 bytes a piece
    file_trees: tuple[FileTree, ...]  # as the files came; an empty file's has no root


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
    """The hashes of `files`, sorted as `find_payload` does; None if stopped. Raises `FileError`."""
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
        _check_unchanged(file)
    return PayloadHashes(
        piece_hashes=b"".join(found.piece_hashes) if v1 else b"",
        file_trees=_file_trees(plan, found.nodes) if v2 else (),
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

    def top_level(self, piece: int) -> int:
        """How high in its file's tree a piece's node is: in the piece layer, or the root itself."""
        file_index = bisect_right(self.layout.file_offsets, self.layout.piece_offset(piece)) - 1
        size = self.layout.file_sizes[file_index]
        if size > self.layout.piece_length:
            return merkle.piece_level(self.layout.piece_length)
        return merkle.levels_above(-(-size // BLOCK_LENGTH))


class _Found:
    """Results by piece; each is written once, by whichever thread had the piece."""

    def __init__(self, piece_count: int) -> None:
        self.piece_hashes: list[bytes] = [b""] * piece_count
        self.nodes: list[bytes] = [b""] * piece_count


def _make_worker(plan: _Plan, found: _Found, *, v1: bool, v2: bool) -> Work:
    layout = plan.layout
    reader = _Reader(plan.files)
    chunk = memoryview(bytearray(min(_CHUNK_LENGTH, layout.piece_length)))

    def hash_piece(piece: int) -> int:
        start, size = layout.piece_offset(piece), layout.piece_size(piece)
        sha1 = hashlib.sha1(usedforsecurity=False)
        blocks: list[bytes] = []
        data_count = 0
        for begin in range(0, size, len(chunk)):
            view = chunk[: size - begin]
            data_length = reader.fill(view, layout.spans(start + begin, len(view)))
            data_count += data_length
            if v1:
                sha1.update(view)
            if v2:
                blocks.append(merkle.hash_blocks(view[:data_length]))
        if v1:
            found.piece_hashes[piece] = sha1.digest()
        if v2:
            found.nodes[piece] = merkle.reduce_level(b"".join(blocks), 0, plan.top_level(piece))
        return data_count

    return hash_piece


def _file_trees(plan: _Plan, nodes: list[bytes]) -> tuple[FileTree, ...]:
    """The pieces' nodes, file by file. With files aligned, a piece belongs to one file."""
    trees: list[FileTree] = []
    for file_index in range(len(plan.files)):
        pieces = plan.pieces_of_file(file_index)
        layer = b"".join(nodes[pieces.start : pieces.stop])
        if len(pieces) <= 1:
            trees.append(FileTree(pieces_root=layer))
        else:
            trees.append(FileTree(merkle.layer_root(layer, plan.layout.piece_length), layer))
    return tuple(trees)


class _Reader:
    """Reads for one thread. The last file stays open, since the next piece is mostly in it."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._files = files
        self._file_index = -1
        self._open_file: OpenFile | None = None

    def fill(self, view: memoryview, spans: Sequence[FileSpan]) -> int:
        """Fill `view` with the spans of a `_Plan`; how many bytes of it are not padding."""
        data_length = 0
        for span in spans:
            part, view = view[: span.length], view[span.length :]
            file_index, is_padding = divmod(span.file_index, 2)
            if is_padding:
                part[:] = bytes(span.length)
            else:
                self._read(file_index, span.file_offset, part)
                data_length += span.length
        return data_length

    def _read(self, file_index: int, position: int, view: memoryview) -> None:
        file = self._files[file_index]
        try:
            open_file = self._opened(file_index)
            while len(view):
                count = os.preadv(open_file.descriptor, [view], position)
                if not count:
                    raise _changed(file)
                position += count
                view = view[count:]
        except OSError as error:
            raise file_fault(error, file.path, "reading") from error

    def _opened(self, file_index: int) -> OpenFile:
        if self._open_file is None or file_index != self._file_index:
            descriptor = os.open(self._files[file_index].path, os.O_RDONLY | os.O_CLOEXEC)
            self._open_file = OpenFile(descriptor, is_writable=False)
            self._file_index = file_index
        return self._open_file


def _check_unchanged(file: SourceFile) -> None:
    try:
        status = file.path.stat()
    except OSError as error:
        raise file_fault(error, file.path, "looking") from error
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        raise _changed(file)


def _changed(file: SourceFile) -> FileError:
    return FileError(
        f"{file.path}: changed while it was hashed", hint="run it again when nobody writes there"
    )
