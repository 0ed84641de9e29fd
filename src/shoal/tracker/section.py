"""A section of a swarm: its peers of one scope and one address family, seeds and leechers apart.

Most swarms have one section only. Always true: a section has peers, and a record is in one of its pools at most.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from msgspec import Struct

from shoal.protocol.tracker.messages import RECORD_LENGTH_V4, RECORD_LENGTH_V6
from shoal.tracker.pool import Pool
from shoal.tracker.scopes import Scope

NOBODY, ONLY_LEECHERS = -1, -2  # instead of the slot of an asker


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


class Section(Struct, gc=False, eq=False):
    """A pool that would be empty is None: most swarms have seeds only."""

    record_length: int
    is_v6: bool = False
    seeds: Pool | None = None
    leechers: Pool | None = None

    def __post_init__(self) -> None:
        self.is_v6 = self.record_length == RECORD_LENGTH_V6

    def add(self, record: bytes, is_seed: bool, tick: int, rng: random.Random) -> int:
        """Put in a record that is not there; its slot."""
        pool = self.seeds if is_seed else self.leechers
        if pool is None:
            pool = Pool(self.record_length)
            if is_seed:
                self.seeds = pool
            else:
                self.leechers = pool
        return pool.add(record, tick, rng)

    def remove(self, slot: int, is_seed: bool) -> None:
        pool = self.seeds if is_seed else self.leechers
        assert pool is not None
        pool.remove(slot)
        if not pool.packed:
            if is_seed:
                self.seeds = None
            else:
                self.leechers = None

    @property
    def pools(self) -> Iterator[tuple[Pool, bool]]:
        """Each pool, and whether its peers are seeds."""
        if self.seeds is not None:
            yield self.seeds, True
        if self.leechers is not None:
            yield self.leechers, False

    def sample(self, count: int, own_slot: int, rng: random.Random) -> bytes:
        """Up to `count` records, seeds and leechers in their proportion.

        `own_slot` is the asker's among the leechers, which is left out; `NOBODY`, or for a seed `ONLY_LEECHERS`.
        """
        seeds, leechers = self.seeds, self.leechers
        if seeds is None or own_slot == ONLY_LEECHERS:
            return b"" if leechers is None else leechers.sample(count, own_slot, rng)
        if leechers is None:
            return seeds.sample(count, NOBODY, rng)
        seed_count, total = len(seeds.ticks), len(seeds.ticks) + len(leechers.ticks)
        share = seed_count if count >= total - 1 else -(-count * seed_count // total)  # one seed beats none
        return seeds.sample(share, NOBODY, rng) + leechers.sample(count - share, own_slot, rng)
