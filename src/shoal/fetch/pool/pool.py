"""One URL's swarm within a group, as this machine takes part in it.

Here meet what decides (`board.py`, `authors.py`, `audits.py`), the plan of our own connections to the origin, the part
file, and the torrent in which members exchange pieces. It is the extension `shoal_pool` of that torrent.

Always true:
- A piece is passed on only with a record: before each `have` goes the signed line that says who fetched it.
- What comes from members is believed only as far as a record covers it; pieces in dispute are asked of nobody.
- The plan fetches what the board says is ours, and nothing else.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from shoal.disk.part_file import PartFile
from shoal.errors import PeerError, ShoalError
from shoal.fetch.pool.audits import Audit, Audits
from shoal.fetch.pool.authors import Authors, News
from shoal.fetch.pool.board import Board, PieceRun
from shoal.fetch.pool.content import PartStore, PoolContent
from shoal.formats.bitfield import iter_bits
from shoal.formats.layout import Layout
from shoal.net.addresses import url_host
from shoal.protocol.group.messages import (
    MOST_RECORDS,
    Accuse,
    Claims,
    PieceRecord,
    PoolMessage,
    Records,
    encode,
    parse_pool,
)

if TYPE_CHECKING:
    from shoal.engine.neighbour import Neighbour
    from shoal.engine.torrent import Torrent
    from shoal.fetch.plan import Plan

SILENT_AFTER = 1.0  # seconds without a byte from a member that owes us some


class Signer(Protocol):
    """Our own key in this group."""

    @property
    def public(self) -> bytes: ...

    def sign(self, info_hash: bytes, piece: int, digest: bytes) -> bytes: ...

    def verify(self, info_hash: bytes, record: PieceRecord) -> bool: ...


class Owner(Protocol):
    """Whose download it is: a requester's session, or a helper's work."""

    def wake(self) -> None:
        """There may be something to do: look soon."""

    def on_lost(self) -> None:
        """Pieces that were here are wrong, and are fetched again."""

    def on_news(self, text: str) -> None:
        """A line for people."""

    def begin_audit(self, audit: Audit) -> None:
        """Fetch these bytes from the origin, and tell `on_audited`."""
