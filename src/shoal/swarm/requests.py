"""Keep the books of what peers owe us: ask each for as much as its pipeline holds, and others when one is late.

Which blocks is chosen in `picking.py`, and, when nothing is left that nobody was asked for, in `endgame.py`.

Always true: `progress.asked` of a piece is the union of what peers that answer owe us, less what arrived; a peer that
has gone silent keeps its debt (a late block is welcome) but no longer holds others back.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from shoal.errors import PeerError
from shoal.formats.bitfield import iter_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer.messages import Cancel, Request, Requests
from shoal.swarm.availability import Availability
from shoal.swarm.blame import Blame
from shoal.swarm.endgame import LOOK_INTERVAL, Debtors, choose_to_move
from shoal.swarm.peer import Peer
from shoal.swarm.picking import Picker
from shoal.swarm.pieces import PeerKey, PieceProgress, Pieces
from shoal.swarm.pipeline import (
    LEAST_DEPTH,
    REFUSAL_PAUSE,
    adapt_depth,
    askable,
    depths_for,
    fix_depth,
    has_second_chance,
    is_silent,
    is_willing,
    note_refusal,
    note_round_trip,
)
from shoal.swarm.tactics import Tactics


class RequestDesk:
    """Who owes us which block, for one torrent."""

    def __init__(
        self,
        pieces: Pieces,
        availability: Availability,
        peers: Mapping[PeerKey, Peer],
        blame: Blame[PeerKey],
        rng: random.Random,
        *,
        most_in_flight: int,
        tactics: Tactics,
        max_download_rate: int | None = None,
    ) -> None:
        self._tactics = tactics
        self._set_depth = adapt_depth if tactics.pipeline_follows_rate else fix_depth
        self._depths = depths_for(max_download_rate)
        self._pieces = pieces
        self._peers = peers
        has_even_pieces = pieces.layout.piece_length % BLOCK_LENGTH == 0
        self._first_uneven = pieces.count - 1 if has_even_pieces else 0  # from here on blocks may be short
        self._picker = Picker(
            pieces, availability, peers, blame, rng, most_in_flight=most_in_flight, tactics=tactics,
            give_up=self.give_up,
        )  # fmt: skip
        self._debtors = Debtors(peers)
        self._doubled: dict[int, int] = {}  # piece -> blocks asked of two peers
        self.is_held = False  # the disk is behind: nothing more is asked for
        self.given_up: list[int] = []  # pieces whose buffers the shell may drop; it empties the list

    # Asking

    def refill(self, peer: Peer, now: float) -> None:
        """Bring what `peer` owes us up to its depth, once half of it has been answered."""
        if not peer.am_interested or (peer.peer_choking and not peer.allowed_to_us):
            return  # most calls end here
        if peer.owed_count * 2 > peer.depth or self.is_held or not is_willing(peer):
            return
        has_work = self._picker.has_work
        if not has_work and now - peer.looked_at < LOOK_INTERVAL:
            return
        self._set_depth(peer, now, self._depths)
        room = min(peer.depth, peer.request_limit) - peer.owed_count
        if room <= 0:
            return
        runs = self._picker.pick(peer, room) if has_work else []
        if not runs and self._tactics.has_endgame and now - peer.looked_at >= LOOK_INTERVAL:
            runs = self._take_over(peer, room, now)
        if runs:
            if not peer.owed_count:
                peer.asked_since = now
            for piece, blocks in runs:
                self._owe(peer, piece, blocks)
            peer.say(Requests(_requests_of(self._pieces.layout, runs)))

    def _take_over(self, peer: Peer, room: int, now: float) -> list[tuple[int, int]]:
        """Runs of (piece, blocks) that others owe us and this peer may bring sooner: at most `room` blocks."""
        peer.looked_at = now
        if not self._picker.is_at_end():
            return []
        debtors = self._debtors.latest_first(now)
        return choose_to_move(peer, askable(peer), room, debtors, self._pieces.in_flight, self._doubled)

    def give_up(self, piece: int) -> None:
        """Forget a piece in flight; what peers owe of it is forgotten too."""
        self.finish(piece)
        self._pieces.give_up(piece)
        self.given_up.append(piece)

    def suspend(self, bits: int) -> None:
        """Nobody is asked for these: what is in flight of them is given up, and what waits to be checked is, too.

        For it is not known any more what would be right: whoever sent it is not to be judged by that.
        """
        for piece, progress in list(self._pieces.in_flight.items()):
            if bits >> piece & 1:
                self.finish(piece)
                self._pieces.give_up(piece)
                if not progress.is_whole:  # or its buffer is still being looked at
                    self.given_up.append(piece)
        self._pieces.suspend(bits)

    def take_in(self, piece: int) -> None:
        """It is here by another way: what peers owe of it is not wanted any more."""
        progress = self._pieces.in_flight.get(piece)
        if progress is not None:
            self.finish(piece)
            if not progress.is_whole:  # or its buffer is still being looked at
                self.given_up.append(piece)
        self._pieces.take_in(piece)

    def _owe(self, peer: Peer, piece: int, blocks: int) -> None:
        peer.owed[piece] = peer.owed.get(piece, 0) | blocks
        peer.owed_count += blocks.bit_count()
        progress = self._pieces.in_flight[piece]
        if progress.asked & blocks:
            self._doubled[piece] = self._doubled.get(piece, 0) | progress.asked & blocks
        progress.asked |= blocks
        self._picker.note_asked(progress)

    @property
    def has_work(self) -> bool:
        return self._picker.has_work

    # Receiving

    def receive_block(self, peer: Peer, piece: int, begin: int, length: int) -> PieceProgress | None:
        """Mark one block; the piece's progress if its bytes are wanted, None if they came too late or unasked.

        Runs 65,536 times a GiB. `on_received` is told afterwards how many one wake-up brought.
        """
        block, misfit = divmod(begin, BLOCK_LENGTH)
        bit = 1 << block
        owed = peer.owed.get(piece, 0)
        if peer.is_snubbed:
            self._welcome_back(peer)
        if not owed & bit:
            peer.wasted += length
            return None
        if (misfit or length != BLOCK_LENGTH or piece >= self._first_uneven) and (
            misfit or length != self._pieces.layout.block_size(piece, block)
        ):
            raise PeerError(f"block {block} of piece {piece} came with {length} bytes at {begin}")
        if owed == bit:
            del peer.owed[piece]
        else:
            peer.owed[piece] = owed ^ bit
        peer.owed_count -= 1
        progress = self._pieces.in_flight.get(piece)
        if progress is None or progress.received & bit:
            peer.wasted += length
            return None
        progress.received |= bit
        progress.asked &= ~bit
        progress.senders[peer.key] = progress.senders.get(peer.key, 0) | bit
        if piece in self._picker.open:
            self._picker.note_asked(progress)
        if self._doubled and self._doubled.get(piece, 0) & bit:
            self._cancel_elsewhere(peer, piece, bit)
        return progress

    def on_received(self, peer: Peer, count: int, now: float) -> None:
        """So many blocks that `peer` owed us came just now."""
        if peer.last_block_at < peer.asked_since:
            note_round_trip(peer, now)
        peer.received.add(count * BLOCK_LENGTH, now)
        peer.last_block_at = now
        peer.received_since_refill += count

    def _cancel_elsewhere(self, sender: Peer, piece: int, bit: int) -> None:
        self._doubled[piece] ^= bit
        if not self._doubled[piece]:
            del self._doubled[piece]
        for other in self._peers.values():
            if other is not sender and other.owed.get(piece, 0) & bit:
                self._forgive(other, piece, bit)
                self._say_cancel(other, piece, bit)

    def _forgive(self, peer: Peer, piece: int, blocks: int) -> None:
        """It owes us these no longer."""
        left = peer.owed.get(piece, 0)
        peer.owed_count -= (left & blocks).bit_count()
        left &= ~blocks
        if left:
            peer.owed[piece] = left
        else:
            peer.owed.pop(piece, None)

    # Losing

    def on_rejected(self, peer: Peer, request: Request, now: float) -> None:
        """BEP 6: it will not send this block."""
        piece, begin, _ = request
        bit = 1 << begin // BLOCK_LENGTH
        if not peer.owed.get(piece, 0) & bit:
            return  # we have cancelled it meanwhile
        self._forgive(peer, piece, bit)
        if peer.is_snubbed:  # a reject is an answer: it is there
            self._welcome_back(peer)
        self._recount_asked(piece)
        if peer.peer_choking:
            peer.allowed_to_us &= ~(1 << piece)
            return
        note_refusal(peer, piece, now)
        progress = self._pieces.in_flight.get(piece)
        if progress is not None and progress.exclusive_to == peer.key:
            self.give_up(piece)

    def release_all(self, peer: Peer) -> None:
        """It has left, or choked us without BEP 6: what it owed is free for others."""
        owed, peer.owed = peer.owed, {}
        peer.owed_count = 0
        for piece in owed:
            self._recount_asked(piece)

    def forget_exclusive(self, peer: Peer) -> None:
        """Pieces that only this peer was to send start anew with another."""
        for piece, progress in list(self._pieces.in_flight.items()):
            if progress.exclusive_to == peer.key and not progress.is_whole:
                self.give_up(piece)

    def look_at(self, peer: Peer, now: float) -> None:
        """Time has passed: has it gone silent, or been left alone for long enough?"""
        if peer.refused and now - peer.refused_at >= REFUSAL_PAUSE:
            peer.refused = 0
        if peer.is_snubbed:
            if has_second_chance(peer, now):
                self.pardon(peer, now)
        elif peer.owed_count and is_silent(peer, now):
            self._snub(peer)

    def _snub(self, peer: Peer) -> None:
        """It owes us blocks and sends none: others may be asked for them."""
        peer.is_snubbed = True
        peer.depth = LEAST_DEPTH
        for piece in list(peer.owed):
            self._recount_asked(piece)
        self.forget_exclusive(peer)

    def pardon(self, peer: Peer, now: float) -> None:
        """Ask it again as if nothing had been: what it still owes is forgotten."""
        peer.refused = 0
        if not peer.is_snubbed:
            return
        peer.is_snubbed = False
        peer.asked_since = now
        owed, peer.owed = peer.owed, {}
        peer.owed_count = 0
        for piece, blocks in owed.items():
            self._say_cancel(peer, piece, blocks)

    def _welcome_back(self, peer: Peer) -> None:
        peer.is_snubbed = False
        for piece in peer.owed:
            self._recount_asked(piece)

    def _recount_asked(self, piece: int) -> None:
        progress = self._pieces.in_flight.get(piece)
        if progress is None:
            return
        once = twice = 0
        for peer in self._peers.values():
            if not peer.is_snubbed:
                blocks = peer.owed.get(piece, 0)
                twice |= once & blocks
                once |= blocks
        progress.asked = once & ~progress.received
        self._picker.note_asked(progress)
        doubled = twice & ~progress.received
        if doubled:
            self._doubled[piece] = doubled
        else:
            self._doubled.pop(piece, None)

    def finish(self, piece: int) -> None:
        """The piece is not in flight any more: what is still owed of it is not wanted."""
        self._picker.close(piece)
        self._doubled.pop(piece, None)
        for peer in self._peers.values():
            blocks = peer.owed.pop(piece, 0)
            if blocks:
                peer.owed_count -= blocks.bit_count()
                self._say_cancel(peer, piece, blocks)

    def _say_cancel(self, peer: Peer, piece: int, blocks: int) -> None:
        for block in iter_bits(blocks):
            peer.say(Cancel(*_request_of(self._pieces.layout, piece, block)))


def _request_of(layout: Layout, piece: int, block: int) -> Request:
    return piece, block * BLOCK_LENGTH, layout.block_size(piece, block)


def _requests_of(layout: Layout, runs: Iterable[tuple[int, int]]) -> tuple[Request, ...]:
    requests: list[Request] = []
    for piece, blocks in runs:
        requests += [(piece, block * BLOCK_LENGTH, BLOCK_LENGTH) for block in iter_bits(blocks)]
        last = layout.block_count(piece) - 1
        if blocks >> last & 1:
            requests[-1] = _request_of(layout, piece, last)
    return tuple(requests)
