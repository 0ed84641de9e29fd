"""Packed peers in random order: those of one section of a swarm that have the same role.

Always true: the records are in random order, so that any run of them is a fair sample; `ticks[slot]` tells when the
peer of that slot came last. A small pool is searched, which takes less time than keeping books; a large one has an
index of its slots.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from msgspec import Struct, field

# Records. To search as many takes 0.3 us; an index misses the processor's caches, and costs 130 bytes a peer.
INDEXED_FROM = 128
SEARCHED_UNTIL = 64  # an index is given up here: a pool at the border does not build one again and again


class Pool(Struct, gc=False, eq=False):
    """`packed` holds the records, `ticks` a byte for each.

    It is in no cycle, so the collector of garbage need not look at it (`gc=False`, here and in what holds it): a
    million swarms took it half a second.
    """

    _length: int
    _index: dict[bytes, int] | None = None
    packed: bytearray = field(default_factory=bytearray)
    ticks: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.ticks)

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self.packed), self._length):
            yield bytes(self.packed[start : start + self._length])

    def find(self, record: bytes) -> int:
        """The slot of a record, or -1."""
        if self._index is not None:
            return self._index.get(record, -1)
        length, at = self._length, self.packed.find(record)
        while at > 0 and at % length:  # found across the border of two records
            at = self.packed.find(record, at + 1)
        return at // length

    def add(self, record: bytes, tick: int, rng: random.Random) -> int:
        """Put a new record at a random slot, whose holder moves to the end; that slot.

        It is the shuffle of Fisher and Yates, one step at a time.
        """
        last = len(self.ticks)
        slot = int(rng.random() * (last + 1))
        self.packed += record
        self.ticks.append(tick)
        if slot < last:
            self._copy(slot, last)
            start = slot * self._length
            self.packed[start : start + self._length] = record
            self.ticks[slot] = tick
        if self._index is not None:
            self._index[record] = slot
        elif last >= INDEXED_FROM:
            self._index = {known: number for number, known in enumerate(self)}
        return slot

    def remove(self, slot: int) -> None:
        """Take a record out; the last one takes its place."""
        length, last = self._length, len(self.ticks) - 1
        if self._index is not None:
            del self._index[bytes(self.packed[slot * length : (slot + 1) * length])]
        if slot < last:
            self._copy(last, slot)
        del self.packed[last * length :]
        self.ticks.pop()
        if self._index is not None and last < SEARCHED_UNTIL:
            self._index = None

    def sample(self, count: int, own_slot: int, rng: random.Random) -> bytes:
        """Up to `count` different records, that of `own_slot` not among them (below 0: nobody is left out)."""
        size, length, packed = len(self.ticks), self._length, self.packed
        if own_slot < 0:
            if count >= size:
                return bytes(packed)
            first = int(rng.random() * size)  # a run from here on, round the end
        else:
            if count >= size - 1:
                return bytes(packed[: own_slot * length] + packed[(own_slot + 1) * length :])
            count += 1
            ahead = 1 + int(rng.random() * (size - 1))  # of the asker: a run never begins with it,
            first = own_slot + ahead  # or who stands behind it would be told twice as often
            if first >= size:
                first -= size
        start, end = first * length, (first + count) * length
        run = bytes(packed[start:end])
        if end > len(packed):
            run += packed[: end - len(packed)]
        if own_slot < 0:
            return run
        at = (size - ahead) * length
        return run[:at] + run[at + length :] if at < len(run) else run[:-length]

    def _copy(self, source: int, target: int) -> None:
        """The record of `source` stands at `target` as well, and counts as being there."""
        length = self._length
        record = self.packed[source * length : (source + 1) * length]
        self.packed[target * length : (target + 1) * length] = record
        self.ticks[target] = self.ticks[source]
        if self._index is not None:
            self._index[bytes(record)] = target
