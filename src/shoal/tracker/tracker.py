"""A tracker without its doors: admission, the store and the decision joined, and what is counted on the way.

Answers come at once when the store is in this process, and as futures when it is not. A door
gives the packed address that it saw and the path it was asked under, and knows nothing else.
"""

from __future__ import annotations

import random
import time
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from shoal.protocol.tracker.messages import (
    AnnounceRequest,
    AnnounceResponse,
    ScrapeResponse,
    TrackerFailure,
)
from shoal.tracker.decision import Policy, plan_visit, refuse, respond, respond_to_scrape
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.soon import Soon, later
from shoal.tracker.store import Entries, PeerStore, SwarmView, Trouble

# Is told the request, the packed address, and whose passkey it came with ("": with none).
OnAnnounce = Callable[[AnnounceRequest, bytes, str], None]


@dataclass(slots=True)
class Counters:
    """What happened since the start."""

    announces: int = 0
    scrapes: int = 0
    refusals: int = 0  # questions that got a failure reason
    store_errors: int = 0  # questions that the store could not answer, because it was away


class Tracker:
    """One tracker, whatever the number of torrents."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        store: PeerStore | None = None,
        on_announce: OnAnnounce | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """`on_announce` is told every announce that was let in."""
        self.policy = policy or Policy()
        self.counters = Counters()
        self.clock = clock
        self._rng = rng or random.Random()
        self.store: PeerStore = store or MemoryStore(self.policy.peer_lifetime, self._rng)
        self._on_announce = on_announce

    def announce(
        self, request: AnnounceRequest, host: bytes, passkey: bytes, now: float
    ) -> Soon[AnnounceResponse | TrackerFailure]:
        """Answer the peer at `host` (4 or 16 bytes), which came with `passkey` (empty: with none)."""
        policy = self.policy
        self.counters.announces += 1
        if policy.is_choosy:
            failure = refuse(request.info_hash, passkey, policy)
            if failure is not None:
                self.counters.refusals += 1
                return failure
        if self._on_announce is not None:
            owner = "" if policy.passkeys is None else policy.passkeys[passkey]
            self._on_announce(request, host, owner)
        view = self.store.visit(plan_visit(request, host), now)
        if isinstance(view, SwarmView):
            return respond(view, host, policy, self._rng)
        if isinstance(view, Future):
            return later(view, partial(self._respond, host))
        return self._respond(host, view)

    def scrape(
        self, info_hashes: list[bytes], passkey: bytes, now: float
    ) -> Soon[ScrapeResponse | TrackerFailure]:
        """Sizes of the swarms asked for. A scrape of everything is refused: it would be the whole catalogue."""
        self.counters.scrapes += 1
        failure = refuse(None, passkey, self.policy)
        if failure is None and not info_hashes:
            failure = TrackerFailure("name the info hashes to scrape")
        if failure is not None:
            self.counters.refusals += 1
            return failure
        served = [one for one in info_hashes if refuse(one, passkey, self.policy) is None]
        entries = self.store.scrape(served, now)
        if isinstance(entries, Future):
            return later(entries, self._respond_to_scrape)
        return self._respond_to_scrape(entries)

    def keep_house(self) -> None:
        """Forget who is silent."""
        self.store.expire(self.clock())

    def _respond(self, host: bytes, view: SwarmView | Trouble) -> AnnounceResponse | TrackerFailure:
        if view.__class__ is Trouble:
            self._count_trouble(view)
        return respond(view, host, self.policy, self._rng)

    def _respond_to_scrape(self, entries: Entries | Trouble) -> ScrapeResponse | TrackerFailure:
        self._count_trouble(entries)
        return respond_to_scrape(entries)

    def _count_trouble(self, answer: object) -> None:
        self.counters.refusals += answer is Trouble.FULL
        self.counters.store_errors += answer is Trouble.AWAY
