"""Choose which blocks to ask a peer for, of those that nobody was asked for.

The order of wishes, strongest first: the rest of what the peer is sending already and what it suggests, then blocks of
pieces that are begun (only whole pieces can be shared), then the rarest piece that it has.

Always true: `open` holds the begun pieces with blocks that nobody was asked for; the books behind it are `requests.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

from shoal.formats.bitfield import all_bits, iter_bits, without
from shoal.swarm.availability import Availability
from shoal.swarm.blame import Blame
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, PieceProgress, Pieces
from shoal.swarm.pipeline import askable, would_send
from shoal.swarm.tactics import Tactics


class Picker:
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
        give_up: Callable[[int], None],
    ) -> None:
        self._pieces = pieces
        self._availability = availability
        self._peers = peers
        self._blame = blame
        self._rng = rng
        self._most_in_flight = most_in_flight  # pieces; what the buffers hold
        self._tactics = tactics
        self._give_up = give_up
        self.open: dict[int, PieceProgress] = {}
        self._open_bits = 0  # the same as a set

    @property
    def has_work(self) -> bool:
        """There may be blocks that nobody was asked for; if not, peers are looked at now and then only."""
        pieces = self._pieces
        return bool(self.open) or (bool(pieces.missing) and len(pieces.in_flight) < self._most_in_flight)

    def note_asked(self, progress: PieceProgress) -> None:
        """What was asked of this piece, or received of it, has changed."""
        piece = progress.piece
        if bool(progress.unasked) == (piece in self.open):
            return
        if progress.unasked:
            self.open[piece] = progress
            self._open_bits |= 1 << piece
        else:
            self.close(piece)

    def close(self, piece: int) -> None:
        """Nothing more of it is to be asked for."""
        if self.open.pop(piece, None) is not None:
            self._open_bits ^= 1 << piece

    def is_at_end(self) -> bool:
        """Nothing can be begun any more, be it that the buffers are full. Before that, two askers only waste."""
        return not self._pieces.missing or len(self._pieces.in_flight) >= self._most_in_flight

    def pick(self, peer: Peer, room: int) -> list[tuple[int, int]]:
        """Runs of (piece, blocks) for this peer: at most `room` blocks. New pieces are begun for it."""
        may_ask = askable(peer) & (self._pieces.missing | self._open_bits)
        if not may_ask:
            return []
        first = may_ask & peer.suggested if self._tactics.heeds_suggestions else 0
        if first:
            first |= may_ask & self._begun_with(peer)  # what it is sending already must not wait for ever
        runs: list[tuple[int, int]] = []
        for wished in (first, without(may_ask, first)):
            if wished and room:
                room = self._add_runs(runs, peer, wished, room)
        return runs

    def _begun_with(self, peer: Peer) -> int:
        """The begun pieces of which this peer sent blocks."""
        return sum(1 << piece for piece, progress in self.open.items() if peer.key in progress.senders)

    def _add_runs(self, runs: list[tuple[int, int]], peer: Peer, wished: int, room: int) -> int:
        """Begun pieces, then new ones, until `room` blocks are chosen; the room that is left."""
        for progress in self._begun_for(peer, wished):
            blocks = _first_blocks(progress.unasked, room)
            runs.append((progress.piece, blocks))
            room -= blocks.bit_count()
            if not room:
                return 0
        for piece in self._new_for(peer, wished, room):
            progress = self._pieces.begin(piece, peer.key if self._blame.is_suspect(piece) else None)
            self.note_asked(progress)
            blocks = _first_blocks(progress.unasked, room)
            runs.append((piece, blocks))
            room -= blocks.bit_count()
            if not room:
                return 0
        return room

    def _begun_for(self, peer: Peer, wished: int) -> list[PieceProgress]:
        """Begun pieces with blocks nobody was asked for, nearest to their end first."""
        begun = [
            progress
            for piece, progress in self.open.items()
            if wished >> piece & 1 and progress.exclusive_to in (None, peer.key)
        ]
        begun.sort(
            key=lambda progress: (
                peer.key not in progress.senders,  # stay with what this peer is already sending
                progress.missing.bit_count(),  # only whole pieces can be shared
            )
        )
        return begun

    def _new_for(self, peer: Peer, wished: int, room: int) -> Iterable[int]:
        """Missing pieces to begin, rarest first, as many as the buffers and `room` blocks allow."""
        pieces = self._pieces
        candidates = pieces.missing & wished
        for piece in iter_bits(candidates & self._blame.suspect_pieces):
            if self._blame.choose_source(piece, self._able_to_send(piece)) != peer.key:
                candidates ^= 1 << piece
        if candidates and len(pieces.in_flight) >= self._most_in_flight:
            self._give_up_one_abandoned()
        while candidates and room > 0 and len(pieces.in_flight) < self._most_in_flight:
            preferred = candidates & peer.suggested if self._tactics.heeds_suggestions else 0
            rarest = self._availability.rarest(preferred or candidates, self._rng)
            if rarest is None:
                return
            room -= pieces.layout.block_count(rarest)
            candidates ^= 1 << rarest
            yield rarest

    def _able_to_send(self, piece: int) -> list[PeerKey]:
        return [peer.key for peer in self._peers.values() if would_send(peer, piece)]

    def _give_up_one_abandoned(self) -> None:
        """Make room: the begun piece nearest to its beginning that nobody who answers owes us."""
        abandoned = [
            progress
            for progress in self.open.values()
            if not progress.asked
            and not any(would_send(peer, progress.piece) for peer in self._peers.values())
        ]  # fmt: skip
        if abandoned:
            self._give_up(max(abandoned, key=lambda progress: progress.missing.bit_count()).piece)


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
