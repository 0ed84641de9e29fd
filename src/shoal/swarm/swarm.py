"""One torrent's swarm as we see it: who is there, what they have, and what we say to them.

Facts go in (`join`, `on_message`, `on_block`, `on_checked`, `tick`), decisions come out as messages in each peer's
outbox and as `close_reason`. The deciders are siblings: `requests.py` asks, `uploads.py` answers, `choker.py`
chooses whom to serve, `blame.py` finds liars; this module only joins them, so that the same code runs over real
sockets and in a simulator.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from shoal.formats.layout import Layout
from shoal.protocol.peer import messages as m
from shoal.swarm import uploads
from shoal.swarm.availability import Availability
from shoal.swarm.blame import Blame, Verdict
from shoal.swarm.choker import Candidate, Choker, slots_for
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, PieceProgress, Pieces
from shoal.swarm.requests import RequestDesk

MIND_PAUSE = 1.0  # seconds between two changes of a peer's interest that are acted upon at once


class Swarm:
    def __init__(
        self,
        layout: Layout,
        *,
        now: float,
        rng: random.Random,
        have: int = 0,
        wanted: int | None = None,
        most_in_flight: int = 64,
        info_hash: bytes = b"",
    ) -> None:
        """`info_hash` is what BEP 6 draws the allowed fast pieces from; without it nobody is allowed any."""
        self.pieces = Pieces(layout, have=have, wanted=wanted)
        self.availability = Availability(layout.piece_count)
        self.peers: dict[PeerKey, Peer] = {}
        self.blame: Blame[PeerKey] = Blame()
        self.desk = RequestDesk(
            self.pieces, self.availability, self.peers, self.blame, rng, most_in_flight=most_in_flight
        )
        self._choker: Choker[PeerKey] = Choker(now)
        self._rng = rng
        self._info_hash = info_hash
        self._is_choice_stale = False  # somebody's interest changed and slots were not chosen anew

    # Who is there

    def join(self, peer: Peer) -> None:
        """A peer has shaken hands: it is told what we have."""
        self.peers[peer.key] = peer
        pieces = self.pieces
        if peer.has_fast and pieces.has_all:
            peer.say(m.HaveAll())
        elif peer.has_fast and not pieces.have:
            peer.say(m.HaveNone())
        elif pieces.have:
            peer.say(m.Bitfield(pieces.have, pieces.count))

    def leave(self, peer: Peer, now: float) -> None:
        """It is gone: what it owed is asked of others, and its slot is free."""
        if self.peers.pop(peer.key, None) is None:
            return
        self.availability.remove(peer.has)
        self.desk.forget_exclusive(peer)
        self.desk.release_all(peer)
        self.refill_all(now)
        self._rechoke(now)

    # What they say

    def on_message(self, peer: Peer, message: m.Message, now: float) -> None:
        """Anything but a block. Raises `PeerError` for what nobody may say."""
        match message:
            case m.Requests():
                uploads.accept_requests(peer, self.pieces, message)
            case m.Have(piece):
                self._on_have(peer, piece, now)
            case m.Bitfield(bits):
                self._on_pieces(peer, bits, now)
            case m.HaveAll():
                self._on_pieces(peer, self.pieces.all, now)
            case m.HaveNone():
                self._on_pieces(peer, 0, now)
            case m.Choke():
                self._on_choke(peer, now)
            case m.Unchoke():
                peer.peer_choking = False
                self.desk.pardon(peer, now)
                self.desk.refill(peer, now)
            case m.Interested():
                self._on_interest(peer, True, now)
            case m.NotInterested():
                self._on_interest(peer, False, now)
            case m.Cancel():
                uploads.cancel_request(peer, message)
            case m.Reject(piece, begin, length):
                self.desk.on_rejected(peer, (piece, begin, length), now)
                if not peer.owed_count:
                    self._refill_idle(now)  # the last one: others may be asked for all of it
            case m.Suggest(piece):
                peer.suggested |= 1 << piece
            case m.AllowedFast(piece):
                peer.allowed_to_us |= 1 << piece
                self.desk.refill(peer, now)
            case m.Port() | m.Extended():
                pass  # for the shell: other parts of the program listen to these

    def _on_have(self, peer: Peer, piece: int, now: float) -> None:
        bit = 1 << piece
        if peer.has & bit:
            return
        self.availability.add_piece(piece, peer.has)
        peer.has |= bit
        if not peer.am_interested and self.pieces.needed & bit:
            self._update_interest(peer, now)
        elif peer.owed_count == 0:
            self.desk.refill(peer, now)
        if peer.has == self.pieces.all:
            self._part_if_pointless(peer)

    def _on_pieces(self, peer: Peer, bits: int, now: float) -> None:
        self.availability.remove(peer.has)
        peer.has |= bits
        self.availability.add(peer.has)
        if self._info_hash:
            uploads.allow_fast(peer, self.pieces, self._info_hash)
        self._update_interest(peer, now)
        self._part_if_pointless(peer)

    def _on_interest(self, peer: Peer, is_interested: bool, now: float) -> None:
        if peer.peer_interested == is_interested:
            return
        peer.peer_interested = is_interested
        if now - peer.changed_mind_at < MIND_PAUSE:  # a flood of these must cost no more than reading it
            self._is_choice_stale = True
            return
        peer.changed_mind_at = now
        self._rechoke(now)

    def _on_choke(self, peer: Peer, now: float) -> None:
        peer.peer_choking = True
        self.desk.forget_exclusive(peer)
        if (
            not peer.has_fast
        ):  # BEP 6 peers answer or reject each request still; the others have dropped them all
            self.desk.release_all(peer)
            self.refill_all(now)

    def on_block(self, peer: Peer, piece: int, begin: int, length: int) -> PieceProgress | None:
        """A block came: its piece's progress if the bytes are wanted, else None. `on_blocks` is told afterwards."""
        return self.desk.receive_block(peer, piece, begin, length)

    def on_blocks(self, peer: Peer, count: int, now: float) -> None:
        """`count` of the blocks that `peer` owed us came just now."""
        if count:
            self.desk.on_received(peer, count, now)

    # What became of pieces

    def on_checked(self, piece: int, is_good: bool, digests: Sequence[bytes], now: float) -> Verdict[PeerKey]:
        """A whole piece was hashed. `digests` is needed if it is bad, or suspect. The verdict names liars."""
        if is_good:
            verdict = self.blame.on_good_piece(piece, digests)
            self.desk.finish(piece)
            self.pieces.complete(piece)
            for peer in self.peers.values():
                peer.say(m.Have(piece))
            if self.pieces.is_complete:
                self._on_complete(now)
        else:
            verdict = self.blame.on_bad_piece(piece, self.pieces.in_flight[piece].senders, digests)
            self.desk.give_up(piece)
            self.desk.given_up.remove(piece)
        for key in verdict.guilty:
            if key in self.peers:
                self.peers[key].close_reason = f"sent a corrupt block of piece {piece}"
        self._refill_idle(now)
        return verdict

    def _on_complete(self, now: float) -> None:
        for peer in self.peers.values():
            self._update_interest(peer, now)
            self._part_if_pointless(peer)
        self._rechoke(now)

    # Time

    def tick(self, now: float) -> None:
        """Call about twice a second: silence, interest and slots are looked at again."""
        for peer in list(self.peers.values()):
            self.desk.look_at(peer, now)
            self._update_interest(peer, now)
        self.refill_all(now)
        if self._is_choice_stale or now >= self._choker.next_deadline():
            self._rechoke(now)

    def refill_all(self, now: float) -> None:
        for peer in list(self.peers.values()):
            self.desk.refill(peer, now)

    def _refill_idle(self, now: float) -> None:
        for peer in self.peers.values():
            if not self.desk.has_work:
                break
            if not peer.owed_count:
                self.desk.refill(peer, now)

    # Our side of each connection

    def _update_interest(self, peer: Peer, now: float) -> None:
        is_useful = bool(peer.has & self.pieces.needed)
        if is_useful != peer.am_interested:
            peer.am_interested = is_useful
            peer.say(m.Interested() if is_useful else m.NotInterested())
        if is_useful:
            self.desk.refill(peer, now)

    def on_upload_only(self, peer: Peer) -> None:
        """BEP 21: it wants nothing more, whether or not it has everything."""
        peer.is_upload_only = True
        self._part_if_pointless(peer)

    def _part_if_pointless(self, peer: Peer) -> None:
        if self.pieces.is_complete and (peer.has == self.pieces.all or peer.is_upload_only):
            peer.close_reason = "neither side wants anything"

    def _rechoke(self, now: float) -> None:
        self._is_choice_stale = False
        candidates = [
            Candidate(
                key=peer.key,
                is_interested=peer.peer_interested,
                upload_rate=peer.sent.rate(now),
                download_rate=peer.received.rate(now),
                is_unchoked=not peer.am_choking,
                unchoked_at=peer.unchoked_at,
                is_snubbed=peer.is_snubbed,
                joined_at=peer.joined_at,
                has_everything=peer.has == self.pieces.all,
            )
            for peer in self.peers.values()
            if not peer.close_reason
        ]
        upload_rate = sum(candidate.upload_rate for candidate in candidates)
        decision = self._choker.decide(
            candidates,
            slots=slots_for(upload_rate, sum(candidate.is_interested for candidate in candidates)),
            is_seeding=self.pieces.is_complete,
            now=now,
            rng=self._rng,
        )
        for peer in self.peers.values():
            is_chosen = peer.key in decision.unchoked
            if is_chosen and peer.am_choking:
                uploads.unchoke(peer, now)
            elif not is_chosen and not peer.am_choking:
                uploads.choke(peer)
