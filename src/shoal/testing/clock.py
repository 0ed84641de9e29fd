"""A clock that a test turns by hand, for everything that takes the time as an argument.

Time never goes back, and what is due at a moment happens in the order in which it was set up, so a story on
virtual time runs the same way each time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class VirtualClock:
    """Seconds from 0 on. Call it to know the time: `clock()` stands wherever `time.monotonic` would."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()  # breaks ties, and callbacks cannot be compared

    def __call__(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        """Run `callback` once the clock reaches `when`; at the next turn if that is past."""
        heapq.heappush(self._due, (max(when, self.now), next(self._order), callback))

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        self.call_at(self.now + delay, callback)

    def next_deadline(self) -> float | None:
        return self._due[0][0] if self._due else None

    def advance(self, seconds: float) -> None:
        """Turn the clock on, running what falls due on the way at its own time."""
        self.advance_to(self.now + seconds)

    def advance_to(self, when: float) -> None:
        if when < self.now:
            raise ValueError(f"the clock stands at {self.now} and cannot go back to {when}")
        while self._due and self._due[0][0] <= when:
            self._run_next()
        self.now = when

    def run(self, until: Callable[[], bool] = lambda: False, *, limit: float) -> None:
        """Go from one callback to the next until `until()` holds or nothing is left.

        Raises `TimeoutError` when the next one is due later than `limit`, so that no story runs for ever.
        """
        while not until() and self._due:
            if self._due[0][0] > limit:
                raise TimeoutError(f"not over at {limit} s of virtual time (now {self.now})")
            self._run_next()

    def _run_next(self) -> None:
        self.now, _, callback = heapq.heappop(self._due)
        callback()
