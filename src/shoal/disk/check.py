"""Find out which pieces of a torrent are on the disk, reading as little as possible.

Knows metainfo, storage and what was remembered; changes nothing. The usual order:

    trusted, doubtful = trusted_bits(metainfo, storage, state.load())
    have = trusted | check_pieces(metainfo, storage, doubtful)
    in_the_way = foreign_files(metainfo, storage, remembered, have)

Always true: a piece counts only if its bytes hash right, now or when it was recorded and its files have not
been written to since. A hole is not data: it is not even read, and counts only where zeros belong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from shoal.disk.faults import MissingDataError
from shoal.disk.parallel import OnProgress, ShouldStop, Work, work_through
from shoal.disk.state import Remembered
from shoal.disk.storage import Presence, Stamp, Storage
from shoal.formats.bitfield import iter_bits
from shoal.formats.metainfo import Metainfo, is_piece_good
from shoal.units import MIB

TO_BE_MADE = Stamp(0, 0)  # no file that holds anything looks like this, so nothing is believed of it
_CHUNK_LENGTH = 1 * MIB  # v1 pieces are read so much at a time, whatever their length


def check_pieces(
    metainfo: Metainfo,
    storage: Storage,
    pieces_bits: int,
    *,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> int:
    """The good pieces among `pieces_bits`, hashed on all cores; those found so far if told to stop.

    `on_progress` gets the bytes settled so far, holes and missing files included. Raises `FileError` for what
    is there and cannot be read.
    """
    good = bytearray(metainfo.layout.piece_count)  # a byte each: threads may set neighbours at once

    def make_worker() -> Work:
        is_good = _make_judge(metainfo, storage)

        def check(piece: int) -> int:
            good[piece] = is_good(piece)
            return metainfo.layout.piece_size(piece)

        return check

    work_through(
        iter_bits(pieces_bits), make_worker, threads=threads, on_progress=on_progress, should_stop=should_stop
    )
    return _bits_of_flags(good)


def trusted_bits(metainfo: Metainfo, storage: Storage, remembered: Remembered | None) -> tuple[int, int]:
    """(pieces to believe unread, pieces to check by hash); those in neither cannot be there."""
    layout = metainfo.layout
    stamps = storage.stamps()
    recorded = remembered.stamps if remembered is not None else ()
    if len(recorded) != len(stamps):
        recorded = (None,) * len(stamps)
    files = [index for index, file in enumerate(metainfo.files) if file.size and not file.is_padding]
    absent = layout.bits_of_files(index for index in files if stamps[index] is None)
    changed = layout.bits_of_files(
        index for index in files if stamps[index] is not None and stamps[index] != recorded[index]
    )
    have = remembered.have_bits if remembered is not None else 0
    return have & ~changed & ~absent, changed & ~absent


def foreign_files(
    metainfo: Metainfo, storage: Storage, remembered: Remembered | None, good_bits: int
) -> list[int]:
    """Files that are somebody else's: they hold data, share no good piece, and we have no record of them."""
    recorded = remembered.stamps if remembered is not None else ()
    ours = {index for index, stamp in enumerate(recorded) if stamp is not None and not stamp.is_of_parts}
    return [
        file_index
        for file_index, file in enumerate(metainfo.files)
        if file.size
        and file_index not in ours
        and not good_bits & metainfo.layout.bits_of_files([file_index])
        and storage.holds_data(file_index)
    ]


def claimed(storage: Storage, stamps: Sequence[Stamp | None]) -> tuple[Stamp | None, ...]:
    """What to record while files are being written: those still to be made count as ours already."""
    return tuple(
        TO_BE_MADE if stamp is None and storage.is_wanted(file_index) else stamp
        for file_index, stamp in enumerate(stamps)
    )


def _make_judge(metainfo: Metainfo, storage: Storage) -> Callable[[int], bool]:
    """A function that tells whether a piece is good, with a buffer of its own for one thread."""
    layout = metainfo.layout
    is_v1 = metainfo.info_hash_v1 is not None
    buffer = memoryview(bytearray(min(_CHUNK_LENGTH, layout.piece_length) if is_v1 else layout.piece_length))
    are_zeros_right = _zeros_judge(metainfo)

    def is_good(piece: int) -> bool:
        offset, size = layout.piece_offset(piece), layout.piece_size(piece)
        presence = storage.presence(offset, size)
        if presence is Presence.ABSENT:
            return False
        if presence is Presence.HOLE:
            return are_zeros_right(piece)
        try:
            if is_v1:
                return _sha1_from(storage, offset, size, buffer) == metainfo.piece_hash(piece)
            storage.read_into(offset, buffer[:size])
        except MissingDataError:  # shortened since we looked
            return False
        return is_piece_good(metainfo, piece, buffer[:size])

    return is_good


def _sha1_from(storage: Storage, offset: int, size: int, buffer: memoryview) -> bytes:
    sha1 = hashlib.sha1(usedforsecurity=False)
    for begin in range(0, size, len(buffer)):
        view = buffer[: size - begin]
        storage.read_into(offset + begin, view)
        sha1.update(view)
    return sha1.digest()


def _zeros_judge(metainfo: Metainfo) -> Callable[[int], bool]:
    """Tells whether a piece ought to be all zeros; cheap after the first piece of each size."""
    hashes: dict[int, bytes] = {}  # piece size -> SHA-1 of so many zeros: two sizes at most

    def are_zeros_right(piece: int) -> bool:
        size = metainfo.layout.piece_size(piece)
        if metainfo.info_hash_v1 is None:
            return is_piece_good(metainfo, piece, bytes(size))
        if size not in hashes:
            hashes[size] = hashlib.sha1(bytes(size), usedforsecurity=False).digest()
        return hashes[size] == metainfo.piece_hash(piece)

    return are_zeros_right


def _bits_of_flags(flags: bytearray) -> int:
    """A byte a piece, 0 or 1 -> the set of pieces."""
    digits = flags.translate(bytes([ord("0"), ord("1")]) + bytes(254))
    return int(digits[::-1], 2) if digits else 0
