"""Where a member's next run begins: behind its last one, else where it ranks highest. Pure."""

from __future__ import annotations

from shoal.fetch.pool.runs import PieceRun, Places, first_of, run_from
from shoal.formats.bitfield import run_mask, without


class Finding:
    def __init__(self, places: Places, me: bytes) -> None:
        self.behind = -1  # our last run
        self._places = places.in_order_of(me)

    def run(self, free: int, count: int, most: int) -> PieceRun:
        """About `count` of the `free` pieces, `most` at most; no sliver is left beside them."""
        first = self.behind
        if first < 0 or not free >> first & 1:
            first = first_of(self._places, free)
            row = without(run_mask(0, first), free).bit_length()  # where this free row begins
            if first - row < count:
                first = row
        there = run_from(free, first)
        return PieceRun(first, min(there if there < count + count // 2 else count, most))
