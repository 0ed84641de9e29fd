"""A section of a swarm: its peers of one scope and one address family, packed in random order.

Always true: a section in a swarm has peers. `packed` holds a byte for each of `room` slots, that of a peer telling when
it came last, and behind them the peers' records: first the seeds', then the leechers', both in random order, so
that any run of either is a fair sample. All of it lies in one piece of memory: in ten thousand swarms nothing
is in the processor's caches when it is wanted, and each place to look at costs as much as some lines of Python.

Most swarms have one section only. Those of a swarm are a chain, by `next`.
A small section is searched, which takes less time than keeping books; a large one has an index of its slots.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct, field

from shoal.protocol.tracker.messages import RECORD_LENGTH_V4, RECORD_LENGTH_V6
from shoal.tracker.scopes import Scope

NOBODY, ONLY_LEECHERS = -1, -2  # instead of the slot of an asker
# Peers. To search as many takes 0.3 us; an index misses the processor's caches, and costs 130 bytes a peer.
INDEXED_FROM = 128
SEARCHED_UNTIL = 64  # an index is given up here: a section at the border does not build one again and again


def section_key(scope: int, record_length: int) -> int:
    """The small number by which a swarm knows a section."""
    return scope + scope + (record_length == RECORD_LENGTH_V6)


def _told_to(scope: Scope, record_length: int) -> tuple[int, ...]:
    """The sections that a visitor may be told of: nearest first, its own family before the other."""
    other = RECORD_LENGTH_V6 if record_length == RECORD_LENGTH_V4 else RECORD_LENGTH_V4
    return tuple(
        section_key(nearer, length)
        for nearer in sorted(Scope, reverse=True)
        if nearer <= scope
        for length in (record_length, other)
    )


TOLD_TO = {
    section_key(scope, length): _told_to(scope, length)
    for scope in Scope
    for length in (RECORD_LENGTH_V4, RECORD_LENGTH_V6)
}


def chain(first: Section | None) -> Iterator[Section]:
    """A section and those behind it: of the first in a swarm, all of them."""
    while first is not None:
        yield first
        first = first.next


class Section(Struct, gc=False, eq=False):
    """It is in no cycle, so the collector of garbage need not look at it (`gc=False`): to see a million took 0.5 s."""

    info_hash: bytes
    key: int
    wheel_tick: int  # its bucket in the wheel of the store
    record_length: int
    next: Section | None = None
    packed: bytearray = field(default_factory=bytearray)
    room: int = 0
    size: int = 0
    seed_count: int = 0
    completed_count: int = 0  # of the whole swarm, in its first section
    _index: dict[bytes, int] | None = None

    @property
    def is_v6(self) -> bool:
        return self.record_length == RECORD_LENGTH_V6

    @property
    def ticks(self) -> bytearray:
        """When each came last, slot by slot."""
        return self.packed[: self.size]

    def __iter__(self) -> Iterator[bytes]:
        """Everybody's record; the first `seed_count` are of seeds."""
        starts = range(self.room, len(self.packed) + 1, self.record_length)
        return (bytes(self.packed[start:end]) for start, end in pairwise(starts))

    def find(self, record: bytes) -> int:
        """The slot of a record, or -1."""
        if self._index is not None:
            return self._index.get(record, -1)
        packed, room, length = self.packed, self.room, self.record_length
        at = packed.find(record, room)
        while at > room and (at - room) % length:  # found across the border of two records
            at = packed.find(record, at + 1)
        return (at - room) // length if at >= 0 else -1

    # -- coming and going ----------------------------------------------------------------------------

    def add(self, record: bytes, is_seed: bool, tick: int, rng: random.Random) -> int:
        """Put a new record at a random slot of its role, whose holder moves to the end of it; that slot.

        It is the shuffle of Fisher and Yates, one step at a time.
        """
        if self.size == self.room:
            self._make_room(self.room + self.room // 2 + 1)
        end = self.size
        self.packed += record
        self.size += 1
        if is_seed:
            self._copy(self.seed_count, end)  # the first leecher makes place, and is now the last
            first, end = 0, self.seed_count
            self.seed_count += 1
        else:
            first = self.seed_count
        slot = first + int(rng.random() * (end + 1 - first))
        self._copy(slot, end)
        self._put(record, slot, tick)
        if self._index is None and self.size > INDEXED_FROM:
            self._index = {known: number for number, known in enumerate(self)}
        return slot

    def remove(self, slot: int) -> None:
        """Take a record out; the last one of its role takes its place."""
        if self._index is not None:
            del self._index[self._record(slot)]
        if slot < self.seed_count:
            self.seed_count -= 1
            self._copy(self.seed_count, slot)
            slot = self.seed_count
        self.size -= 1
        self._copy(self.size, slot)
        del self.packed[-self.record_length :]
        if self.size < self.room // 4:
            self._make_room(self.room // 2)
        if self.size < SEARCHED_UNTIL:
            self._index = None

    def _make_room(self, room: int) -> None:
        self.packed[self.size : self.room] = bytes(room - self.size)
        self.room = room

    def _record(self, slot: int) -> bytes:
        start = self.room + slot * self.record_length
        return bytes(self.packed[start : start + self.record_length])

    def _put(self, record: bytes, slot: int, tick: int) -> None:
        start = self.room + slot * self.record_length
        self.packed[start : start + self.record_length] = record
        self.packed[slot] = tick
        if self._index is not None:
            self._index[record] = slot

    def _copy(self, source: int, target: int) -> None:
        """The record of `source` stands at `target` as well, and counts as being there."""
        if source != target:
            self._put(self._record(source), target, self.packed[source])

    # -- telling -------------------------------------------------------------------------------------

    def sample(self, count: int, own_slot: int, rng: random.Random) -> bytes:
        """Up to `count` records, seeds and leechers in their proportion.

        `own_slot` is the asker's among the leechers, which is left out; `NOBODY`, or for a seed `ONLY_LEECHERS`.
        """
        packed, size, seed_count = self.packed, self.size, self.seed_count
        if own_slot == ONLY_LEECHERS:
            if count < size - seed_count:
                return self._run(seed_count, size, count, NOBODY, rng)
            return bytes(packed[self.room + seed_count * self.record_length :])
        if own_slot == NOBODY:
            if count >= size:
                return bytes(packed[self.room :])
        elif count >= size - 1:
            start = self.room + own_slot * self.record_length
            return b"".join((packed[self.room : start], packed[start + self.record_length :]))
        share = -(-count * seed_count // size)  # one seed beats none
        seeds = self._run(0, seed_count, share, NOBODY, rng)
        return seeds + self._run(seed_count, size, count - share, own_slot, rng)

    def _run(self, first: int, end: int, count: int, own_slot: int, rng: random.Random) -> bytes:
        """Up to `count` records of the slots from `first` to before `end`, from a random one on, round the end."""
        packed, length, size = self.packed, self.record_length, end - first
        begin, end = self.room + first * length, self.room + end * length
        own = self.room + own_slot * length
        if own_slot < 0:
            if count >= size:
                return bytes(packed[begin:end])
            start = begin + int(rng.random() * size) * length
        else:
            if count >= size - 1:
                return b"".join((packed[begin:own], packed[own + length : end]))
            count += 1
            start = own + (1 + int(rng.random() * (size - 1))) * length  # a run never begins with the asker,
            if start >= end:  # or who stands behind it would be told twice as often
                start -= end - begin
        stop = start + count * length
        run = bytes(packed[start : stop if stop < end else end])
        if stop > end:
            run += packed[begin : begin + stop - end]
        if own_slot < 0:
            return run
        at = own - start if own >= start else own - start + end - begin
        return run[:at] + run[at + length :] if at < len(run) else run[:-length]
