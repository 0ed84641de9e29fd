"""A claim: the bytes that a fetcher is to bring. And what is known of that fetcher.

`fetch/plan.py` alone makes claims, shares them and ends them; here is what one says of itself, and where it is cut.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from shoal.swarm.rate import RateMeter
from shoal.units import KIB

SHORTEST_STALL = 2.0  # seconds; a server that paces itself sends once a second
STALL_UNIT = 64 * KIB  # is expected to come within a stall's time ...
STALL_FACTOR = 4.0  # ... of which so many go by before the run is lost
LONGEST_STALL = (
    10.0  # seconds, whatever was expected; also if nobody gets anything: then the line is at fault
)
LONE_STALL = 3.0  # seconds; with one fetcher nobody shows whether it is the line, which may stumble
FIRST_BYTE_STALL = 5.0  # seconds; a server may have to fetch the file itself
BLOCK = 16 * KIB  # the shortest run, and where a claim is cut when no piece ends near
NEAR = 8  # a claim is cut at the border of a piece if one is within 1/8 of what is cut


class StopReason(enum.Enum):
    TAKEN = "others have fetched the rest, or will"
    STALLED = "nothing came any more"
    SURPLUS = "it added nothing to the rate"


class Run(NamedTuple):
    """The bytes to ask for."""

    begin: int
    end: int


class Stop(NamedTuple):
    fetcher: int
    reason: StopReason


class Claim:
    """`[done, end)` is on its way; what was before `done` is here. It was asked for up to `asked`."""

    __slots__ = ("asked", "done", "end", "fetchers")

    def __init__(self, begin: int, end: int) -> None:
        self.done = begin
        self.end = end
        self.asked = end
        self.fetchers: list[Fetcher] = []

    @property
    def left(self) -> int:
        return self.end - self.done


class Fetcher:
    """What is known of one fetcher. Rates outlive its runs."""

    __slots__ = (
        "asked_at", "claim", "delivers", "has_delivered", "heard_at", "is_asking", "longest_silence", "meter",
        "number", "position", "stop",
    )  # fmt: skip

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.meter = RateMeter(now)
        self.claim: Claim | None = None
        self.position = 0
        self.asked_at = self.heard_at = now
        self.longest_silence = 0.0  # that it came back from, in this run
        self.delivers = False  # in this run ...
        self.has_delivered = False  # ... or ever
        self.stop: StopReason | None = None
        self.is_asking = False  # its transfer is not over, even if its run is

    def begin(self, claim: Claim, now: float) -> None:
        self.claim = claim
        self.position = claim.done
        self.asked_at = self.heard_at = now
        self.longest_silence = 0.0
        self.delivers = False
        self.is_asking = True
        claim.asked = min(claim.asked, claim.end) if claim.fetchers else claim.end
        claim.fetchers.append(self)

    def stall_limit(self, latency: float) -> float:
        """Seconds of silence after which the run is lost, while others get something."""
        if not self.delivers:
            return min(max(FIRST_BYTE_STALL, STALL_FACTOR * latency), LONGEST_STALL)
        rate = self.meter.rate(self.heard_at)
        expected = max(STALL_UNIT / rate if rate else 0.0, self.longest_silence)
        return min(max(SHORTEST_STALL, STALL_FACTOR * expected), LONGEST_STALL)


def stalled(running: Sequence[Fetcher], now: float, latency: float, lone_stall: float) -> list[Fetcher]:
    """Who is silent for too long; if all of several are, it is the line, which gets more time."""
    heard_at = max((fetcher.heard_at for fetcher in running if fetcher.delivers), default=0.0)
    found = []
    for fetcher in running:
        limit = LONGEST_STALL
        if heard_at - fetcher.heard_at > SHORTEST_STALL / 2:  # others got something meanwhile
            limit = fetcher.stall_limit(latency)
        elif len(running) == 1 and fetcher.delivers:  # a new connection costs nothing
            limit = max(fetcher.stall_limit(latency), lone_stall)
        if now - fetcher.heard_at > limit:
            found.append(fetcher)
    return found


class Demand(NamedTuple):
    """What the fetchers could do with, for whoever offers them runs."""

    rate: float  # bytes a second of all
    latency: float  # seconds until a first byte
    fetchers: int  # worth having
    idle: int  # of them: without a run, or about to be
    waiting: int  # bytes in gaps: offered, and not begun
    begun_bits: int  # the pieces that fetchers are at ...
    asked_bits: int = 0  # ... and all of their runs: to take them away costs what is on its way


def near_border(low: int, cut: int, high: int, piece_length: int) -> int:
    """`cut`, moved to the border of a piece if one is near, else of a block; always within `(low, high)`."""
    for unit, reach in ((piece_length, (high - low) // NEAR), (BLOCK, BLOCK)):
        border = (cut + unit // 2) // unit * unit
        if low < border < high and abs(border - cut) <= reach:
            return border
    return cut
