"""A `PeerStore` in this process: an answer is a few slices of packed bytes, and forgetting needs no search.

Always true: a peer is in exactly one section of its swarm (that of its scope and address family), and a section
stands in exactly one bucket of the wheel, which is that of its most silent peer or an older one. There is no object
a peer, only its packed record and a byte that tells when it came last, so memory is in proportion to the peers that
are here, and a million of them fit in 200 MB (`./dev bench tracker --memory`).
"""

from __future__ import annotations

import random
from itertools import islice

from shoal.protocol.tracker.messages import RECORD_LENGTH_V4, ScrapeEntry
from shoal.tracker.section import NOBODY, ONLY_LEECHERS, TOLD_TO, Section, chain
from shoal.tracker.store import (
    Entries,
    ListedPeer,
    Presence,
    StoreCounts,
    SwarmView,
    Trouble,
    Visit,
)

MAX_PEERS = 1_000_000  # about 50 bytes each in swarms of ten, 150 in crowded ones, which have an index
MAX_SWARMS = 500_000  # about 350 bytes each: a stranger who invents info hashes costs 175 MB
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
        self._tick_ends_at = 1 / self._ticks_a_second
        self._wheel: dict[int, set[Section]] = {}  # tick -> those where nobody was silent for longer
        self._swarms: dict[bytes, Section] = {}  # the first of each swarm
        self._seed_count = 0
        self._leecher_count = 0

    # -- the contract --------------------------------------------------------------------------------

    def visit(self, visit: Visit, now: float) -> SwarmView | Trouble:
        if now >= self._tick_ends_at:
            self.expire(now)
        presence, record = visit.presence, visit.record
        section = first = self._swarms.get(visit.info_hash)
        key = visit.scope * 2 + (len(record) != RECORD_LENGTH_V4)  # as `section_key` has it
        while section is not None and section.key != key:
            section = section.next
        if presence is LOOKING:
            return SwarmView() if first is None else self._view(first, key, visit, NOBODY)
        slot = NOBODY if section is None else section.find(record)
        if presence is GONE:
            if section is not None and slot >= 0:
                self._take_out(section, slot)
                self._close_if_empty(section)
            return SwarmView()
        is_seed = presence is SEEDING
        if section is None or slot < 0 or is_seed != (slot < section.seed_count):
            return self._welcome(section, slot, visit, key)
        assert first is not None
        section.packed[slot] = self._now_tick & 0xFF
        return self._view(first, key, visit, ONLY_LEECHERS if is_seed else slot)

    def scrape(self, info_hashes: list[bytes], now: float) -> Entries:
        self._catch_up(now)
        entries = {}
        for info_hash in info_hashes:
            first = self._swarms.get(info_hash)
            if first is not None:
                entries[info_hash] = ScrapeEntry(*_sizes(first), first.completed_count)
        return entries

    def expire(self, now: float) -> None:
        tick_before, self._now_tick = self._now_tick, int(now * self._ticks_a_second)
        self._tick_ends_at = (self._now_tick + 1) / self._ticks_a_second
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
            ListedPeer(section.info_hash, record, slot < section.seed_count)
            for first in self._swarms.values()
            for section in chain(first)
            for slot, record in enumerate(section)
        )
        return list(islice(everybody, most))

    async def close(self) -> None:
        pass

    def _catch_up(self, now: float) -> None:
        if now >= self._tick_ends_at:
            self.expire(now)

    # -- coming and going ----------------------------------------------------------------------------

    def _welcome(self, section: Section | None, slot: int, visit: Visit, key: int) -> SwarmView | Trouble:
        """Let in somebody who is new, or who stands at `slot` in the other role."""
        is_seed = visit.presence is SEEDING
        if section is not None and slot >= 0:
            self._take_out(section, slot)  # and so has room for itself
        elif self._seed_count + self._leecher_count >= self._max_peers:
            return Trouble.FULL
        if section is None:
            if visit.info_hash not in self._swarms and len(self._swarms) >= self._max_swarms:
                return Trouble.FULL
            section = self._open(visit, key)
        first = self._swarms[visit.info_hash]
        first.completed_count += is_seed and visit.has_completed
        slot = section.add(visit.record, is_seed, self._now_tick & 0xFF, self._rng)
        self._count(is_seed, +1)
        return self._view(first, key, visit, ONLY_LEECHERS if is_seed else slot)

    def _open(self, visit: Visit, key: int) -> Section:
        """A new section, in a new swarm or behind the first one of its swarm."""
        section = Section(visit.info_hash, key, self._now_tick, len(visit.record))
        first = self._swarms.setdefault(visit.info_hash, section)
        if first is not section:
            section.next, first.next = first.next, section
        self._wheel.setdefault(self._now_tick, set()).add(section)
        return section

    def _close_if_empty(self, section: Section) -> None:
        """Where it was the last one, the swarm goes with it."""
        if section.size:
            return
        self._wheel[section.wheel_tick].discard(section)
        before = first = self._swarms[section.info_hash]
        if section is not first:
            while before.next is not section:
                assert before.next is not None
                before = before.next
            before.next = section.next
        elif section.next is None:
            del self._swarms[section.info_hash]
        else:
            section.next.completed_count = section.completed_count
            self._swarms[section.info_hash] = section.next

    def _take_out(self, section: Section, slot: int) -> None:
        self._count(slot < section.seed_count, -1)
        section.remove(slot)

    def _count(self, is_seed: bool, change: int) -> None:
        if is_seed:
            self._seed_count += change
        else:
            self._leecher_count += change

    def _forget_everybody(self) -> None:
        """Before a byte is too small to tell when somebody came."""
        self._wheel.clear()
        self._swarms.clear()
        self._seed_count = self._leecher_count = 0

    def _forget_silent(self, section: Section, tick: int) -> None:
        """Forget the peers of a section that came last at `tick`; those left wait for their turn in the wheel."""
        stale = tick & 0xFF
        slot = section.packed.find(stale, 0, section.size)
        while slot >= 0:
            self._take_out(section, slot)
            slot = section.packed.find(stale, slot, section.size)  # its place has another now
        if section.size:
            section.wheel_tick = tick + min((came - tick) & 0xFF for came in set(section.ticks))
            self._wheel.setdefault(section.wheel_tick, set()).add(section)
        self._close_if_empty(section)

    # -- telling -------------------------------------------------------------------------------------

    def _view(self, first: Section, key: int, visit: Visit, own_slot: int) -> SwarmView:
        """Peers of the nearest scope first, and in it of the visitor's own family."""
        wanted, rng = visit.wanted_count, self._rng
        if first.next is None and first.key == key:  # as in nearly all swarms
            packed, seed_count = first.sample(wanted, own_slot, rng), first.seed_count
            if first.record_length == RECORD_LENGTH_V4:
                return SwarmView(seed_count, first.size - seed_count, packed)
            return SwarmView(seed_count, first.size - seed_count, b"", packed)
        v4 = v6 = b""
        sections = {section.key: section for section in chain(first)}
        for told_key in TOLD_TO[key]:
            told = sections.get(told_key)
            if told is None or wanted <= 0:
                continue
            packed = told.sample(wanted, own_slot, rng)
            own_slot = min(own_slot, NOBODY)  # it stands in its own section only, which is the first
            if told.record_length == RECORD_LENGTH_V4:
                v4 += packed
            else:
                v6 += packed
            wanted -= len(packed) // told.record_length
        return SwarmView(*_sizes(first), v4, v6)


def _sizes(first: Section) -> tuple[int, int]:
    """The seeds and the leechers of a swarm."""
    seed_count = sum(section.seed_count for section in chain(first))
    return seed_count, sum(section.size for section in chain(first)) - seed_count
