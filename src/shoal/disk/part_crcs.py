"""The CRC-32 of the pieces of a part file: whether its bytes are still what they were when it was recorded."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable
from contextlib import suppress

from shoal.disk.faults import MissingDataError
from shoal.disk.parallel import OnProgress, ShouldStop, Work, work_through
from shoal.disk.part_record import Known
from shoal.formats.bitfield import iter_bits
from shoal.formats.layout import Layout
from shoal.units import MIB

_CHUNK_LENGTH = 1 * MIB  # read at a time: few calls, and it stays in the processor's cache

ReadInto = Callable[[int, memoryview], None]


def crcs_of(read_into: ReadInto, layout: Layout, saved: array[int], pieces: int) -> array[int]:
    """Those on record, brought up to date for these pieces (bits)."""
    crcs = array("I", saved)
    buffer = _buffer(layout)
    for piece in iter_bits(pieces):
        crcs[piece] = _crc(read_into, layout, piece, buffer)
    return crcs


def intact_bits(
    read_into: ReadInto,
    layout: Layout,
    known: Known,
    on_progress: OnProgress | None,
    should_stop: ShouldStop | None,
) -> int | None:
    """The recorded pieces whose bytes are what they were; None: it was stopped."""
    intact = bytearray(layout.piece_count)  # a byte each: threads may set neighbours at once

    def make_worker() -> Work:
        buffer = _buffer(layout)

        def check(piece: int) -> int:
            with suppress(MissingDataError):  # somebody shortened it
                intact[piece] = _crc(read_into, layout, piece, buffer) == known.crcs[piece]
            return layout.piece_size(piece)

        return check

    pieces = iter_bits(known.have_bits)
    if not work_through(pieces, make_worker, on_progress=on_progress, should_stop=should_stop):
        return None
    return sum(1 << piece for piece, is_intact in enumerate(intact) if is_intact)


def _crc(read_into: ReadInto, layout: Layout, piece: int, buffer: memoryview) -> int:
    offset, size = layout.piece_offset(piece), layout.piece_size(piece)
    crc = 0
    for begin in range(0, size, len(buffer)):
        view = buffer[: size - begin]
        read_into(offset + begin, view)
        crc = zlib.crc32(view, crc)
    return crc


def _buffer(layout: Layout) -> memoryview:
    return memoryview(bytearray(min(_CHUNK_LENGTH, layout.piece_length)))
