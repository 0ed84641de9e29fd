"""Measure a flow in bytes a second.

The rate is a weighted mean in which the last two seconds count for two thirds and the last five for nearly
all, so it is calm enough to show and to choose by, and follows a change within a second. The total is exact.
An `add` costs a few attribute operations and keeps no sample: it is called at every wake-up of every peer.
"""

from __future__ import annotations

import math

BUCKET = 0.25  # seconds; bytes are summed this long before they enter the mean, so that bursts even out
MEMORY = 2.0  # seconds; the mean forgets by 1/e in this time
SILENCE = 1.0  # seconds without a byte before the rate begins to fall: slow flows come block by block
WINDOW = 5.0  # seconds without a byte after which the flow counts as ended
RESTART_WEIGHT = 0.1  # of what was before a pause of a window: the first second outweighs it


class RateMeter:
    """One direction of one flow. Times are seconds of one clock and never go back."""

    __slots__ = ("_mean", "_pending", "_since", "_weight", "total")

    def __init__(self, now: float) -> None:
        self.total = 0
        self._pending = 0  # bytes since `_since` that are not in the mean yet
        self._since = now
        self._mean = 0.0  # weighted sum of rates ...
        self._weight = 0.0  # ... and its weight, which is below 1 until the flow is some seconds old

    def add(self, count: int, now: float) -> None:
        """`count` bytes have passed since the last call."""
        self.total += count
        self._pending += count
        if now - self._since >= BUCKET:
            self._enter(now)

    def rate(self, now: float) -> float:
        """Bytes a second; 0 once the flow has been idle for a window."""
        silent_for = now - self._since
        if silent_for >= WINDOW:
            return 0.0
        if not self._weight:
            return self._pending / max(silent_for, BUCKET)
        rate = self._mean / self._weight
        return rate if silent_for <= SILENCE else rate * math.exp((SILENCE - silent_for) / MEMORY)

    def _enter(self, now: float) -> None:
        """Take the pending bytes into the mean."""
        elapsed = now - self._since
        rate = self._pending / elapsed
        if elapsed >= WINDOW:
            self._weight = RESTART_WEIGHT
            self._mean = rate * RESTART_WEIGHT
        else:
            kept = math.exp(-elapsed / MEMORY)
            self._weight = self._weight * kept + 1 - kept
            self._mean = self._mean * kept + rate * (1 - kept)
        self._pending = 0
        self._since = now
