"""A `PeerStore` in this process: an answer is a few slices of packed bytes, and forgetting needs no search.

Always true: a peer is in exactly one pool (of its swarm, address family and role) and in exactly one bucket
of the wheel (that of its last visit), so memory is in proportion to the peers that are here. Pools hold their
records in random order at all times, so that any run of them is a fair sample.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from shoal.protocol.tracker.messages import RECORD_LENGTH_V4, RECORD_LENGTH_V6, ScrapeEntry
from shoal.tracker.store import ListedPeer, Presence, StoreCounts, StoreFullError, SwarmView, Visit

MAX_SWARMS = 200_000  # about 1 KiB each when small: a stranger who invents info hashes costs 200 MiB
MAX_PEERS = 1_000_000  # about 300 bytes each
WHEEL_STEPS = 16  # buckets in a lifetime: a silent peer stays at most two sixteenths too long


class MemoryStore:
    """All swarms of one tracker process. `lifetime` is how long a peer may be silent, in seconds."""

    def __init__(
        self,
        lifetime: float,
        rng: random.Random,
        *,
        max_swarms: int = MAX_SWARMS,
        max_peers: int = MAX_PEERS,
    ) -> None:
        self._rng = rng
        self._max_swarms = max_swarms
        self._max_peers = max_peers
        self._swarms: dict[bytes, _Swarm] = {}
        self._seed_count = 0
        self._leecher_count = 0
        self._wheel = _Wheel(lifetime)

    def visit(self, visit: Visit, now: float) -> SwarmView:
        swarm = self._swarms.get(visit.info_hash)
        if visit.presence is Presence.GONE:
            if swarm is not None and visit.record in swarm.members:
                self._forget(swarm.members[visit.record])
            return SwarmView()
        if visit.presence is Presence.LOOKING:
            return SwarmView() if swarm is None else self._view(swarm, visit)
        peer = None if swarm is None else swarm.members.get(visit.record)
        if peer is None:
            peer = self._welcome(visit, now)
        else:
            self._note_again(peer, visit, now)
        return self._view(peer.swarm, visit)

    def scrape(self, info_hashes: list[bytes]) -> dict[bytes, ScrapeEntry]:
        entries = {}
        for info_hash in info_hashes:
            swarm = self._swarms.get(info_hash)
            if swarm is not None:
                entries[info_hash] = ScrapeEntry(swarm.seed_count, swarm.leecher_count, swarm.completed_count)
        return entries

    def expire(self, now: float) -> None:
        for peer in self._wheel.silent_peers(now):
            self._forget(peer)

    def counts(self) -> StoreCounts:
        return StoreCounts(len(self._swarms), self._seed_count, self._leecher_count)

    def peers(self) -> Iterator[ListedPeer]:
        for swarm in self._swarms.values():
            for peer in swarm.members.values():
                yield ListedPeer(swarm.info_hash, peer.record, peer.is_seed)

    # -- coming and going ----------------------------------------------------------------------------

    def _welcome(self, visit: Visit, now: float) -> _Peer:
        if self._seed_count + self._leecher_count >= self._max_peers:
            raise StoreFullError
        swarm = self._swarms.get(visit.info_hash)
        if swarm is None:
            if len(self._swarms) >= self._max_swarms:
                raise StoreFullError
            swarm = self._swarms[visit.info_hash] = _Swarm(visit.info_hash)
        peer = _Peer(swarm, visit.record, visit.presence is Presence.SEEDING)
        swarm.members[peer.record] = peer
        swarm.completed_count += visit.has_completed
        self._enter_pool(peer)
        self._wheel.put(peer, now)
        return peer

    def _note_again(self, peer: _Peer, visit: Visit, now: float) -> None:
        is_seed = visit.presence is Presence.SEEDING
        if peer.is_seed != is_seed:
            peer.swarm.completed_count += visit.has_completed
            self._leave_pool(peer)
            peer.is_seed = is_seed
            self._enter_pool(peer)
        self._wheel.put(peer, now)

    def _forget(self, peer: _Peer) -> None:
        self._leave_pool(peer)
        self._wheel.remove(peer)
        del peer.swarm.members[peer.record]
        if not peer.swarm.members:
            del self._swarms[peer.swarm.info_hash]

    def _enter_pool(self, peer: _Peer) -> None:
        peer.swarm.pool_of(peer).add(peer, self._rng)
        self._count(peer, +1)

    def _leave_pool(self, peer: _Peer) -> None:
        peer.swarm.pool_of(peer).remove(peer)
        self._count(peer, -1)

    def _count(self, peer: _Peer, change: int) -> None:
        if peer.is_seed:
            self._seed_count += change
        else:
            self._leecher_count += change

    def _view(self, swarm: _Swarm, visit: Visit) -> SwarmView:
        """Peers of the visitor's own family first, the other with what is left of its wish."""
        wants_seeds = visit.presence is not Presence.SEEDING
        own, other = (swarm.v4, swarm.v6) if len(visit.record) == RECORD_LENGTH_V4 else (swarm.v6, swarm.v4)
        own_peers = own.sample(visit.wanted_count, wants_seeds, visit.record, self._rng)
        left_count = visit.wanted_count - len(own_peers) // own.record_length
        other_peers = other.sample(left_count, wants_seeds, b"", self._rng)
        peers_v4, peers_v6 = (own_peers, other_peers) if own is swarm.v4 else (other_peers, own_peers)
        return SwarmView(swarm.seed_count, swarm.leecher_count, peers_v4, peers_v6)


# -- what a swarm is made of -------------------------------------------------------------------------


class _Peer:
    __slots__ = ("is_seed", "record", "slot", "swarm", "tick")

    def __init__(self, swarm: _Swarm, record: bytes, is_seed: bool) -> None:
        self.swarm = swarm
        self.record = record
        self.is_seed = is_seed
        self.slot = -1  # its place in its pool
        self.tick = -1  # its bucket in the wheel


class _Pool:
    """Packed records in random order.

    A new record goes to a random slot, whose holder moves to the end (the shuffle of Fisher and Yates, one
    step at a time); a removed one is replaced by the last.
    """

    __slots__ = ("_packed", "_peers", "_record_length")

    def __init__(self, record_length: int) -> None:
        self._record_length = record_length
        self._packed = bytearray()
        self._peers: list[_Peer] = []

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, peer: _Peer, rng: random.Random) -> None:
        slot = int(rng.random() * (len(self._peers) + 1))
        self._peers.append(peer)
        self._packed += peer.record
        if slot < len(self._peers) - 1:
            self._put(self._peers[slot], len(self._peers) - 1)
        self._put(peer, slot)

    def remove(self, peer: _Peer) -> None:
        last = self._peers[-1]
        if last is not peer:
            self._put(last, peer.slot)
        self._peers.pop()
        del self._packed[len(self._peers) * self._record_length :]

    def sample(self, count: int, rng: random.Random) -> bytes:
        """Up to `count` different records."""
        if count <= 0:
            return b""
        if count >= len(self._peers):
            return bytes(self._packed)
        start = int(rng.random() * len(self._peers)) * self._record_length
        end = start + count * self._record_length
        wrapped = max(0, end - len(self._packed))
        return bytes(self._packed[start:end] + self._packed[:wrapped])

    def _put(self, peer: _Peer, slot: int) -> None:
        start = slot * self._record_length
        self._packed[start : start + self._record_length] = peer.record
        self._peers[slot] = peer
        peer.slot = slot


class _Family:
    """The peers of one swarm that have one kind of address."""

    __slots__ = ("leechers", "record_length", "seeds")

    def __init__(self, record_length: int) -> None:
        self.record_length = record_length
        self.seeds = _Pool(record_length)
        self.leechers = _Pool(record_length)

    def sample(self, count: int, wants_seeds: bool, asker: bytes, rng: random.Random) -> bytes:
        """Up to `count` records, `asker` not among them; seeds and leechers in their proportion."""
        if count <= 0:
            return b""
        seed_share = self._seed_share(count) if wants_seeds else 0
        seeds = self.seeds.sample(seed_share, rng)
        leechers = self.leechers.sample(count - seed_share + 1, rng)  # one more, as the asker may be in it
        return (
            seeds + _without(leechers, asker, self.record_length)[: count * self.record_length - len(seeds)]
        )

    def _seed_share(self, count: int) -> int:
        total = len(self.seeds) + len(self.leechers)
        if count >= total:
            return len(self.seeds)
        return -(-count * len(self.seeds) // total)  # rounded up: one seed beats none


class _Swarm:
    __slots__ = ("completed_count", "info_hash", "members", "v4", "v6")

    def __init__(self, info_hash: bytes) -> None:
        self.info_hash = info_hash
        self.members: dict[bytes, _Peer] = {}
        self.completed_count = 0
        self.v4 = _Family(RECORD_LENGTH_V4)
        self.v6 = _Family(RECORD_LENGTH_V6)

    @property
    def seed_count(self) -> int:
        return len(self.v4.seeds) + len(self.v6.seeds)

    @property
    def leecher_count(self) -> int:
        return len(self.v4.leechers) + len(self.v6.leechers)

    def pool_of(self, peer: _Peer) -> _Pool:
        family = self.v4 if len(peer.record) == RECORD_LENGTH_V4 else self.v6
        return family.seeds if peer.is_seed else family.leechers


def _without(packed: bytes, record: bytes, record_length: int) -> bytes:
    """`packed` less `record`, if one of its records is that."""
    at = packed.find(record) if record else -1
    while at >= 0 and at % record_length:  # found across the border of two records
        at = packed.find(record, at + 1)
    return packed if at < 0 else packed[:at] + packed[at + record_length :]


class _Wheel:
    """Peers by the time of their last visit, in buckets a fraction of a lifetime wide."""

    __slots__ = ("_buckets", "_tick_seconds")

    def __init__(self, lifetime: float) -> None:
        self._tick_seconds = lifetime / WHEEL_STEPS
        self._buckets: dict[int, set[_Peer]] = {}

    def put(self, peer: _Peer, now: float) -> None:
        tick = self._tick(now)
        if peer.tick != tick:
            self.remove(peer)
            peer.tick = tick
            self._buckets.setdefault(tick, set()).add(peer)

    def remove(self, peer: _Peer) -> None:
        bucket = self._buckets.get(peer.tick)
        if bucket is not None:
            bucket.discard(peer)

    def silent_peers(self, now: float) -> Iterator[_Peer]:
        """Empty the buckets that ended a whole lifetime ago."""
        oldest_alive = self._tick(now) - WHEEL_STEPS
        for tick in [tick for tick in self._buckets if tick < oldest_alive]:
            yield from self._buckets.pop(tick)

    def _tick(self, now: float) -> int:
        return int(now / self._tick_seconds)
