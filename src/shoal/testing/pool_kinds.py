"""What a member of a simulated pool is like, and the books that are kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

NEVER = math.inf

RateAt = Callable[[float], float]  # seconds since the beginning -> bytes a second


@dataclass(slots=True)
class Kind:
    """What a member is like. Times are seconds since the beginning."""

    rate: float | RateAt = 2.5e6
    is_helper: bool = False
    keeps: float = 0.0  # the part of the file that it has from the beginning, spread over all of it
    starts_at: float = 0.0
    dies_at: float = NEVER  # its connections are closed
    freezes_at: float = NEVER  # they stay open, and it does nothing more
    crawls_at: float = NEVER  # its link has a hundredth of its rate
    only_claims: bool = False  # it claims as others do, and fetches nothing
    floods: bool = False  # it claims as others do, again and again
    lan_rate: float = 100e6

    def rate_at(self, seconds: float) -> float:
        rate = self.rate(seconds) if callable(self.rate) else self.rate
        return rate / 100 if seconds >= self.crawls_at else rate


@dataclass(slots=True)
class Transfer:
    opens_at: float
    end: int  # of what was asked for


@dataclass(slots=True)
class Books:
    """What a member did."""

    complete_at: float = NEVER
    requests: int = 0
    idle: float = 0.0  # seconds without a byte from the origin, while there was something unclaimed
    messages: int = 0
    cut_off: float = 0.0  # bytes that were under way when we ended a transfer, at most
