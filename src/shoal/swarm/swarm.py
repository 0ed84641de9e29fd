"""One torrent's swarm as we see it: who is there, what they have, and what we say to them.

Facts go in (`join`, `on_message`, `on_block`, `on_checked`, `tick`), decisions come out as messages in each peer's
outbox and as `close_reason`. The deciders are siblings: `requests.py` asks, `uploads.py` answers, `slots.py` says whom,
`blame.py` finds liars; this module only joins them, so that the same code runs over real sockets and in a simulator.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from shoal.formats.bitfield import iter_bits, without
from shoal.formats.layout import Layout
from shoal.protocol.peer import messages as m
from shoal.swarm import uploads
from shoal.swarm.availability import Availability
from shoal.swarm.blame import Blame, Verdict
from shoal.swarm.capacity import SMALL_SWARM, Capacity
from shoal.swarm.choker import ROUNDS_A_TURN
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, PieceProgress, Pieces
from shoal.swarm.pipeline import note_held_back, note_sign_of_life
from shoal.swarm.requests import RequestDesk
from shoal.swarm.slots import Slots
from shoal.swarm.steering import Steering
from shoal.swarm.tactics import Tactics


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
        tactics: Tactics = Tactics(),  # noqa: B008  frozen
        max_upload_rate: int | None = None,
        max_download_rate: int | None = None,
    ) -> None:
        """`info_hash` is what BEP 6 draws the allowed fast pieces from; without it nobody is allowed any.

        The rates are the limits that the shell keeps us below, bytes a second; None where there is none.
        """
        self.pieces = Pieces(layout, have=have, wanted=wanted)
        self.availability = Availability(layout.piece_count)
        self.peers: dict[PeerKey, Peer] = {}
        self.blame: Blame[PeerKey] = Blame()
        self.tactics = tactics
        self.steering = Steering(self.pieces, self.availability, rng, tactics)
        self.desk = RequestDesk(
            self.pieces,
            self.availability,
            self.peers,
            self.blame,
            rng,
            most_in_flight=most_in_flight,
            tactics=tactics,
            max_download_rate=max_download_rate,
        )
        self._capacity = Capacity(layout.piece_length, tactics, now, max_upload_rate)
        self._slots = Slots(self.pieces, self.peers, self.steering, self._capacity, now, rng)
        self._info_hash = info_hash
        self._untold = 0  # pieces that the others are told of at the next tick

    # Who is there

    def join(self, peer: Peer) -> None:
        """A peer has shaken hands: it is told what we have."""
        pieces = self.pieces
        told = pieces.have
        if pieces.has_all and self._is_to_hide_from(peer):
            self.steering.hide(peer)
            told = 0
        self.peers[peer.key] = peer
        if peer.has_fast and told == pieces.all:
            peer.say(m.HaveAll())
        elif peer.has_fast and not told:
            peer.say(m.HaveNone())
        elif told:
            peer.say(m.Bitfield(told, pieces.count))

    def _is_to_hide_from(self, newcomer: Peer) -> bool:
        """Others are here to pass on what it is sent, and most of what we have was never sent."""
        if not self.tactics.super_seeds or not self.peers:
            return False
        return self.steering.fresh().bit_count() * 2 > self.pieces.count

    def leave(self, peer: Peer, now: float) -> None:
        """It is gone: what it owed is asked of others, and its slot is free."""
        if self.peers.pop(peer.key, None) is None:
            return
        self.availability.remove(peer.has)
        peer.uploads.drop(lambda _: True)  # nothing more is handed to it
        self.steering.on_choked(peer)
        self.desk.forget_exclusive(peer)
        self.desk.release_all(peer)
        if self.desk.has_work:
            self.refill_all(now)
        if not peer.am_choking:
            self._slots.rechoke(now)

    # What they say

    def on_message(self, peer: Peer, message: m.Message, now: float) -> None:
        """Anything but a block. Raises `PeerError` for what nobody may say.

        Call `desk.refill` once all that came with it is read.
        """
        match message:
            case m.Requests():
                uploads.accept_requests(peer, self.pieces, message)
                self._on_asked(peer, message, now)
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
                self._slots.on_interest(peer, True, now)
            case m.NotInterested():
                self._slots.on_interest(peer, False, now)
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

    def _on_asked(self, peer: Peer, requests: m.Requests, now: float) -> None:
        if peer.given.offered:
            self.steering.on_asked(peer, sum(1 << piece for piece in {item[0] for item in requests.items}))
        self.steering.offer(peer, now)

    def _on_have(self, peer: Peer, piece: int, now: float) -> None:
        bit = 1 << piece
        if peer.has & bit:
            return
        self.availability.add_piece(piece, peer.has)
        peer.has |= bit
        if peer.given.handed & bit or piece in peer.given.begun:
            self.steering.on_has(peer, bit)
            self.steering.offer(peer, now)
        if not peer.am_interested and self.pieces.needed & bit:
            self._update_interest(peer, now)
        if peer.has == self.pieces.all:
            self._part_if_pointless(peer)

    def _on_pieces(self, peer: Peer, bits: int, now: float) -> None:
        self.availability.remove(peer.has)
        peer.has |= bits
        self.availability.add(peer.has)
        self.steering.on_has(peer, bits)
        if peer.given.shown is not None:
            self.steering.offer(peer, now)
        self._update_interest(peer, now)
        self._part_if_pointless(peer)

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

    def on_part_of_block(self, peer: Peer, now: float) -> None:
        """Bytes of a block came just now, and no block is complete with them."""
        note_sign_of_life(peer, now)

    def on_held_back(self, peer: Peer, now: float) -> None:
        """A rate limit of ours keeps us from hearing it, or it from hearing us: call it twice a second."""
        note_held_back(peer, now)

    # What became of pieces

    def on_checked(self, piece: int, is_good: bool, digests: Sequence[bytes], now: float) -> Verdict[PeerKey]:
        """A whole piece was hashed. `digests` is needed if it is bad, or suspect. The verdict names liars."""
        if is_good:
            verdict = self.blame.on_good_piece(piece, digests)
            self.desk.finish(piece)
            self.pieces.complete(piece)
            self._on_here(piece, now)
        else:
            verdict = self.blame.on_bad_piece(piece, self.pieces.in_flight[piece].senders, digests)
            self.desk.give_up(piece)
            self.desk.given_up.remove(piece)
        for key in verdict.guilty:
            if key in self.peers:
                self.peers[key].close_reason = f"sent a corrupt block of piece {piece}"
        self._refill_idle(now)
        return verdict

    def on_piece_elsewhere(self, piece: int, now: float) -> None:
        """It is here, right, and not by us: whatever its state was. It must not be here already."""
        was_complete = self.pieces.is_complete
        self.desk.take_in(piece)
        self._on_here(piece, now, was_complete=was_complete)
        self._refill_idle(now)

    def _on_here(self, piece: int, now: float, *, was_complete: bool = False) -> None:
        if self.tactics.tells_at_once:
            self._tell(1 << piece)
        else:
            self._untold |= 1 << piece
        if self.pieces.is_complete and not was_complete:
            self._on_complete(now)

    def suspend(self, bits: int, now: float) -> None:
        """Peers are asked for none of these until `resume`; `desk.given_up` names what was given up for it."""
        self.desk.suspend(bits)
        self._refill_idle(now)

    def resume(self, bits: int, now: float) -> None:
        self.pieces.resume(bits)
        self._refill_idle(now)

    def lose(self, bits: int) -> None:
        """These are not here after all, though others were told so: who asks for them is refused."""
        lost = self.pieces.have & bits
        self.pieces.lose(lost)
        for peer in self.peers.values():
            uploads.refuse_pieces(peer, lost)

    def _tell(self, bits: int) -> None:
        for piece in iter_bits(bits):
            have = m.Have(piece)
            for peer in self.peers.values():
                if peer.given.shown is None:  # the others are told in their turn
                    peer.say(have)

    def _on_complete(self, now: float) -> None:
        for peer in self.peers.values():
            self._update_interest(peer, now)
            self._part_if_pointless(peer)
        self._slots.rechoke(now)

    # What goes out

    def next_upload(self, peer: Peer) -> m.Request:
        """Which of its requests to answer now; there must be one."""
        steering = self.steering
        return peer.uploads.next(
            (lambda piece: steering.rank(peer, piece)) if self.tactics.answers_rarest_first else None
        )

    def take_run(self, peer: Peer, piece: int, start: int, stop: int, limit: int) -> list[m.Request]:
        """As `UploadQueue.take_run`: these are being answered."""
        self.steering.on_handing(peer, piece)
        return peer.uploads.take_run(piece, start, stop, limit)

    def forget_has(self, bits: int, of: Peer | None = None) -> None:
        """What anybody (or `of`) told of these pieces does not count any more; who has them tells again."""
        for peer in self.peers.values() if of is None else (of,):
            self.availability.remove(peer.has)
            peer.has = without(peer.has, bits)
            self.availability.add(peer.has)

    # Time

    def tick(self, now: float) -> None:
        """Call about twice a second: silence, interest and slots are looked at again."""
        self._capacity.note(sum(peer.sent.rate(now) for peer in self.peers.values()), now)
        has_backlog = any(peer.uploads for peer in self.peers.values())  # or it is demand that sets the rate
        self.steering.is_uplink_full = self._capacity.is_full and has_backlog
        turn = ROUNDS_A_TURN * self._capacity.round_seconds(SMALL_SWARM)
        self.steering.look_for_keepers(self.peers.values(), now, turn)
        for peer in list(self.peers.values()):
            self.desk.look_at(peer, now)
            self._update_interest(peer, now)
            self.steering.withdraw(peer, now)
            self.steering.offer(peer, now)
        leechers = [peer for peer in self.peers.values() if peer.has != self.pieces.all]
        if len(leechers) == 1:
            self.steering.reveal(leechers[0])  # nobody is here to pass anything on
        if self.desk.has_work:
            self.refill_all(now)
        if self._slots.tick(now):
            self._allow_fast()
        if self._untold:
            self._tell(self._untold)
            self._untold = 0

    def refill_all(self, now: float) -> None:
        for peer in list(self.peers.values()):
            self.desk.refill(peer, now)

    def _refill_idle(self, now: float) -> None:
        for peer in self.peers.values():
            # Most choke us or have nothing for us: they are not worth a call.
            if peer.owed_count or not peer.am_interested or (peer.peer_choking and not peer.allowed_to_us):
                continue
            if not self.desk.has_work:
                break
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
        if not self.tactics.parts_when_pointless:
            return
        if self.pieces.is_complete and (peer.has == self.pieces.all or peer.is_upload_only):
            peer.close_reason = "neither side wants anything"

    def _allow_fast(self) -> None:
        """Who has to wait may have a few of the pieces that have got around: the others go where they are steered."""
        if not self._info_hash or not self.tactics.allows_fast:
            return
        spread = self.pieces.have & self.availability.spread()
        for peer in self.peers.values():
            if peer.am_choking and peer.peer_interested:
                uploads.allow_fast(peer, spread, self._info_hash, self.pieces.count)
