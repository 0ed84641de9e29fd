"""Decide which tracker of one torrent is asked next, when, and with which event (BEP 3, 12, 31).

Always true: one tracker at a time is kept informed; the next tier is asked only while every tracker of the
tiers before it has failed; no tracker is asked twice at once, and, events apart, none before its min interval
or its backoff is over; `completed` and `stopped` go to those that heard `started`, each once.

Tiers are shuffled once, so that the load spreads, and a tracker that works moves to the front of its tier.
Trackers that cannot be asked (a scheme we do not speak) are set aside in `unsupported`. Time and chance are
arguments; what an announce came to is told back by `on_response` or `on_failure`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from shoal.protocol.tracker.messages import Event

DEFAULT_INTERVAL = 1800.0  # BEP 3's custom, for trackers that name none
SHORTEST_INTERVAL = 5.0  # a tracker that says 0 is not to be hammered for it
LONGEST_INTERVAL = 2 * 3600.0  # trackers forget the silent; one that says "next year" would lose us
DEFAULT_MIN_INTERVAL = 60.0  # between announces made because peers are wanted, where none is named
FIRST_BACKOFF = 5.0
LONGEST_BACKOFF = 1800.0
BACKOFF_JITTER = 0.25  # of the backoff, either way: a tracker that comes back meets no wave
DEFAULT_NUMWANT = 50  # 300 bytes when packed; nobody keeps more new peers busy at once


@dataclass(frozen=True, slots=True)
class AnnounceAction:
    """Ask `url` now. The same tracker is not asked again before the outcome is told."""

    url: str
    event: Event | None
    numwant: int


@dataclass(slots=True, eq=False)
class _Tracker:
    """What is remembered of one tracker."""

    url: str
    asking: AnnounceAction | None = None
    heard_started: bool = False
    owed_completed: bool = False
    failure_count: int = 0  # since the last answer
    ready_at: float = -math.inf  # the end of its min interval, or of its backoff

    @property
    def is_owed_event(self) -> bool:
        return self.owed_completed and self.heard_started and self.asking is None

    def next_event(self) -> Event | None:
        if not self.heard_started:
            return Event.STARTED
        return Event.COMPLETED if self.owed_completed else None


class AnnounceSchedule:
    """The announces of one torrent, from `started` to `stopped`."""

    def __init__(
        self,
        tiers: Sequence[Sequence[str]],
        rng: random.Random,
        *,
        is_supported: Callable[[str], bool],
        numwant: int = DEFAULT_NUMWANT,
    ) -> None:
        self._rng = rng
        self._numwant = numwant
        self._due_at = -math.inf  # the next announce, if nothing hastens it
        self._wants_peers = False
        known = dict.fromkeys(url for tier in tiers for url in tier)
        self.unsupported = tuple(url for url in known if not is_supported(url))
        self._trackers = {url: _Tracker(url) for url in known if is_supported(url)}
        self._tiers = list(_shuffled_tiers(tiers, self._trackers, rng))

    # -- what to do ----------------------------------------------------------------------------------

    def next_action(self, now: float) -> AnnounceAction | None:
        """The announce that is due, if one is; it counts as under way from here on. Ask until None."""
        tracker = self._next_tracker(now)
        if tracker is None:
            return None
        tracker.asking = AnnounceAction(tracker.url, tracker.next_event(), self._numwant)
        return tracker.asking

    def next_deadline(self) -> float | None:
        """When `next_action` is worth asking again; None while only news can change its answer."""
        times = [tracker.ready_at for tracker in self._trackers.values() if tracker.is_owed_event]
        if not self._is_asking():
            ready_at = min((tracker.ready_at for tracker in self._candidates()), default=math.inf)
            times.append(max(ready_at, self._regular_at()))
        return min((time for time in times if time < math.inf), default=None)

    def stop_actions(self) -> list[AnnounceAction]:
        """The farewells: `stopped` to everybody who heard, or may just be hearing, `started`."""
        return [
            AnnounceAction(tracker.url, Event.STOPPED, numwant=0)
            for tracker in self._trackers.values()
            if tracker.heard_started or tracker.asking is not None
        ]

    def owed_to(self, url: str) -> AnnounceAction | None:
        """`completed`, where it has still to be told before a farewell."""
        return AnnounceAction(url, Event.COMPLETED, numwant=0) if self._trackers[url].is_owed_event else None

    # -- what happened -------------------------------------------------------------------------------

    def on_response(
        self, url: str, now: float, *, interval: float | None = None, min_interval: float | None = None
    ) -> None:
        """The tracker answered; intervals are in seconds and as it named them."""
        tracker = self._trackers[url]
        if tracker.asking is not None and tracker.asking.event is Event.COMPLETED:
            tracker.owed_completed = False
        tracker.asking = None
        tracker.heard_started = True
        tracker.failure_count = 0
        regular = _clamped(interval, DEFAULT_INTERVAL, SHORTEST_INTERVAL, LONGEST_INTERVAL)
        usual_shortest = min(DEFAULT_MIN_INTERVAL, regular)
        shortest = _clamped(min_interval, usual_shortest, SHORTEST_INTERVAL, LONGEST_INTERVAL)
        tracker.ready_at = -math.inf if tracker.owed_completed else now + shortest  # an event need not wait
        self._move_to_front(tracker)
        self._due_at = now + max(regular, shortest)
        self._wants_peers = False

    def on_failure(self, url: str, now: float, *, retry_in: float | None = None) -> None:
        """No answer, an unreadable one, or a refusal; `retry_in` is the tracker's own word (BEP 31)."""
        tracker = self._trackers[url]
        tracker.asking = None
        tracker.owed_completed = tracker.owed_completed and tracker.heard_started
        tracker.failure_count += 1
        tracker.ready_at = now + max(_backoff(tracker.failure_count, self._rng), retry_in or 0.0)
        self._due_at = now  # somebody else, or the same one later, takes its place

    def on_completed(self) -> None:
        """Everything wanted is here now (and was not from the start): those that heard `started` hear it."""
        for tracker in self._trackers.values():
            if tracker.heard_started or tracker.asking is not None:
                tracker.owed_completed = True
                if tracker.failure_count == 0:
                    tracker.ready_at = -math.inf

    def on_peers_wanted(self) -> None:
        """Peers are short: do not wait for the interval, only for what the tracker insists on."""
        self._wants_peers = True

    # -- choosing ------------------------------------------------------------------------------------

    def _next_tracker(self, now: float) -> _Tracker | None:
        for tracker in self._trackers.values():
            if tracker.is_owed_event and tracker.ready_at <= now:
                return tracker
        if self._is_asking() or now < self._regular_at():
            return None
        return next((tracker for tracker in self._candidates() if tracker.ready_at <= now), None)

    def _candidates(self) -> Iterator[_Tracker]:
        """Trackers in the order of trying, down to the first that has not failed: those behind it rest."""
        for tier in self._tiers:
            for tracker in tier:
                yield tracker
                if tracker.failure_count == 0:
                    return

    def _regular_at(self) -> float:
        return -math.inf if self._wants_peers else self._due_at

    def _is_asking(self) -> bool:
        return any(tracker.asking is not None for tracker in self._trackers.values())

    def _move_to_front(self, tracker: _Tracker) -> None:
        tier = next(tier for tier in self._tiers if tracker in tier)
        tier.remove(tracker)
        tier.insert(0, tracker)


def _shuffled_tiers(
    tiers: Sequence[Iterable[str]], trackers: dict[str, _Tracker], rng: random.Random
) -> Iterator[list[_Tracker]]:
    """Each tier in a new order; a tracker belongs to the first tier that names it."""
    placed: set[str] = set()
    for tier in tiers:
        urls = [url for url in dict.fromkeys(tier) if url in trackers and url not in placed]
        placed.update(urls)
        rng.shuffle(urls)
        if urls:
            yield [trackers[url] for url in urls]


def _backoff(failure_count: int, rng: random.Random) -> float:
    """Seconds to wait after so many failures in a row: doubling, bounded, never twice the same."""
    doublings = min(failure_count - 1, 16)  # far past the longest; 2.0**n must not overflow
    backoff = min(FIRST_BACKOFF * 2.0**doublings, LONGEST_BACKOFF)
    return backoff * rng.uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER)


def _clamped(named: float | None, default: float, shortest: float, longest: float) -> float:
    return min(max(default if named is None else named, shortest), longest)
