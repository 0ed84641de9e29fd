"""Decide whether neighbours that have what we want are slow to pass it on, so that the origin may be asked for it.

Always true: whoever has it gets some time to begin. As long as nobody fetches anything, all that is left being with
neighbours, they are left alone while they bring at least what the origin would: it is not to send again what somebody
has. Pure: told the time.
"""

from __future__ import annotations

import math

from shoal.swarm.rate import RateMeter

LAGS_AFTER = 2.0  # seconds in which neighbours have what we want, before it is doubted that they bring it
MUCH_FASTER = 2.0  # times our own rate: from neighbours who are, nothing is taken off
GOOD = 25e6  # bytes a second; where it is not known what the origin would bring, it is not asked to find out


class Lagging:
    def __init__(self, piece_length: int, now: float) -> None:
        self._piece_length = piece_length
        self._meter = RateMeter(now)  # of pieces that come from neighbours ...
        self._since = now  # ... while they have some that we want
        self.is_doubted = False

    def on_piece(self, now: float) -> None:
        """One came from a neighbour."""
        self._meter.add(self._piece_length, now)

    def rest(self, now: float) -> None:
        """Neighbours have nothing that we want."""
        self._since = now
        self.is_doubted = False

    def seconds(self, count: int, best_rate: float, now: float, *, is_rest: bool) -> float | None:
        """Until they have brought these pieces; None: they are left alone.

        `best_rate`: bytes a second that we bring from the origin, 0 if that is not known; `is_rest`: nobody fetches
        anything, and these are all that is left.
        """
        if now - self._since <= LAGS_AFTER:
            return None
        rate = self._meter.rate(now) or 1.0
        enough = (1.0 if is_rest else MUCH_FASTER) * (best_rate or math.inf)
        if is_rest and not best_rate:
            enough = GOOD
        self.is_doubted = rate < enough
        return count * self._piece_length / rate if self.is_doubted else None
