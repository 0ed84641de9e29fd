"""Keep all links together below a rate in one direction: `bucket.py` says how much, `turns.py` whose turn it is.

A link asks for a turn when it could move bytes; at its turn it is told how many it may move now. Nobody polls:
with nothing to move there is no timer, and a wake-up comes when a portion of bytes may pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shoal.net.bucket import Bucket
from shoal.net.turns import Rank, Share, Turns
from shoal.units import KIB, MIB

PORTION_SECONDS: Final = 0.01  # worth a turn: even, and no more than 100 wake-ups a second
LEAST_PORTION: Final = 1 * KIB  # bytes; less is mostly headers of TCP and IP
MOST_PORTION: Final = 1 * MIB  # bytes; what one read can take
CREDIT_BLOCKS: Final = (
    32 * KIB
)  # bytes a link may be ahead: the rest of a block, and messages of a busy second
MOST_AT_ONCE: Final = 2 * MIB  # bytes; then the rest of the program has its turn


class Throttle:
    """`rate` in bytes a second, of all links together. `call_later` is the loop's, or that of a virtual clock."""

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.portion = int(min(max(rate * PORTION_SECONDS, LEAST_PORTION), MOST_PORTION))
        self._clock = clock
        self._call_later = call_later
        self._bucket = Bucket(rate, clock(), least_burst=self.portion)
        self._turns = Turns(credit=2 * self.portion + CREDIT_BLOCKS)
        self._is_timed = False
        self._is_serving = False

    def ask(self, share: Share, rank: Rank = Rank.FRESH) -> None:
        """`share.move` is called when it may move something: at once, if nothing stands against it."""
        self._turns.join(share, rank)
        if not self._is_timed or rank is Rank.TALKING:
            self._serve()

    def leave(self, share: Share) -> None:
        self._turns.leave(share)

    def is_waiting(self, share: Share) -> bool:
        return share in self._turns

    def spend_now(self, wanted: int) -> int:
        """For last words: how many of `wanted` bytes may pass at once; they count as passed."""
        count = min(wanted, self._allowed(Rank.TALKING))
        self._bucket.take(count)
        return count

    def _serve(self) -> None:
        if self._is_serving:
            return  # what was moved had consequences; who asked in the course of it is served by the loop below
        self._is_serving = True
        left = MOST_AT_ONCE
        try:
            while left > 0 and (share := self._turns.next()) is not None:
                most = self._allowed(share.rank)
                if not most:
                    break
                self._turns.begin(share)
                moved = share.move(most)
                share.given += moved
                self._bucket.take(moved)
                left -= moved
        finally:
            self._is_serving = False
            self._wait()

    def _allowed(self, rank: Rank) -> int:
        """Bytes for one turn; none while it is not worth one, but a message may borrow."""
        level = self._bucket.level(self._clock())
        if rank is Rank.TALKING:
            return max(0, int(min(level + self._bucket.overdraft, self.portion)))
        return int(min(level, self.portion)) if level >= self.portion / 2 else 0

    def _wait(self) -> None:
        if self._turns and not self._is_timed:
            self._is_timed = True
            self._call_later(self._bucket.seconds_until(self.portion, self._clock()), self._on_time)

    def _on_time(self) -> None:
        self._is_timed = False
        self._serve()
