"""The contract of a tracker's memory: who is in which swarm.

Always true of a store: a peer (its packed address and port) is in a swarm at most once, and either seeds or
leeches; one that has been silent for longer than the store's lifetime is forgotten, a hundredth of that or two
seconds later at the most; a swarm without peers does not exist; who becomes a seed saying that it has completed is
counted once; seeds are not handed to seeds, nor anybody to itself; nobody is told of a peer that is nearer than
itself (`Scope`), and the nearest come first.

A store in this process answers at once; one that lives elsewhere gives a future of the answer, on the loop's thread
(`soon.py`). Where there is no answer, it is a `Trouble`. No future ever fails. `tests/tracker/test_store.py` holds what
every store must pass. `visit` is one call because it must be one step: a store that many trackers share does it in
one round trip.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from shoal.protocol.tracker.messages import ScrapeEntry
from shoal.tracker.scopes import Scope
from shoal.tracker.soon import Soon


class Presence(enum.Enum):
    """What a visit says about the visitor."""

    SEEDING = "seeding"
    LEECHING = "leeching"
    GONE = "gone"  # it says goodbye
    LOOKING = "looking"  # it asks, but cannot be dialled, so it is not listed


class Trouble(enum.Enum):
    """Why a store has no answer."""

    FULL = "full"  # no room for one more swarm or peer; those that are here are served as before
    AWAY = "away"  # the store cannot be reached just now


class Visit(Struct, frozen=True, gc=False, array_like=True):
    """One peer coming by at one swarm. `record` is its address and port, packed as others are told it."""

    info_hash: bytes
    record: bytes
    presence: Presence
    has_completed: bool = False  # it finished just now
    wanted_count: int = 0
    scope: Scope = Scope.PUBLIC


class SwarmView(Struct, frozen=True, gc=False, array_like=True):
    """What one visitor may know of a swarm."""

    complete: int = 0
    incomplete: int = 0
    peers_v4: bytes = b""
    peers_v6: bytes = b""


class StoreCounts(Struct, frozen=True):
    swarms: int
    seeds: int
    leechers: int


class ListedPeer(Struct, frozen=True):
    """One peer as a store's listing shows it."""

    info_hash: bytes
    record: bytes
    is_seed: bool


Entries = Mapping[bytes, ScrapeEntry]


class PeerStore(Protocol):
    """What a tracker needs of its memory. Times are the caller's seconds and never go back."""

    def visit(self, visit: Visit, now: float) -> Soon[SwarmView | Trouble]:
        """Note the visitor, and tell it of others."""

    def scrape(self, info_hashes: list[bytes], now: float) -> Soon[Entries | Trouble]:
        """The sizes of those of the swarms that exist."""

    def expire(self, now: float) -> None:
        """Forget who has been silent for too long. Called every second or so, and cheap when nobody has."""

    def count(self, now: float) -> Soon[StoreCounts | Trouble]:
        """The sizes of everything together; a shared store may still count who fell silent a minute ago."""

    def list_peers(self, most: int, now: float) -> Soon[list[ListedPeer] | Trouble]:
        """Some of those who are here, `most` at most, swarm by swarm."""

    async def close(self) -> None:
        """Let go of connections; nothing is asked after it."""
