"""How long a member is listened to: what it says is counted, and who says too much, or nonsense, is at fault.

Pure: told the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.errors import PeerError

if TYPE_CHECKING:
    from shoal.engine.neighbour import Neighbour
    from shoal.engine.torrent import Torrent

TALK_RATE = 50.0  # messages a second; an honest member says a few, and 20 while it looks for its place
TALK_BURST = 500.0  # messages; who comes back to a busy pool, or leaves one, has much to say at once
RECORDS_A_PIECE = 4  # an honest member tells each once, and anew when it was lost
RECORDS_BESIDE = 1_000  # a message of them


class Talk:
    """What one neighbour says, from its joining on."""

    def __init__(self, now: float) -> None:
        self.has_greeted = False  # before its first claims it tells what it has from another run
        self._left = TALK_BURST
        self._at = now
        self._records = 0

    def on_message(self, now: float) -> None:
        """Of whatever kind, but for records. Raises `PeerError` for a flood."""
        self._left = min(TALK_BURST, self._left + (now - self._at) * TALK_RATE) - 1
        self._at = now
        if self._left < 0:
            raise PeerError(f"it says more than {TALK_RATE:.0f} things a second")

    def on_records(self, count: int, piece_count: int) -> None:
        """Raises `PeerError` for more than a file of so many pieces can need."""
        self._records += count
        if self._records > RECORDS_A_PIECE * piece_count + RECORDS_BESIDE:
            raise PeerError(f"it told {self._records} records of {piece_count} pieces")


def program_of(neighbour: Neighbour) -> bytes:
    """Who that is: a member, and which of the programs on its machine. Nobody can take the name of another member."""
    return neighbour.member + neighbour.peer_id


def giver_of(piece: int, torrent: Torrent | None) -> bytes | None:
    """The member that sent us most of a piece which is whole now; None: it came otherwise."""
    coming = None if torrent is None else torrent.swarm.pieces.in_flight.get(piece)
    if torrent is None or coming is None or not coming.senders:
        return None
    address = max(coming.senders, key=lambda address: coming.senders[address].bit_count())
    giver = torrent.neighbours.get(address)
    return None if giver is None else giver.member
