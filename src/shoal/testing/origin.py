"""A simulated origin, and a download from it on virtual time.

The origin is a fluid: in every tick each connection that is past its latency may send at its own rate, and all of
them share the rate of the line evenly. It can begin with a burst, begin slowly, fall silent, refuse connections above a
number, be away for a while, and change its rates as time goes by. `SimulatedDownload` asks a `Plan` what to do and
`Sources` whether the origin may be asked now, as the real download does, and keeps the books: what came, how many
requests were made, how many fetchers there were.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from shoal.errors import NetworkError
from shoal.fetch.claims import Stop, StopReason
from shoal.fetch.plan import Plan
from shoal.fetch.sources import Sources
from shoal.units import MIB

RateAt = Callable[[int, float], float]  # (fetcher from 1 on, seconds since the start) -> bytes a second
AwayAt = Callable[[float], bool]  # (seconds since the start)
SilentAt = Callable[[int, float], bool]  # (request from 1 on, seconds since the start)

BEGAN_AT = 1.0  # so that no time is confused with "never"
TICK = 0.01  # seconds
TICKS_A_LOOK = 5  # the plan is asked twenty times a second, as by the real download
NO_LIMIT = math.inf


@dataclass(frozen=True, slots=True)
class SimulatedOrigin:
    """What a server, and the line to it, are like. Rates are bytes a second."""

    each: float | RateAt = NO_LIMIT  # of one connection
    total: float = 100 * MIB  # of all of them
    latency: float = 0.05  # seconds from a request to its first byte
    most_connections: int = 1000  # those above are refused
    sends_every: float = 0.0  # seconds; a paced connection gets at once what is for so long, and then waits
    burst: float = 0.0  # seconds' worth that a connection may send at once, as where the average is limited
    first_rate: float = NO_LIMIT  # of a new connection; it doubles with every latency
    is_silent: SilentAt | None = None
    is_away: AwayAt = lambda seconds: False  # every connection is closed, and none is taken

    def rate_of(self, fetcher: int, seconds: float) -> float:
        return self.each(fetcher, seconds) if callable(self.each) else self.each

    def grown(self, seconds: float) -> float:
        """The rate that a connection can have so long after its first byte."""
        return self.first_rate * math.exp2(min(seconds / self.latency, 60.0))


@dataclass(slots=True)
class _Transfer:
    request: int
    end: int  # of what was asked for: a connection that got so far has the next request too
    opens_at: float
    connected_at: float
    credit: float  # bytes of a burst that are left
    next_at: float  # when it may send again
    is_open: bool  # asked for when the origin was there
    has_delivered: bool = False


@dataclass(slots=True)
class Outcome:
    """What a download came to."""

    seconds: float = 0.0
    requests: int = 0
    refusals: int = 0
    most_running: int = 0
    stops: list[Stop] = field(default_factory=list)
    running: list[tuple[float, int]] = field(default_factory=list)  # (seconds, fetchers) at each change

    @property
    def reasons(self) -> set[StopReason]:
        return {stop.reason for stop in self.stops}

    def running_at(self, seconds: float) -> int:
        return next((count for when, count in reversed(self.running) if when <= seconds), 0)


class SimulatedDownload:
    """One plan at one origin, from the first request to the last byte."""

    def __init__(self, plan: Plan, origin: SimulatedOrigin, *, seed: int = 0, tick: float = TICK) -> None:
        self.plan = plan
        self.origin = origin
        self.now = BEGAN_AT
        self.outcome = Outcome()
        self.rows: list[tuple[int, int]] = []  # all that came, in order
        self.whole: list[int] = []  # the pieces that became so, in order
        self._tick = tick
        self._rng = random.Random(seed)
        self._transfers: dict[int, _Transfer] = {}
        self._fetcher_count = 0
        self._sources = Sources([("", "origin")], BEGAN_AT, random.Random(seed))

    @property
    def seconds(self) -> float:
        return self.now - BEGAN_AT

    @property
    def twice(self) -> int:
        """How many bytes came more than once."""
        return self.plan.received - covered(self.rows)

    def run(self, *, limit: float = 3600.0) -> Outcome:
        """Raises `TimeoutError` if it is not over after `limit` seconds."""
        ticks = 0
        while not self.plan.is_complete:
            if self.seconds > limit:
                raise TimeoutError(f"{self.plan.bytes_left} bytes are left after {limit} s")
            if ticks % TICKS_A_LOOK == 0:
                self._look()
            self.now += self._tick
            if self.origin.is_away(self.seconds):
                self._break()
            else:
                self._deliver()
            ticks += 1
        self.outcome.seconds = self.seconds
        return self.outcome

    def _look(self) -> None:
        for stop in self.plan.tick(self.now):
            self.outcome.stops.append(stop)
            self._end(stop.fetcher)
        while self.plan.wants_another_fetcher(self.now):
            self._fetcher_count += 1
            if not self._ask(self._fetcher_count):
                return

    def _ask(self, number: int, connected_at: float | None = None) -> bool:
        """Send the fetcher's next request, if there is one. A refusal is told to the plan."""
        is_ready = self._sources.source_for(number, self.now) is not None
        run = self.plan.next_run(number, self.now) if is_ready else None
        if run is None:
            self._sources.leave(number)
            return False
        self.outcome.requests += 1
        if len(self._transfers) >= self.origin.most_connections:
            self._on_refused(number)
            return False
        opens_at = self.now + self.origin.latency * self._rng.uniform(0.8, 1.2)
        rate = self.origin.rate_of(number, opens_at - BEGAN_AT)
        credit = rate * self.origin.burst if self.origin.burst else 0.0
        if connected_at is None:
            connected_at = opens_at
        self._transfers[number] = _Transfer(
            self.outcome.requests, run.end, opens_at, connected_at, credit, opens_at,
            is_open=not self.origin.is_away(self.seconds),
        )  # fmt: skip
        self._count()
        return True

    def _on_refused(self, number: int) -> None:
        self.outcome.refusals += 1
        is_limited = self._sources.on_refused(number, self.now, NetworkError("cannot connect"))
        self._sources.leave(number)
        self.plan.on_ended(number, self.now, ok=False)
        if is_limited:
            self.plan.on_refused(self.now)

    def _break(self) -> None:
        """The origin is away: each connection is closed, in any order, and one that is asked for then is refused."""
        broken = [
            number for number, one in self._transfers.items() if one.is_open or one.opens_at <= self.now
        ]
        self._rng.shuffle(broken)
        for number in broken:
            transfer = self._transfers.pop(number)
            if not transfer.has_delivered:
                self._on_refused(number)
                continue
            self._sources.on_failure(number, self.now, NetworkError("connection lost"))
            self._sources.leave(number)
            self.plan.on_ended(number, self.now, ok=False)
        if broken:
            self._count()

    def _end(self, number: int) -> None:
        """The fetcher's run is over; it asks for the next."""
        transfer = self._transfers.pop(number)
        is_whole = self.plan.position_of(number) == transfer.end
        self._sources.leave(number)
        self.plan.on_ended(number, self.now, ok=True)
        self._ask(number, transfer.connected_at if is_whole else None)
        self._count()

    def _count(self) -> None:
        running = len(self._transfers)
        self.outcome.most_running = max(self.outcome.most_running, running)
        self.outcome.running.append((self.seconds, running))

    def _deliver(self) -> None:
        """One tick of every connection."""
        can = {}
        for number, transfer in self._transfers.items():
            if transfer.opens_at > self.now:
                continue
            if self.origin.is_silent is not None and self.origin.is_silent(transfer.request, self.seconds):
                continue
            transfer.credit += self._earned(number, transfer)
            grown = self.origin.grown(self.now - transfer.connected_at)
            can[number] = min(transfer.credit, grown * self._tick)
        shares = share_evenly(can, self.origin.total * self._tick)
        for number, share in shares.items():
            transfer = self._transfers[number]
            is_kept = self.origin.burst or self.origin.sends_every
            transfer.credit = transfer.credit - share if is_kept else 0.0
            self._take(number, int(share + self._rng.random()))  # up or down: no rate is too low for a tick

    def _earned(self, number: int, transfer: _Transfer) -> float:
        rate = self.origin.rate_of(number, self.seconds)
        if not self.origin.sends_every:
            return rate * self._tick
        if self.now < transfer.next_at:
            return 0.0
        transfer.next_at = self.now + self.origin.sends_every
        return rate * self.origin.sends_every

    def _take(self, number: int, count: int) -> None:
        position = self.plan.position_of(number)
        count = min(count, self.plan.end_of(number) - position)
        if count:
            self.rows.append((position, position + count))
            self._transfers[number].has_delivered = True
            self._sources.on_bytes(number, count, self.now)
            self.whole += self.plan.on_bytes(number, count, self.now)
        if self.plan.position_of(number) == self.plan.end_of(number):
            self._end(number)


def share_evenly(can: dict[int, float], total: float) -> dict[int, float]:
    """`total` among those who can take so much each, so that nobody who gets less could have more."""
    shares = {}
    left = len(can)
    for number, most in sorted(can.items(), key=lambda item: item[1]):
        shares[number] = min(most, total / left)
        total -= shares[number]
        left -= 1
    return shares


def covered(rows: list[tuple[int, int]]) -> int:
    """How many offsets the rows hold, each counted once."""
    count = reached = 0
    for begin, end in sorted(rows):
        count += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return count
