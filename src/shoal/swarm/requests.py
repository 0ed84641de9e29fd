"""Ask peers for blocks: whom, for which, how many at a time, and whom instead when one is late.

The order of wishes, strongest first: blocks of pieces that are begun (only whole pieces can be shared), then the rarest
piece the peer has, then, when nothing is left that nobody was asked for, blocks that a slower peer owes us (endgame).

Always true: `progress.asked` of a piece is the union of what peers that answer owe us, less what arrived; a peer that
has gone silent keeps its debt (a late block is welcome) but no longer holds others back.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from shoal.errors import PeerError
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer.messages import Cancel, Request, Requests
from shoal.swarm.availability import Availability
from shoal.swarm.blame import Blame
from shoal.swarm.endgame import LOOK_INTERVAL, Debtors, choose_to_move
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, PieceProgress, Pieces
from shoal.swarm.pipeline import (
    LEAST_DEPTH,
    REFUSAL_PAUSE,
    SECOND_CHANCE,
    SILENCE_BEFORE_SNUB,
    adapt_depth,
    askable,
    is_willing,
    note_refusal,
    note_round_trip,
    silent_for,
    would_send,
)


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
    ) -> None:
        self._pieces = pieces
        self._availability = availability
        self._peers = peers
        self._blame = blame
        self._rng = rng
        self._most_in_flight = most_in_flight  # pieces; what the buffers hold
        has_even_pieces = pieces.layout.piece_length % BLOCK_LENGTH == 0
        self._first_uneven = pieces.count - 1 if has_even_pieces else 0  # from here on blocks may be short
        self._open: dict[int, PieceProgress] = {}  # begun pieces with blocks that nobody was asked for
        self._debtors = Debtors(peers)
        self._doubled: dict[int, int] = {}  # piece -> blocks asked of two peers
        self.is_held = False  # the disk is behind: nothing more is asked for
        self.given_up: list[int] = []  # pieces whose buffers the shell may drop; it empties the list

    # Asking

    def refill(self, peer: Peer, now: float) -> None:
        """Bring what `peer` owes us up to its depth, once half of it has been answered."""
        if self.is_held or not peer.am_interested or not is_willing(peer):
            return
        if peer.peer_choking and not peer.allowed_to_us:
            return
        if peer.owed_count * 2 > peer.depth:
            return
        if not self.has_work and now - peer.looked_at < LOOK_INTERVAL:
            return
        adapt_depth(peer, now)
        room = min(peer.depth, peer.request_limit) - peer.owed_count
        if room <= 0:
            return
        runs = self._choose(peer, room, now)
        if runs:
            if not peer.owed_count:
                peer.asked_since = now
            for piece, blocks in runs:
                self._owe(peer, piece, blocks)
            peer.say(Requests(_requests_of(self._pieces.layout, runs)))

    @property
    def has_work(self) -> bool:
        """There may be blocks that nobody was asked for; if not, peers are looked at now and then only."""
        pieces = self._pieces
        return bool(self._open) or (bool(pieces.missing) and len(pieces.in_flight) < self._most_in_flight)

    def _choose(self, peer: Peer, room: int, now: float) -> list[tuple[int, int]]:
        """Runs of (piece, blocks) for this peer: at most `room` blocks."""
        may_ask = askable(peer)
        runs: list[tuple[int, int]] = []
        for progress in self._begun_for(peer, may_ask):
            blocks = _first_blocks(progress.unasked, room)
            runs.append((progress.piece, blocks))
            room -= blocks.bit_count()
            if not room:
                return runs
        for piece in self._new_for(peer, may_ask, room):
            progress = self._pieces.begin(piece, peer.key if self._blame.is_suspect(piece) else None)
            self._open[piece] = progress
            blocks = _first_blocks(progress.unasked, room)
            runs.append((piece, blocks))
            room -= blocks.bit_count()
            if not room:
                return runs
        if runs or now - peer.looked_at < LOOK_INTERVAL:
            return runs
        peer.looked_at = now
        if not self._is_endgame():
            return []
        debtors = self._debtors.latest_first(now)
        return choose_to_move(peer, may_ask, room, debtors, self._pieces.in_flight, self._doubled)

    def _is_endgame(self) -> bool:
        """Nothing can be begun any more, be it that the buffers are full. Before that, two askers only waste."""
        if len(self._pieces.in_flight) >= self._most_in_flight:
            return True
        missing = self._pieces.missing
        return not any(missing & askable(peer) for peer in self._peers.values() if is_willing(peer))

    def _begun_for(self, peer: Peer, may_ask: int) -> list[PieceProgress]:
        """Begun pieces with blocks nobody was asked for, nearest to their end first."""
        begun = [
            progress
            for piece, progress in self._open.items()
            if may_ask >> piece & 1 and progress.exclusive_to in (None, peer.key)
        ]
        begun.sort(
            key=lambda progress: (
                peer.key not in progress.senders,  # stay with what this peer is already sending
                progress.missing.bit_count(),  # only whole pieces can be shared
            )
        )
        return begun

    def _new_for(self, peer: Peer, may_ask: int, room: int) -> Iterable[int]:
        """Missing pieces to begin, rarest first, as many as the buffers and `room` blocks allow."""
        pieces = self._pieces
        candidates = pieces.missing & may_ask
        for piece in iter_bits(candidates & self._blame.suspect_pieces):
            if self._blame.choose_source(piece, self._able_to_send(piece)) != peer.key:
                candidates ^= 1 << piece
        if candidates and len(pieces.in_flight) >= self._most_in_flight:
            self._give_up_one_abandoned()
        while candidates and room > 0 and len(pieces.in_flight) < self._most_in_flight:
            preferred = candidates & peer.suggested
            rarest = self._availability.rarest(preferred or candidates, self._rng)
            if rarest is None:
                return
            room -= pieces.layout.block_count(rarest)
            candidates &= ~(1 << rarest)
            yield rarest

    def _able_to_send(self, piece: int) -> list[PeerKey]:
        return [peer.key for peer in self._peers.values() if would_send(peer, piece)]

    def _give_up_one_abandoned(self) -> None:
        """Make room: the begun piece nearest to its beginning that nobody who answers owes us."""
        abandoned = [
            progress
            for progress in self._pieces.in_flight.values()
            if not progress.asked and not progress.is_whole
            and not any(would_send(peer, progress.piece) for peer in self._peers.values())
        ]  # fmt: skip
        if abandoned:
            self.give_up(max(abandoned, key=lambda progress: progress.missing.bit_count()).piece)

    def give_up(self, piece: int) -> None:
        """Forget a piece in flight; what peers owe of it is forgotten too."""
        self.finish(piece)
        self._pieces.give_up(piece)
        self.given_up.append(piece)

    def _owe(self, peer: Peer, piece: int, blocks: int) -> None:
        peer.owed[piece] = peer.owed.get(piece, 0) | blocks
        peer.owed_count += blocks.bit_count()
        progress = self._pieces.in_flight[piece]
        if progress.asked & blocks:
            self._doubled[piece] = self._doubled.get(piece, 0) | progress.asked & blocks
        progress.asked |= blocks
        if not progress.unasked:
            self._open.pop(piece, None)

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
        if piece in self._open and not progress.unasked:
            del self._open[piece]
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
            if silent_for(peer, now) >= SECOND_CHANCE:
                self.pardon(peer, now)
        elif peer.owed_count and silent_for(peer, now) >= SILENCE_BEFORE_SNUB:
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
        if progress.unasked:
            self._open[piece] = progress
        else:
            self._open.pop(piece, None)
        doubled = twice & ~progress.received
        if doubled:
            self._doubled[piece] = doubled
        else:
            self._doubled.pop(piece, None)

    def finish(self, piece: int) -> None:
        """The piece is not in flight any more: what is still owed of it is not wanted."""
        self._open.pop(piece, None)
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


def _first_blocks(blocks: int, count: int) -> int:
    """The lowest `count` members of a set."""
    if blocks.bit_count() <= count:
        return blocks
    run = all_bits(count) * (blocks & -blocks)
    if blocks & run == run:  # they stand side by side, as most do
        return run
    chosen = 0
    for _ in range(count):
        lowest = blocks & -blocks
        chosen |= lowest
        blocks ^= lowest
    return chosen
