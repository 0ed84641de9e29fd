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
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, PieceProgress, Pieces

FIRST_DEPTH = 16  # blocks; 256 KiB fill 100 Mbit/s at 20 ms, and the depth doubles with each refill
LEAST_DEPTH = 4  # fewer, and a slow link idles for a round trip between blocks
MOST_DEPTH = 512  # blocks; 8 MiB fill 1 Gbit/s at 60 ms, and more only grows the buffers
PIPELINE_SECONDS = (
    0.5  # worth of a peer's rate to keep asked for: long enough for a round trip, short to redirect
)
SILENCE_BEFORE_SNUB = 4.0  # seconds without a block from a peer that owes some
STEAL_ADVANTAGE = 2.0  # in the endgame a block moves to a peer that would have it in half the time


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
        self._doubled: dict[int, int] = {}  # piece -> blocks asked of two peers
        self.is_held = False  # the disk is behind: nothing more is asked for
        self.given_up: list[int] = []  # pieces whose buffers the shell may drop; it empties the list

    # Asking

    def refill(self, peer: Peer, now: float) -> None:
        """Bring what `peer` owes us up to its depth, once half of it has been answered."""
        if peer.is_snubbed or not peer.am_interested or peer.close_reason or self.is_held:
            return
        if peer.peer_choking and not peer.allowed_to_us:
            return
        if peer.owed_count * 2 > peer.depth:
            return
        self._adapt_depth(peer, now)
        room = min(peer.depth, peer.request_limit) - peer.owed_count
        if room <= 0:
            return
        runs = self._choose(peer, room)
        if runs:
            if not peer.owed_count:
                peer.asked_since = now
            for piece, blocks in runs:
                self._owe(peer, piece, blocks)
            peer.say(Requests(_requests_of(self._pieces.layout, runs)))

    def _adapt_depth(self, peer: Peer, now: float) -> None:
        elapsed = now - peer.refilled_at
        if not peer.depth:
            peer.depth = FIRST_DEPTH
        elif elapsed > 0 and peer.received_since_refill:
            useful = int(peer.received_since_refill / elapsed * PIPELINE_SECONDS)
            grown = min(useful, peer.depth * 2)
            peer.depth = min(max(grown, peer.depth * 3 // 4, LEAST_DEPTH), MOST_DEPTH)
        peer.refilled_at = now
        peer.received_since_refill = 0

    def _choose(self, peer: Peer, room: int) -> list[tuple[int, int]]:
        """Runs of (piece, blocks) for this peer: at most `room` blocks."""
        may_ask = peer.has if not peer.peer_choking else peer.has & peer.allowed_to_us
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
        return runs or self._steal_for(peer, may_ask, room)

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
        return [
            peer.key
            for peer in self._peers.values()
            if peer.has >> piece & 1
            and not peer.peer_choking
            and not peer.is_snubbed
            and not peer.close_reason
        ]

    def _give_up_one_abandoned(self) -> None:
        """Make room: the begun piece nearest to its beginning that nobody who answers owes us."""
        abandoned = [
            progress
            for progress in self._pieces.in_flight.values()
            if not progress.asked and not progress.is_whole
            and not any(p.has >> progress.piece & 1 and not p.peer_choking for p in self._peers.values())
        ]  # fmt: skip
        if abandoned:
            self.give_up(max(abandoned, key=lambda progress: progress.missing.bit_count()).piece)

    def give_up(self, piece: int) -> None:
        """Forget a piece in flight; what peers owe of it is forgotten too."""
        for peer in self._peers.values():
            blocks = peer.owed.pop(piece, 0)
            peer.owed_count -= blocks.bit_count()
            for block in iter_bits(blocks):
                peer.say(Cancel(*_request_of(self._pieces.layout, piece, block)))
        self._doubled.pop(piece, None)
        self._open.pop(piece, None)
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

    # Endgame

    def _steal_for(self, peer: Peer, may_ask: int, room: int) -> list[tuple[int, int]]:
        """Blocks that a slower peer owes us, the slowest debtor's first; none is asked of more than two peers."""
        mine = self._seconds_owed(peer, peer.owed_count + 1)
        slower = [
            (late, other)
            for other in self._peers.values()
            if other is not peer
            and other.owed
            and (late := self._seconds_owed(other, other.owed_count)) > mine * STEAL_ADVANTAGE
        ]
        slower.sort(key=lambda pair: -pair[0])
        runs: dict[int, int] = {}
        for _, other in slower:
            for piece, blocks in other.owed.items():
                progress = self._pieces.in_flight.get(piece)
                if progress is None or not may_ask >> piece & 1 or progress.exclusive_to is not None:
                    continue
                free = blocks & progress.missing & ~self._doubled.get(piece, 0) & ~peer.owed.get(piece, 0)
                chosen = _last_blocks(free & ~runs.get(piece, 0), room)
                if chosen:
                    runs[piece] = runs.get(piece, 0) | chosen
                    room -= chosen.bit_count()
                    if not room:
                        return list(runs.items())
        return list(runs.items())

    def _seconds_owed(self, peer: Peer, blocks: int) -> float:
        rate = peer.received.rate(max(peer.last_block_at, peer.refilled_at))
        return blocks * BLOCK_LENGTH / max(rate, 1.0)

    # Receiving

    def receive_block(self, peer: Peer, piece: int, begin: int, length: int) -> PieceProgress | None:
        """Mark one block; the piece's progress if its bytes are wanted, None if they came too late or unasked.

        Runs 65,536 times a GiB. `on_received` is told afterwards how many one wake-up brought.
        """
        block, misfit = divmod(begin, BLOCK_LENGTH)
        bit = 1 << block
        owed = peer.owed.get(piece, 0)
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
            self._cancel_elsewhere(peer, piece, block)
        return progress

    def on_received(self, peer: Peer, count: int, now: float) -> None:
        """So many blocks that `peer` owed us came just now."""
        peer.received.add(count * BLOCK_LENGTH, now)
        peer.last_block_at = now
        peer.received_since_refill += count
        if peer.is_snubbed:
            self._welcome_back(peer)

    def _cancel_elsewhere(self, sender: Peer, piece: int, block: int) -> None:
        bit = 1 << block
        self._doubled[piece] ^= bit
        if not self._doubled[piece]:
            del self._doubled[piece]
        for other in self._peers.values():
            if other is not sender and other.owed.get(piece, 0) & bit:
                self._forgive(other, piece, bit)
                other.say(Cancel(*_request_of(self._pieces.layout, piece, block)))

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

    def on_rejected(self, peer: Peer, request: Request) -> None:
        """BEP 6: it will not send this block."""
        piece, begin, _ = request
        bit = 1 << begin // BLOCK_LENGTH
        if peer.owed.get(piece, 0) & bit:
            self._forgive(peer, piece, bit)
            self._recount_asked(piece)

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

    def snub_silent(self, peer: Peer, now: float) -> None:
        """A peer that owes us blocks and sends none: others may be asked for them."""
        if peer.is_snubbed or not peer.owed_count:
            return
        if now - max(peer.last_block_at, peer.asked_since) < SILENCE_BEFORE_SNUB:
            return
        peer.is_snubbed = True
        peer.depth = LEAST_DEPTH
        for piece in list(peer.owed):
            self._recount_asked(piece)
        self.forget_exclusive(peer)

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
        """The piece is whole and its hash is right: what is still owed of it is not wanted."""
        self._doubled.pop(piece, None)
        for peer in self._peers.values():
            blocks = peer.owed.pop(piece, 0)
            if blocks:
                peer.owed_count -= blocks.bit_count()


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


def _last_blocks(blocks: int, count: int) -> int:
    """The highest `count` members of a set: a queue is served from its front, so help from its end."""
    while blocks.bit_count() > count:
        blocks &= blocks - 1
    return blocks
