"""Measure what all fetchers of one download bring together, in bytes a second.

The sum of what each one brings is no such measure: fetchers come and go, and who begins anew has no rate yet while
the line carries as much as before. Time counts only while anybody has a run: who rests is not slow.
"""

from __future__ import annotations

from shoal.swarm.rate import RateMeter


class FlowRate:
    """Told when work begins and ends; the clock of the meter stands still in between."""

    __slots__ = ("_meter", "_rested", "_rests_since")

    def __init__(self) -> None:
        self._meter: RateMeter | None = None  # from the first byte on: the wait for it says nothing
        self._rested = 0.0  # seconds altogether
        self._rests_since: float | None = None

    def work(self, now: float) -> None:
        """Somebody has a run."""
        if self._rests_since is not None:
            self._rested += now - self._rests_since
            self._rests_since = None

    def rest(self, now: float) -> None:
        """Nobody has one any more."""
        if self._rests_since is None:
            self._rests_since = now

    def add(self, count: int, now: float) -> None:
        if self._meter is None:
            self._meter = RateMeter(now - self._rested)
        self._meter.add(count, now - self._rested)

    def rate(self, now: float) -> float:
        """What it is, or was when work ended; 0 before the first byte."""
        if self._meter is None:
            return 0.0
        return self._meter.rate((now if self._rests_since is None else self._rests_since) - self._rested)
