"""A token bucket: how many bytes may pass now, so that no more than `rate` of them pass in a second.

Pure: it has no clock, `now` is an argument. Always true: in any `t` seconds at most
`rate * t + burst + overdraft` bytes are taken. It begins empty, so that a start is no burst.
"""

from __future__ import annotations

from typing import Final

BURST_SECONDS: Final = 0.1  # worth of unused bytes that are kept: 2 % of 5 s, and a late timer loses nothing
OVERDRAFT_SECONDS: Final = 0.05  # worth that short messages may take in advance: the other 1 % of 5 s


class Bucket:
    """`rate` is in bytes a second. At least `least_burst` bytes can be saved up, however low the rate."""

    def __init__(self, rate: int, now: float, *, least_burst: int = 1) -> None:
        self.rate = rate
        self.burst = max(rate * BURST_SECONDS, least_burst)
        self.overdraft = rate * OVERDRAFT_SECONDS
        self._level = 0.0
        self._seen_at = now

    def level(self, now: float) -> float:
        """Bytes that may pass now; below zero after an overdraft."""
        self._level = min(self.burst, self._level + (now - self._seen_at) * self.rate)
        self._seen_at = now
        return self._level

    def take(self, count: int) -> None:
        """So many bytes have passed since `level` was asked: at most that, or `overdraft` more."""
        self._level -= count

    def seconds_until(self, level: float, now: float) -> float:
        """How long until so many bytes may pass, `level` being no more than the burst; 0 if they may now."""
        return max(0.0, (level - self.level(now)) / self.rate)
