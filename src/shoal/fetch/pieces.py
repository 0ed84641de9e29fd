"""The pieces of a file that has no hashes of its own: how long they are, and where. Pure."""

from __future__ import annotations

from shoal.units import KIB

MOST_PIECES = 100_000  # sets of more make every step of the bookkeeping slow (docs/decisions/0001)
SHORTEST_PIECE = 256 * KIB  # what a connection loses when the power fails; 4,096 of them are a GiB


def piece_length_for(length: int) -> int:
    """The length of the pieces of any file of `length` bytes, for everybody: a power of two, at most 100,000 pieces."""
    piece_length = SHORTEST_PIECE
    while -(-length // piece_length) > MOST_PIECES:
        piece_length *= 2
    return piece_length


def piece_span(piece: int, piece_length: int, length: int) -> tuple[int, int]:
    """Its bytes in a file of `length`: from, and up to. The last piece may be shorter."""
    return piece * piece_length, min((piece + 1) * piece_length, length)
