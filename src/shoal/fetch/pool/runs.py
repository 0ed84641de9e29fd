"""Runs of pieces, and who of several members has the first right to one.

Rendezvous hashing (Thaler and Ravishankar, 1996): every member ranks every place of the file by a hash of both, so
that members that know nothing of each other begin far apart, and two that want the same place agree on whose it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shoal.formats.bitfield import lowest_bit, run_mask

MOST_PLACES = (
    1024  # where a run may begin, beside behind another; to walk through them all costs a millisecond
)


class PieceRun(NamedTuple):
    """`count` pieces from `first` on."""

    first: int
    count: int  # type: ignore[assignment]  # hides tuple's own, which nobody asks of two numbers


def bits_of(runs: Iterable[PieceRun]) -> int:
    bits = 0
    for first, count in runs:
        bits |= run_mask(first, count)
    return bits


def runs_of(bits: int) -> Iterator[PieceRun]:
    """The set as runs, lowest first."""
    if not bits:
        return
    lowest = lowest_bit(bits)
    digits = f"{bits >> lowest:b}"[::-1]  # a search in a string stays in C
    begin = 0
    while begin != -1:
        end = digits.find("0", begin)
        if end == -1:
            end = len(digits)
        yield PieceRun(lowest + begin, end - begin)
        begin = digits.find("1", end)


def run_from(bits: int, first: int) -> int:
    """How many pieces of the set follow each other from `first` on."""
    return lowest_bit(~(bits >> first))


def first_of(places: Iterable[int], bits: int) -> int:
    """The first place in the set; if there is none, its lowest piece."""
    return next((place for place in places if bits >> place & 1), lowest_bit(bits))


class Places:
    """The places of a file of `piece_count` pieces where runs begin, and their ranks."""

    def __init__(self, piece_count: int, salt: bytes) -> None:
        self._piece_count = piece_count
        self._salt = salt
        self._length = max(1, -(-piece_count // MOST_PLACES))

    def rank(self, member: bytes, place: int = -1) -> bytes:
        """The member's rank at a place; without one, among those who claimed the same pieces at once."""
        what = member + place.to_bytes(8, "big", signed=True)
        return hashlib.blake2b(what, digest_size=8, key=self._salt[:64]).digest()

    def in_order_of(self, member: bytes) -> list[int]:
        """Where the member begins, its highest rank first."""
        firsts = range(0, self._piece_count, self._length)
        return sorted(firsts, key=lambda first: self.rank(member, first), reverse=True)
