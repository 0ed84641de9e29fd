"""Read what is on the disk and was never hashed, a little at a time: nothing is passed on before."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable

from shoal.fetch.pieces import piece_span

ReadInto = Callable[[int, memoryview], None]

LOOK = 0.2  # seconds of reading at a time; what ends is held up by no more


def read_some(
    read_into: ReadInto, left: deque[int], piece_length: int, length: int
) -> list[tuple[int, bytes]]:
    """In a thread: take some of the pieces that are `left` of a file of `length` bytes, each with its SHA-256."""
    found = []
    until = time.monotonic() + LOOK
    while left and time.monotonic() < until:
        piece = left.popleft()
        begin, end = piece_span(piece, piece_length, length)
        view = memoryview(bytearray(end - begin))
        read_into(begin, view)
        found.append((piece, hashlib.sha256(view).digest()))
    return found
