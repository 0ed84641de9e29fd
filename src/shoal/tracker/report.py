"""What a tracker tells of itself: one value of numbers, made by a `Reporter`, from which page and metrics are drawn.

Several workers that are one tracker each make one, and `merged` is the whole tracker's. Times are Unix times, so that
workers agree on them. How many peers there are is the store's word, which is the same for all who share it.
"""

from __future__ import annotations

import time
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from msgspec import Struct

from shoal.disk.accounts import Traffic
from shoal.tracker.server import Serving
from shoal.tracker.soon import Soon, later
from shoal.tracker.store import StoreCounts, Trouble
from shoal.tracker.tracker import Tracker

SLOT_SECONDS = 10  # of counted announces; what "now" means on the page
SLOTS = 360  # an hour of them


class Report(Struct, frozen=True, kw_only=True):
    """Counters run since `started_at`; `announces_by_slot` counts those of each 10 s, by Unix time // 10."""

    started_at: float
    made_at: float
    announces: int = 0
    scrapes: int = 0
    refusals: int = 0
    store_errors: int = 0
    connections: int = 0  # open now
    accepted: int = 0  # connections since the start
    udp_connects: int = 0
    udp_answers: int = 0
    udp_drops: int = 0
    counts: StoreCounts | None = None  # None: the store is away
    announces_by_slot: dict[int, int] = {}
    traffic: dict[str, Traffic] = {}  # since the start, by owner of passkeys

    @property
    def uptime(self) -> float:
        return max(0.0, self.made_at - self.started_at)

    def rates(self) -> list[float]:
        """Announces a second in each slot of the last hour that is over and that this tracker saw, oldest first."""
        last = int(self.made_at) // SLOT_SECONDS
        first = max(last - SLOTS, int(self.started_at) // SLOT_SECONDS)
        return [self.announces_by_slot.get(slot, 0) / SLOT_SECONDS for slot in range(first, last)]


SUMMED = (
    "announces",
    "scrapes",
    "refusals",
    "store_errors",
    "connections",
    "accepted",
    "udp_connects",
    "udp_answers",
    "udp_drops",
)


def merged(reports: Sequence[Report]) -> Report:
    """The report of a tracker that has these as its workers', one at least."""
    sums = {name: sum(getattr(report, name) for report in reports) for name in SUMMED}
    return Report(
        started_at=min(report.started_at for report in reports),
        made_at=max(report.made_at for report in reports),
        counts=next((report.counts for report in reports if report.counts is not None), None),
        announces_by_slot=reduce(_added, (report.announces_by_slot for report in reports), {}),
        traffic=reduce(_summed, (report.traffic for report in reports), {}),
        **sums,
    )


def _added(left: dict[int, int], right: dict[int, int]) -> dict[int, int]:
    return {slot: left.get(slot, 0) + right.get(slot, 0) for slot in left.keys() | right.keys()}


def _summed(left: dict[str, Traffic], right: dict[str, Traffic]) -> dict[str, Traffic]:
    none = Traffic()
    return {owner: left.get(owner, none) + right.get(owner, none) for owner in left.keys() | right.keys()}


class Reporter:
    """Counts for one process. `keep_house` wants to be called every second or so."""

    def __init__(
        self,
        tracker: Tracker,
        *,
        traffic: Callable[[], Mapping[str, Traffic]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.serving: Serving | None = None  # once the doors are open
        self._tracker = tracker
        self._traffic = traffic
        self._clock = clock
        self._started_at = clock()
        self._announces_by_slot: dict[int, int] = {}
        self._counted = tracker.counters.announces

    def keep_house(self) -> None:
        """Count what came since the last call to the slot of now."""
        slot = int(self._clock()) // SLOT_SECONDS
        slots, announces = self._announces_by_slot, self._tracker.counters.announces
        if slot not in slots:
            for old in [old for old in slots if old < slot - SLOTS]:
                del slots[old]
        slots[slot] = slots.get(slot, 0) + announces - self._counted
        self._counted = announces

    def report(self) -> Soon[Report]:
        counts = self._tracker.store.count(self._tracker.clock())
        return later(counts, self._report) if isinstance(counts, Future) else self._report(counts)

    def without_counts(self) -> Report:
        """What this process alone knows, at once."""
        return self._report(None)

    def _report(self, counts: StoreCounts | Trouble | None) -> Report:
        counters, serving = self._tracker.counters, self.serving
        udp = [] if serving is None else [door.counters for door in serving.udp]
        return Report(
            started_at=self._started_at,
            made_at=self._clock(),
            announces=counters.announces,
            scrapes=counters.scrapes,
            refusals=counters.refusals,
            store_errors=counters.store_errors,
            connections=0 if serving is None else len(serving.http.connections),
            accepted=0 if serving is None else serving.http.accepted_count,
            udp_connects=sum(door.connects for door in udp),
            udp_answers=sum(door.answered for door in udp),
            udp_drops=sum(door.dropped for door in udp),
            counts=counts if isinstance(counts, StoreCounts) else None,
            announces_by_slot=dict(self._announces_by_slot),
            traffic=dict(self._traffic()),
        )
