"""Decide whether what members keep comes to requesters so slowly that it is fetched from the origin as well.

Stock is what members had already when they were met, or fetched some seconds ago, and nobody else was seen to get: a
whole cache, or what a narrow uplink holds back. Requesters take it; whoever is there learns from what they tell how
fast.

Always true: whoever has it gets some time to begin. It is left alone as long as requesters take at least as much of it
as all together would bring from the origin, and get its next piece soon. What is unclaimed comes first. Where a
requester fetches of it itself, it is known to be slow. Pure: told the time.
"""

from __future__ import annotations

from shoal.fetch.pool.lagging import GOOD
from shoal.fetch.pool.others import Others
from shoal.formats.bitfield import without
from shoal.swarm.rate import RateMeter

BEGINS_WITHIN = 2.0  # seconds from when there is any
STILL_AFTER = 1.0  # seconds without a piece of it; who has it is frozen, or slower than any fetcher
STAYS_SLOW = 1.5  # times what is enough; rates tremble, and what is begun is to go on


class Stock:
    def __init__(self, piece_length: int, now: float) -> None:
        self.bits = 0  # what is left of it, and not here
        self.is_slow = False
        self._piece_length = piece_length
        self._meter = RateMeter(now)
        self._since = self._moved_at = now

    def on_fetched(self, bits: int) -> None:
        """From the origin, by a member."""
        self.bits = without(self.bits, bits)

    def on_taken(self, bits: int, now: float) -> None:
        """A requester has these now, from whoever keeps them."""
        taken = self.bits & bits
        if taken:
            self._meter.add(taken.bit_count() * self._piece_length, now)
            self._moved_at = now
            self.bits ^= taken

    def look(self, members: Others, have: int, rate: float, now: float) -> None:
        """`have`: pieces that are here, or that nobody wants; `rate`: bytes a second that we bring, 0 if not known."""
        bits = without(members.stock, have)
        if not bits or not self.bits:
            self._since = self._moved_at = now
        self.bits = bits
        enough = (STAYS_SLOW if self.is_slow else 1.0) * ((rate or GOOD) + sum(members.told_rates))
        is_late = now - self._moved_at > STILL_AFTER or self._meter.rate(now) < enough
        is_shown = bool(bits & members.fetched_for_themselves)
        self.is_slow = is_shown or bool(bits and is_late and now - self._since > BEGINS_WITHIN)

    def beside(self, others: int) -> int:
        """What of it is ours to fetch, as far as it is not among `others`; nothing as long as it comes fast enough."""
        return without(self.bits, others) if self.is_slow else 0
