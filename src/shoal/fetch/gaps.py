"""Rows of bytes, as a sorted list of where each begins and ends.

Always true: no row is empty, no two overlap or touch. A call costs a search by halves and at most the move of one
list, so that the 50,000 gaps of a file of which every second piece is here cost what one does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Gaps:
    """A set of byte offsets; every row is `[begin, end)`."""

    __slots__ = ("_begins", "_ends")

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._begins, self._ends, strict=True)

    def __bool__(self) -> bool:
        return bool(self._begins)

    def add(self, begin: int, end: int) -> None:
        """All of `[begin, end)`, whatever of it was there."""
        if begin >= end:
            return
        first = bisect_left(self._ends, begin)  # the first row that touches it ...
        behind = bisect_right(self._begins, end)  # ... and the first that no longer does
        if first < behind:
            begin = min(begin, self._begins[first])
            end = max(end, self._ends[behind - 1])
        self._begins[first:behind] = [begin]
        self._ends[first:behind] = [end]

    def remove(self, begin: int, end: int) -> None:
        """Nothing of `[begin, end)`, whatever of it was there."""
        if begin >= end:
            return
        first = bisect_right(self._ends, begin)
        behind = bisect_left(self._begins, end)
        if first >= behind:
            return
        rows = [(self._begins[first], begin), (end, self._ends[behind - 1])]
        rows = [(low, high) for low, high in rows if low < high]
        self._begins[first:behind] = [low for low, _ in rows]
        self._ends[first:behind] = [high for _, high in rows]

    def overlap(self, begin: int, end: int) -> bool:
        first = bisect_right(self._ends, begin)
        return begin < end and first < len(self._begins) and self._begins[first] < end

    def touches(self, offset: int) -> bool:
        """Whether the offset or the one before it is in it."""
        return self.overlap(offset - 1, offset + 1)

    def within(self, begin: int, end: int) -> list[tuple[int, int]]:
        """What of `[begin, end)` is in it."""
        rows = slice(bisect_right(self._ends, begin), bisect_left(self._begins, end))
        found = zip(self._begins[rows], self._ends[rows], strict=True)
        return [(max(low, begin), min(high, end)) for low, high in found if begin < end]

    def total(self) -> int:
        """How many offsets."""
        return sum(self._ends) - sum(self._begins)

    def take_first(self) -> tuple[int, int]:
        """The lowest row, which is taken out. There must be one."""
        return self._begins.pop(0), self._ends.pop(0)


def gaps_between(have_bits: int, piece_length: int, length: int) -> Gaps:
    """What is missing of a file of which the pieces `have_bits` are here, in time proportional to their count."""
    gaps = Gaps()
    piece_count = -(-length // piece_length)
    digits = f"{have_bits:0{piece_count}b}"[::-1] if piece_count else ""  # a search in a string stays in C
    begin = digits.find("0")
    while begin != -1:
        end = digits.find("1", begin)
        if end == -1:
            end = piece_count
        gaps.add(begin * piece_length, min(end * piece_length, length))
        begin = digits.find("0", end)
    return gaps
