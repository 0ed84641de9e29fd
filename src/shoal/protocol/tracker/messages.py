"""The values of the tracker protocol: a question, and its possible answers (BEP 3, 7, 15, 23, 24, 31, 48).

Always true: an info hash and a peer id are 20 bytes, and packed peers are whole records (6 bytes for
IPv4, 18 for IPv6). Whoever makes a value from outside bytes (`query`, `answers`) has checked that; nobody
behind them checks again. They are structs of msgspec, frozen like our dataclasses and made in a tenth of the
time: a busy tracker makes half a million of them a second.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from msgspec import Struct, field

from shoal.formats.compact import parse_compact_v4, parse_compact_v6

HASH_LENGTH = 20
PEER_ID_LENGTH = 20
RECORD_LENGTH_V4 = 6  # 4 bytes of address, 2 of port (BEP 23)
RECORD_LENGTH_V6 = 18  # 16 bytes of address, 2 of port (BEP 7)


class Event(enum.Enum):
    """Why an announce is made, apart from the interval being over."""

    STARTED = "started"
    COMPLETED = "completed"
    STOPPED = "stopped"


class AnnounceRequest(Struct, frozen=True, gc=False):
    """One peer telling a tracker about itself in one swarm. Counts are in bytes, since `started`."""

    info_hash: bytes
    peer_id: bytes
    port: int  # 0: "nobody can dial me"
    uploaded: int = 0
    downloaded: int = 0
    left: int = 0
    event: Event | None = None
    numwant: int | None = None  # None: as many as the tracker finds right
    key: bytes = b""  # proves to the tracker that a moved peer is the same one
    tracker_id: bytes = b""  # what the tracker called itself in its last answer
    is_compact: bool = True


class AnnounceResponse(Struct, frozen=True, gc=False):
    """A tracker's answer. Absent numbers are None, because a tracker may leave out nearly everything."""

    interval: int | None = None  # seconds until the next regular announce
    min_interval: int | None = None  # seconds that even an eager client waits
    complete: int | None = None
    incomplete: int | None = None
    peers_v4: bytes = b""
    peers_v6: bytes = b""
    named_peers: tuple[tuple[str, int], ...] = ()  # peers whose host is a name, not an address
    tracker_id: bytes = b""
    external_ip: bytes = b""  # the address the tracker saw us under, packed (BEP 24)
    warning: str = ""

    @property
    def peers(self) -> list[tuple[str, int]]:
        """All peers that can be dialled, as (host, port)."""
        packed = parse_compact_v4(self.peers_v4) + parse_compact_v6(self.peers_v6)
        return [peer for peer in (*packed, *self.named_peers) if peer[1] != 0]


class ScrapeEntry(Struct, frozen=True, gc=False):
    """The size of one swarm."""

    complete: int = 0
    incomplete: int = 0
    downloaded: int = 0  # how often `completed` was announced


class ScrapeResponse(Struct, frozen=True, gc=False):
    """Swarm sizes by info hash; a tracker may know fewer than were asked for, and tell of more."""

    entries: Mapping[bytes, ScrapeEntry] = field(default_factory=dict)
    min_interval: int | None = None  # seconds until the next scrape is welcome


class TrackerFailure(Struct, frozen=True, gc=False):
    """The tracker understood enough to say no."""

    reason: str
    retry_in: float | None = None  # seconds; `inf` means never again (BEP 31)
