"""Read what is on the disk since an earlier run, a little at a time: it is passed on only as what a record says."""

from __future__ import annotations

import hashlib
import time
from collections import deque

from shoal.disk.part_file import PartFile
from shoal.fetch.pieces import piece_span

LOOK = 0.2  # seconds of reading at a time; what ends is held up by no more


def read_some(part: PartFile, left: deque[int], piece_length: int) -> list[tuple[int, bytes]]:
    """In a thread: take some of the pieces that are `left`, each with its SHA-256."""
    assert part.length is not None
    found = []
    until = time.monotonic() + LOOK
    while left and time.monotonic() < until:
        piece = left.popleft()
        begin, end = piece_span(piece, piece_length, part.length)
        view = memoryview(bytearray(end - begin))
        part.read_into(begin, view)
        found.append((piece, hashlib.sha256(view).digest()))
    return found
