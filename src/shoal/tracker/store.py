"""The contract of a tracker's memory: who is in which swarm.

Always true of a store: a peer (its packed address and port) is in a swarm at most once, and either seeds or
leeches; one that has been silent for longer than the store's lifetime is forgotten by `expire`; a swarm
without peers does not exist; seeds are not handed to seeds, nor anybody to itself.

`tests/tracker/test_store.py` holds what every store must pass. `visit` is one call because it must be one
step: a store that many trackers share does it in one round trip.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from shoal.protocol.tracker.messages import ScrapeEntry


class Presence(enum.Enum):
    """What a visit says about the visitor."""

    SEEDING = "seeding"
    LEECHING = "leeching"
    GONE = "gone"  # it says goodbye
    LOOKING = "looking"  # it asks, but cannot be dialled, so it is not listed


@dataclass(frozen=True, slots=True)
class Visit:
    """One peer coming by at one swarm. `record` is its address and port, packed as others are told it."""

    info_hash: bytes
    record: bytes
    presence: Presence
    has_completed: bool = False  # it finished just now
    wanted_count: int = 0


@dataclass(frozen=True, slots=True)
class SwarmView:
    """What one visitor may know of a swarm."""

    complete: int = 0
    incomplete: int = 0
    peers_v4: bytes = b""
    peers_v6: bytes = b""


@dataclass(frozen=True, slots=True)
class StoreCounts:
    swarms: int
    seeds: int
    leechers: int


@dataclass(frozen=True, slots=True)
class ListedPeer:
    """One peer as a store's listing shows it."""

    info_hash: bytes
    record: bytes
    is_seed: bool


class StoreFullError(Exception):
    """There is no room for one more swarm or peer. Those that are here are served as before."""


class PeerStore(Protocol):
    """What a tracker needs of its memory. Times are the caller's seconds and never go back."""

    def visit(self, visit: Visit, now: float) -> SwarmView:
        """Note the visitor, and tell it of others. Raises `StoreFullError`."""

    def scrape(self, info_hashes: list[bytes]) -> dict[bytes, ScrapeEntry]:
        """The sizes of those of the swarms that exist."""

    def expire(self, now: float) -> None:
        """Forget who has been silent for too long."""

    def counts(self) -> StoreCounts:
        """The sizes of everything together."""

    def peers(self) -> Iterator[ListedPeer]:
        """Everybody."""
