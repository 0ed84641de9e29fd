"""How much of a file a member claims at a time, by its own rate: pure.

A run is one request, so it is long; but what is claimed is lost to the others for as long as it takes, so all of it
together is a few seconds' worth. Near the end each takes its share of what is left. Rates are bytes a second, 0 if
nothing is known yet; lengths are pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shoal.units import MIB

RUN_SECONDS = 4.0  # of our own rate, over all connections: few requests, little to lose with us
MOST_SECONDS = 5.0  # of it are taken: one connection has a run, another comes and gets one, too
FALLEN_SECONDS = 6.0  # of it; who has claimed more than that was faster when it did
SHORTEST_RUN = 1 * MIB
LONGEST_RUN = 16 * MIB


class Portions(NamedTuple):
    piece_length: int

    def run_length(self, rate: float, fetchers: float) -> int:
        """Of one of so many connections."""
        length = min(max(RUN_SECONDS * rate / fetchers, SHORTEST_RUN), LONGEST_RUN)
        return max(1, int(length) // self.piece_length)

    def run_near_the_end(self, rate: float, others: Iterable[float], fetchers: int, free: int) -> int:
        """The same, and at most our share of the `free` pieces; `others` are the rates of the other members."""
        rates = [rate, *others]
        known = [one for one in rates if one]
        usual = sum(known) / len(known) if known else 1.0
        share = (rate or usual) / sum(one or usual for one in rates) / fetchers
        return max(1, min(self.run_length(rate, fetchers), int(free * share)))

    def spare_length(self, rate: float, claimed: int) -> int:
        """Who has claimed so many pieces takes so many more; one of the shortest runs whatever it has."""
        if not rate:
            return max(1, LONGEST_RUN // self.piece_length)
        spare = MOST_SECONDS * rate - claimed * self.piece_length
        return max(1, int(max(spare, SHORTEST_RUN)) // self.piece_length)

    def is_too_much(self, rate: float, claimed: int) -> bool:
        """Whether the rate has fallen so far that what is claimed is in better hands with others."""
        size = claimed * self.piece_length
        return 0 < rate < size / FALLEN_SECONDS and size > 2 * SHORTEST_RUN
