"""Who may be a neighbour of one torrent: nobody twice, nobody who was banned, and not more than there are places.

Who sent wrong bytes is banned by address; where it has shown who it is (`security.py`) by that alone: no other address
and no new connection brings it back, and nobody else behind its address suffers, nor who lives where it says it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.errors import PeerError
from shoal.net.sockets import Address, format_address

if TYPE_CHECKING:
    from shoal.engine.neighbour import Neighbour
    from shoal.engine.torrent import Torrent

TWICE = "connected twice"  # the reason why one of two connections of the same ends; the other stays
MOST_CONNECTIONS = 200  # neighbours; memory is planned for so many


class Admission:
    def __init__(self, torrent: Torrent) -> None:
        self._torrent = torrent
        self._members: dict[Address, bytes] = {}  # who ever joined, where it has shown who it is
        self._banned_members: dict[bytes, str] = {}

    def check(self, newcomer: Neighbour) -> None:
        """Raise `PeerError` if this connection must not be: ourselves, a double, a banned one, one too many."""
        torrent = self._torrent
        known, our_id = torrent.dialling.known, torrent.engine.peer_id
        if torrent.is_over:
            raise PeerError("we are leaving")
        if newcomer.peer_id == our_id:
            known.on_self(newcomer.address)
            raise PeerError("that is ourselves")
        self.check_address(newcomer.address)
        if newcomer.member in self._banned_members:
            raise PeerError("this member is banned")
        if newcomer.address in torrent.neighbours:
            raise PeerError("this address is connected already")
        if len(torrent.neighbours) >= MOST_CONNECTIONS:
            raise PeerError("all places are taken")
        for other in torrent.neighbours.values():
            if (other.peer_id, other.member) == (newcomer.peer_id, newcomer.member):
                # Both sides may have dialled at once: both must keep the same one of the two connections.
                keeps_ours = our_id > newcomer.peer_id
                if other.is_outgoing == newcomer.is_outgoing or other.is_outgoing == keeps_ours:
                    raise PeerError("we are connected already")
                other.close(TWICE, is_fault=False)
                return

    def check_address(self, address: Address) -> None:
        if self._torrent.dialling.known.is_banned(address):
            raise PeerError("this address is banned")

    def note(self, neighbour: Neighbour) -> None:
        """It has joined."""
        if neighbour.member:
            self._members[neighbour.address] = neighbour.member

    def ban(self, address: Address, reason: str) -> None:
        """This address sent what was wrong; it may have left."""
        torrent = self._torrent
        member = self._members.get(address, b"")
        if torrent.dialling.known.is_banned(address) or member in self._banned_members:
            return  # several of its pieces were on their way
        neighbour = torrent.neighbours.get(address)
        listens_at = neighbour.listens_at if neighbour else None
        name = neighbour.peer.name if neighbour and neighbour.peer else torrent.ledger.name_of(address)
        torrent.report(
            "banned", peer=format_address(address), client=name, member=member.hex(), reason=reason
        )
        if member:
            self.ban_member(member, reason)
            return
        if neighbour is not None:
            neighbour.close(reason, is_fault=True)
        for banned in {address, listens_at or address}:
            torrent.dialling.known.ban(banned, reason)

    def ban_member(self, member: bytes, reason: str) -> None:
        """Close and refuse every connection of this member from now on."""
        if not member:
            raise ValueError("who has not shown who it is can be banned by address only")
        self._banned_members[member] = reason
        for neighbour in list(self._torrent.neighbours.values()):
            if neighbour.member == member:
                neighbour.close(reason, is_fault=True)
