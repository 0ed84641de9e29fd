"""Who gave us what, and how much we gave: the book that a finished `get` reads from.

Only blocks of pieces that hashed right are credited, so the sums are the verified bytes, each counted once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.net.sockets import Address, format_address
from shoal.swarm.rate import RateMeter

if TYPE_CHECKING:
    from shoal.engine.neighbour import Neighbour


@dataclass(slots=True)
class Entry:
    """One address's part. Bytes."""

    name: str
    given: int = 0  # to us, verified
    taken: int = 0  # from us


class Ledger:
    def __init__(self) -> None:
        self.entries: dict[Address, Entry] = {}
        self.elsewhere: dict[str, int] = {}  # verified bytes from web seeds, by host
        self.elsewhere_flow = RateMeter(0.0)  # what comes from there, verified or not
        self.received = 0  # verified bytes in this run, wherever they came from
        self.sent = 0

    def credit(
        self,
        senders: Mapping[Address, int],
        layout: Layout,
        piece: int,
        neighbours: Mapping[Address, Neighbour],
    ) -> dict[str, int]:
        """A piece was right: each sender's bytes of it, by address."""
        shares: dict[str, int] = {}
        last = layout.block_count(piece) - 1
        for address, blocks in senders.items():
            size = blocks.bit_count() * BLOCK_LENGTH
            if blocks >> last & 1:
                size -= BLOCK_LENGTH - layout.block_size(piece, last)
            neighbour = neighbours.get(address)
            name = neighbour.peer.name if neighbour and neighbour.peer else ""
            self._entry(address, name).given += size
            self.received += size
            shares[format_address(address)] = size
        return shares

    def credit_elsewhere(self, host: str, size: int) -> None:
        """A piece came whole from a web seed, and was right."""
        self.elsewhere[host] = self.elsewhere.get(host, 0) + size
        self.received += size

    def add_sent(self, address: Address, name: str, size: int) -> None:
        if size:
            self._entry(address, name).taken += size

    def name_of(self, address: Address) -> str:
        entry = self.entries.get(address)
        return entry.name if entry else ""

    def _entry(self, address: Address, name: str) -> Entry:
        entry = self.entries.get(address)
        if entry is None:
            entry = self.entries[address] = Entry(name)
        elif name:
            entry.name = name
        return entry
