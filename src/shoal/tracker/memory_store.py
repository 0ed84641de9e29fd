"""A `PeerStore` in this process: an answer is a few slices of packed bytes, and forgetting needs no search.

Always true: a peer is in exactly one pool of its swarm (that of its scope, address family and role), and a swarm
stands in exactly one bucket of the wheel, which is that of its most silent peer or an older one. There is no object
a peer, only its packed record and a byte that tells when it came last, so memory is in proportion to the peers that
are here, and a million of them fit in 200 MB (`./dev bench tracker --memory`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct, field

from shoal.protocol.tracker.messages import RECORD_LENGTH_V4, ScrapeEntry
from shoal.tracker.section import NOBODY, ONLY_LEECHERS, TOLD_TO, Section
from shoal.tracker.store import (
    Entries,
    ListedPeer,
    Presence,
    StoreCounts,
    SwarmView,
    Trouble,
    Visit,
)

MAX_PEERS = 1_000_000  # about 100 bytes each in swarms of ten
MAX_SWARMS = 500_000  # about 600 bytes each: a stranger who invents info hashes costs 300 MB
MAX_SWARMS_A_TIME = 20_000  # looked at in one call, 50 ms: those of a flood fall silent all at once
SEEDING, GONE, LOOKING = Presence.SEEDING, Presence.GONE, Presence.LOOKING  # names cost less than attributes
WHEEL_STEPS = 100  # ticks in a lifetime: who is silent stays at most a hundredth of it too long


class MemoryStore:
    """All swarms of one tracker process. `lifetime` is how long a peer may be silent, in seconds."""

    def __init__(
        self,
        lifetime: float,
        rng: random.Random,
        *,
        max_peers: int = MAX_PEERS,
        max_swarms: int = MAX_SWARMS,
    ) -> None:
        self._rng = rng
        self._max_peers = max_peers
        self._max_swarms = max_swarms
        self._ticks_a_second = WHEEL_STEPS / lifetime
        self._now_tick = 0
        self._wheel: dict[int, set[_Swarm]] = {}  # tick -> swarms where nobody was silent for longer
        self._swarms: dict[bytes, _Swarm] = {}
        self._seed_count = 0
        self._leecher_count = 0

    # -- the contract --------------------------------------------------------------------------------

    def visit(self, visit: Visit, now: float) -> SwarmView | Trouble:
        if int(now * self._ticks_a_second) != self._now_tick:
            self.expire(now)
        return self._visit(visit)

    def scrape(self, info_hashes: list[bytes], now: float) -> Entries:
        self._catch_up(now)
        entries = {}
        for info_hash in info_hashes:
            swarm = self._swarms.get(info_hash)
            if swarm is not None:
                entries[info_hash] = ScrapeEntry(swarm.seed_count, swarm.leecher_count, swarm.completed_count)
        return entries

    def expire(self, now: float) -> None:
        tick_before, self._now_tick = self._now_tick, int(now * self._ticks_a_second)
        if self._now_tick - tick_before > WHEEL_STEPS:  # nobody came for a lifetime: this machine was stopped
            self._forget_everybody()
        oldest_alive = self._now_tick - WHEEL_STEPS
        left = MAX_SWARMS_A_TIME
        while left and (tick := min(self._wheel, default=oldest_alive)) < oldest_alive:
            bucket = self._wheel[tick]
            while bucket and left:
                self._forget_silent(bucket.pop(), tick)
                left -= 1
            if not bucket:
                del self._wheel[tick]

    def count(self, now: float) -> StoreCounts:
        self._catch_up(now)
        return StoreCounts(len(self._swarms), self._seed_count, self._leecher_count)

    def list_peers(self, most: int, now: float) -> list[ListedPeer]:
        self._catch_up(now)
        everybody = (
            ListedPeer(swarm.info_hash, record, is_seed)
            for swarm in self._swarms.values()
            for record, is_seed in swarm
        )
        return list(islice(everybody, most))

    async def close(self) -> None:
        pass

    def _catch_up(self, now: float) -> None:
        if int(now * self._ticks_a_second) != self._now_tick:
            self.expire(now)

    # -- coming and going ----------------------------------------------------------------------------

    def _visit(self, visit: Visit) -> SwarmView | Trouble:
        swarm, presence, record = self._swarms.get(visit.info_hash), visit.presence, visit.record
        key = visit.scope * 2 + (len(record) != RECORD_LENGTH_V4)  # as `section_key` has it
        if presence is GONE or presence is LOOKING:
            if swarm is None:
                return SwarmView()
            if presence is LOOKING:
                return self._view(swarm, visit, key, NOBODY)
            self._say_goodbye(swarm, key, record)
            return SwarmView()
        is_seed = presence is SEEDING
        if swarm is not None and (section := swarm.sections.get(key)) is not None:
            pool = section.seeds if is_seed else section.leechers
            if pool is not None and (slot := pool.find(record)) >= 0:
                pool.ticks[slot] = self._now_tick & 0xFF
                return self._view(swarm, visit, key, slot)
        return self._welcome(swarm, visit, key, is_seed)

    def _welcome(self, swarm: _Swarm | None, visit: Visit, key: int, is_seed: bool) -> SwarmView | Trouble:
        """Let in somebody who is new, or new in this role."""
        if swarm is not None:
            self._leave(swarm, key, visit.record, not is_seed)  # and so has room for itself
        if self._seed_count + self._leecher_count >= self._max_peers:
            return Trouble.FULL
        if swarm is None:
            if len(self._swarms) >= self._max_swarms:
                return Trouble.FULL
            swarm = self._swarms[visit.info_hash] = _Swarm(visit.info_hash, self._now_tick)
            self._wheel.setdefault(self._now_tick, set()).add(swarm)
        swarm.completed_count += is_seed and visit.has_completed
        section = swarm.sections.get(key)
        if section is None:
            section = swarm.sections[key] = Section(len(visit.record))
        slot = section.add(visit.record, is_seed, self._now_tick & 0xFF, self._rng)
        self._count(swarm, is_seed, +1)
        return self._view(swarm, visit, key, slot)

    def _leave(self, swarm: _Swarm, key: int, record: bytes, is_seed: bool) -> bool:
        """Take a peer out of a pool; whether it was there."""
        section = swarm.sections.get(key)
        pool = None if section is None else section.seeds if is_seed else section.leechers
        slot = -1 if pool is None else pool.find(record)
        if slot >= 0:
            self._remove(swarm, key, slot, is_seed)
        return slot >= 0

    def _remove(self, swarm: _Swarm, key: int, slot: int, is_seed: bool) -> None:
        section = swarm.sections[key]
        section.remove(slot, is_seed)
        if section.seeds is None and section.leechers is None:
            del swarm.sections[key]
        self._count(swarm, is_seed, -1)

    def _count(self, swarm: _Swarm, is_seed: bool, change: int) -> None:
        if is_seed:
            swarm.seed_count += change
            self._seed_count += change
        else:
            swarm.leecher_count += change
            self._leecher_count += change

    def _say_goodbye(self, swarm: _Swarm, key: int, record: bytes) -> None:
        if not self._leave(swarm, key, record, is_seed=True):
            self._leave(swarm, key, record, is_seed=False)
        if not swarm.sections:
            self._wheel[swarm.wheel_tick].discard(swarm)
            del self._swarms[swarm.info_hash]

    def _forget_everybody(self) -> None:
        """Before a byte is too small to tell when somebody came."""
        self._wheel.clear()
        self._swarms.clear()
        self._seed_count = self._leecher_count = 0

    def _forget_silent(self, swarm: _Swarm, tick: int) -> None:
        """Forget the peers of a swarm that came last at `tick`; those left wait for their turn in the wheel."""
        stale = tick & 0xFF
        for key, section in list(swarm.sections.items()):
            for pool, is_seed in list(section.pools):
                slot = pool.ticks.find(stale)
                while slot >= 0:
                    self._remove(swarm, key, slot, is_seed)
                    slot = pool.ticks.find(stale, slot)  # its place has another now
        if not swarm.sections:
            del self._swarms[swarm.info_hash]
            return
        pools = [pool for section in swarm.sections.values() for pool, _ in section.pools]
        swarm.wheel_tick = tick + min((came - tick) & 0xFF for pool in pools for came in set(pool.ticks))
        self._wheel.setdefault(swarm.wheel_tick, set()).add(swarm)

    # -- telling -------------------------------------------------------------------------------------

    def _view(self, swarm: _Swarm, visit: Visit, key: int, own_slot: int) -> SwarmView:
        """Peers of the nearest scope first, and in it of the visitor's own family."""
        wanted, sections, rng = visit.wanted_count, swarm.sections, self._rng
        if visit.presence is SEEDING:
            own_slot = ONLY_LEECHERS
        if len(sections) == 1 and key in sections:  # as nearly all are
            section = sections[key]
            packed = section.sample(wanted, own_slot, rng)
            v4, v6 = (b"", packed) if section.is_v6 else (packed, b"")
            return SwarmView(swarm.seed_count, swarm.leecher_count, v4, v6)
        v4 = v6 = b""
        for told_key in TOLD_TO[key]:
            told = sections.get(told_key)
            if told is None or wanted <= 0:
                continue
            packed = told.sample(wanted, own_slot, rng)
            own_slot = min(own_slot, NOBODY)  # it stands in its own section only, which is the first
            if told.is_v6:
                v6 += packed
            else:
                v4 += packed
            wanted -= len(packed) // told.record_length
        return SwarmView(swarm.seed_count, swarm.leecher_count, v4, v6)


class _Swarm(Struct, gc=False, eq=False):
    info_hash: bytes
    wheel_tick: int  # its bucket in the wheel
    sections: dict[int, Section] = field(default_factory=dict)
    seed_count: int = 0
    leecher_count: int = 0
    completed_count: int = 0

    def __iter__(self) -> Iterator[tuple[bytes, bool]]:
        """Everybody: the record, and whether it seeds."""
        for section in self.sections.values():
            for pool, is_seed in section.pools:
                for record in pool:
                    yield record, is_seed
