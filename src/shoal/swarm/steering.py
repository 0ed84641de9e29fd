"""Send each piece out once before any goes out twice: what is handed to whom, and what to offer next.

A seed that is asked at random for the rarest pieces sends a fifth of them twice before the last has left it. So it
offers each peer pieces of its own, never the same to two, a little ahead of what the peer has asked for; and of what a
peer did ask for, it answers first what fewest have. A peer that was told all we have is offered pieces by `suggest`
(BEP 6). Not every client heeds that, so who joins while others are here already is told of no piece but those it is
offered, by `have` (super-seeding, BEP 16), unless it lets that lie: it may want other files, or be a seed that hides.

Words: a piece is *handed* to a peer when it is offered to it, or when the first of its bytes are, until the peer
says that it has it or is choked; it is *fresh* as long as it was handed to nobody and no neighbour but seeds has it.
A peer that was handed fresh pieces and that nobody else gets them from *keeps* them: to it, a fresh piece is no more
urgent than a second copy.
Always true: `_handed` counts what the peers that are here were handed and do not have yet.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from shoal.formats.bitfield import iter_bits, random_bit, without
from shoal.protocol.peer.messages import Have, Suggest
from shoal.swarm.availability import Availability, Tally
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import Pieces
from shoal.swarm.tactics import Tactics
from shoal.units import KIB

PATIENCE = 5.0  # seconds for an offer to be taken up; then the piece is offered to others
LONGEST_PIECE = 60.0  # seconds more, at most, for the piece before it to go out
LEAST_AHEAD = 64 * KIB  # bytes offered and not asked for yet, so that a stranger gets going
AHEAD_SECONDS = 0.5  # worth of a peer's rate: about half of its pipeline is asked for at a time
PAUSE = 1.0  # seconds between two second copies for a peer while the uplink is full


class Steering:
    def __init__(
        self, pieces: Pieces, availability: Availability, rng: random.Random, tactics: Tactics
    ) -> None:
        self._pieces = pieces
        self._availability = availability
        self._rng = rng
        self._tactics = tactics
        self._handed = Tally()
        self._looked_at = 0.0
        self._revealed_at = 0.0
        self.is_uplink_full = False  # set by whoever measures it

    def rank(self, peer: Peer, piece: int) -> tuple[bool, int]:
        """The order of answers to `peer`, lowest first."""
        begun_as = peer.given.begun.get(piece)
        if begun_as is not None:
            return False, begun_as  # only whole pieces can be shared: what was begun first is finished first
        return True, self._availability.count(piece) + self._handed.count(piece)  # rarest first

    def fresh(self) -> int:
        return without(self._pieces.have, self._availability.spread() | self._handed.counted())

    # Facts

    def on_handing(self, peer: Peer, piece: int) -> None:
        """Bytes of a piece go to this peer."""
        begun = peer.given.begun
        if piece in begun:
            return  # not the first of them
        begun[piece] = peer.given.begun_count
        peer.given.begun_count += 1
        peer.given.sent |= 1 << piece
        self._hand(peer, 1 << piece)

    def on_asked(self, peer: Peer, bits: int) -> None:
        """It has asked for these."""
        peer.given.offered &= ~bits

    def on_has(self, peer: Peer, bits: int) -> None:
        """It says that it has these."""
        self._handed.remove(peer.given.handed & bits)
        peer.given.handed &= ~bits
        peer.given.offered &= ~bits
        for piece in [piece for piece in peer.given.begun if bits >> piece & 1]:
            del peer.given.begun[piece]

    def on_choked(self, peer: Peer) -> None:
        """What it was handed will not come, at least for now; likewise when it leaves."""
        self._handed.remove(peer.given.handed)
        peer.given.handed = peer.given.offered = 0
        peer.given.begun.clear()

    def look_for_keepers(self, peers: Iterable[Peer], now: float, turn: float) -> None:
        """Call now and then; `turn` is the seconds within which a piece should have got on to a second neighbour."""
        if now - self._looked_at < turn:
            return
        self._looked_at = now
        shared = self._availability.shared()
        for peer in peers:
            peer.given.is_keeper = bool(peer.given.first_copies_before & peer.has & ~shared)
            peer.given.first_copies_before |= peer.given.first_copies
            peer.given.first_copies_before &= ~shared
            peer.given.first_copies = 0

    # Offering

    def hide(self, peer: Peer) -> None:
        """Tell it of no piece but those that it is offered."""
        peer.given.shown = 0

    def reveal(self, peer: Peer) -> None:
        """Tell it of all we have after all, or it would not see that we are a seed."""
        if peer.given.shown is not None:
            for piece in iter_bits(self._pieces.have & ~peer.given.shown):
                peer.say(Have(piece))
            peer.given.shown = None

    def offer(self, peer: Peer, now: float) -> None:
        """Keep it supplied with pieces to ask for."""
        if peer.given.shown is not None:
            if peer.am_choking:
                self._bait(peer, now)
            else:
                self._show(peer, now)
        elif self._tactics.suggests and peer.has_fast and peer.peer_interested and not peer.am_choking:
            self._suggest(peer, now)

    def _suggest(self, peer: Peer, now: float) -> None:
        while not peer.given.ignores_suggestions and peer.given.offered.bit_count() < self._ahead(peer, now):
            fresh = self._fresh_for(peer, ~peer.has)
            if not fresh:
                return
            piece = random_bit(fresh, self._rng)
            self._offer(peer, piece, now)
            peer.say(Suggest(piece))

    def _bait(self, peer: Peer, now: float) -> None:
        """A choked peer is to know of one piece that it wants, best of one that others have too."""
        assert peer.given.shown is not None
        if self._known_and_lacked(peer):
            return
        unknown = self._pieces.have & ~peer.given.shown & ~peer.has
        if unknown:
            piece = random_bit(unknown & self._availability.spread() or unknown, self._rng)
            peer.given.shown |= 1 << piece
            peer.given.offered_at = now
            peer.say(Have(piece))

    def _known_and_lacked(self, peer: Peer) -> int:
        """What a hidden peer was told of, can still have, and has not."""
        return (peer.given.shown or 0) & self._pieces.have & ~peer.has

    def _fresh_for(self, peer: Peer, unknown: int) -> int:
        return 0 if peer.given.is_keeper else self.fresh() & unknown

    def _show(self, peer: Peer, now: float) -> None:
        given = peer.given
        assert given.shown is not None
        ahead = self._ahead(peer, now)
        while (self._known_and_lacked(peer) & ~given.handed | given.offered).bit_count() < ahead:
            unknown = self._pieces.have & ~given.shown & ~peer.has
            fresh = self._fresh_for(peer, unknown)
            if not unknown or (not fresh and self._can_wait(peer, now)):
                return
            piece = random_bit(fresh or self._least_spread(unknown), self._rng)
            given.shown |= 1 << piece
            self._offer(peer, piece, now)
            peer.say(Have(piece))

    def _can_wait(self, peer: Peer, now: float) -> bool:
        """A second copy for it may come a little later: first ones fill the link, and it has other sources."""
        has_other_sources = bool(peer.has & ~peer.given.sent)
        return self.is_uplink_full and has_other_sources and now - peer.given.offered_at < PAUSE

    def _least_spread(self, pieces: int) -> int:
        return self._availability.rarest_of(self._handed.least_of(pieces))

    def _ahead(self, peer: Peer, now: float) -> int:
        """Pieces to be offered and not asked for yet: what it will ask for next must be among them."""
        size = max(LEAST_AHEAD, peer.sent.rate(now) * AHEAD_SECONDS)
        return -int(-size // self._pieces.layout.piece_length)

    def _offer(self, peer: Peer, piece: int, now: float) -> None:
        bit = 1 << piece
        if not self._handed.count(piece) and not self._availability.leechers_with(piece):
            peer.given.first_copies |= bit
        self._hand(peer, bit)
        peer.given.offered |= bit
        peer.given.offered_at = now

    def withdraw(self, peer: Peer, now: float) -> None:
        """What it was offered and did not ask for in time is for others."""
        given = peer.given
        waited, patience = now - given.offered_at, self._patience(peer, now)
        if given.offered and waited > patience:
            self._handed.remove(given.offered & given.handed)
            given.handed &= ~given.offered
            given.offered = 0
            given.ignores_suggestions = True
        if waited > patience and now > self._revealed_at and self._lets_lie(peer, now):
            self._revealed_at = now  # one at a time: a crowd of silent ones must not cost a crowd of messages
            self.reveal(peer)

    def _patience(self, peer: Peer, now: float) -> float:
        """Seconds in which it should ask for the next piece, which it does towards the end of the one before."""
        rate = peer.sent.rate(now)
        return PATIENCE + (min(self._pieces.layout.piece_length / rate, LONGEST_PIECE) if rate else 0.0)

    def _lets_lie(self, peer: Peer, now: float) -> bool:
        """Whether a hidden peer knows of something that it lacks and does not want, or could ask for and does not."""
        if not self._known_and_lacked(peer) & ~peer.given.handed:
            return False
        if not peer.peer_interested:
            return True
        return not peer.am_choking and not peer.uploads and now - (peer.unchoked_at or 0.0) > PATIENCE

    def _hand(self, peer: Peer, bit: int) -> None:
        if not (peer.given.handed | peer.has) & bit:
            peer.given.handed |= bit
            self._handed.add(bit)
