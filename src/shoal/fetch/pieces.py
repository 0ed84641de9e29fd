"""The pieces of a file that has no hashes of its own: how long they are, and where a run of bytes is best cut. Pure."""

from __future__ import annotations

from shoal.units import KIB

MOST_PIECES = 100_000  # sets of more make every step of the bookkeeping slow (docs/decisions/0001)
SHORTEST_PIECE = 256 * KIB  # what a connection loses when the power fails; 4,096 of them are a GiB
BLOCK = 16 * KIB  # the shortest run, and where a claim is cut when no piece ends near
NEAR = 8  # a claim is cut at the border of a piece if one is within 1/8 of what is cut


def piece_length_for(length: int) -> int:
    """The length of the pieces of any file of `length` bytes, for everybody: a power of two, at most 100,000 pieces."""
    piece_length = SHORTEST_PIECE
    while -(-length // piece_length) > MOST_PIECES:
        piece_length *= 2
    return piece_length


def near_border(low: int, cut: int, high: int, piece_length: int) -> int:
    """`cut`, moved to the border of a piece if one is near, else of a block; always within `(low, high)`."""
    for unit, reach in ((piece_length, (high - low) // NEAR), (BLOCK, BLOCK)):
        border = (cut + unit // 2) // unit * unit
        if low < border < high and abs(border - cut) <= reach:
            return border
    return cut
