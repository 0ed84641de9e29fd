"""The end of a download: blocks that a slow peer owes us are asked of a quicker one too; whoever is first, wins.

Only as many move as pay: from the end of the debtor's queue, which it would serve last, up to the point where it would
be done no later than the taker. No block is asked of more than two peers. This module only chooses; the books are kept
by `requests.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, PieceProgress
from shoal.swarm.pipeline import is_held_back, round_trip, seconds_a_block, seconds_a_block_of_debtor

MOVE_ADVANTAGE = 3.0  # so many times as long a block must seem to take before it is asked of another
LOOK_INTERVAL = 0.25  # seconds between two looks at a peer for which nothing is left to be asked


@dataclass(slots=True)
class Debtor:
    peer: Peer
    seconds_a_block: float
    ends_in: float  # seconds until it is too late to tell it that its last block is not wanted any more


class Debtors:
    """All who owe us blocks and answer, the one that will be done last first."""

    def __init__(self, peers: Mapping[PeerKey, Peer]) -> None:
        self._peers = peers
        self._seen_at = float("-inf")
        self._seen: list[Debtor] = []

    def latest_first(self, now: float) -> list[Debtor]:
        """As they were when first asked for at this time: many peers are looked at together."""
        if self._seen_at != now:
            self._seen_at = now
            self._seen = [
                _debtor(peer, now)
                for peer in self._peers.values()
                # What our own limit delays comes no sooner from another.
                if peer.owed and not peer.is_snubbed and not is_held_back(peer, now)
            ]
            self._seen.sort(key=lambda debtor: -debtor.ends_in)
        return self._seen


def _debtor(peer: Peer, now: float) -> Debtor:
    seconds = seconds_a_block_of_debtor(peer, now)
    return Debtor(peer, seconds, seconds * peer.owed_count - round_trip(peer))


def choose_to_move(
    taker: Peer,
    may_ask: int,
    room: int,
    debtors: list[Debtor],
    in_flight: Mapping[int, PieceProgress],
    doubled: Mapping[int, int],
) -> list[tuple[int, int]]:
    """Runs of (piece, blocks), at most `room` blocks of `may_ask`. `doubled` is what two are asked for already."""
    seconds = MOVE_ADVANTAGE * seconds_a_block(taker)
    begins_in = seconds * taker.owed_count + MOVE_ADVANTAGE * round_trip(taker)
    runs: dict[int, int] = {}
    for debtor in debtors:
        slack = debtor.ends_in - begins_in
        if slack < seconds or not room:
            break  # from here on not one block would come sooner
        if slack < debtor.seconds_a_block + seconds or debtor.peer is taker:
            continue
        count = min(int(slack / (debtor.seconds_a_block + seconds)), room)
        for piece in reversed(debtor.peer.owed):
            progress = in_flight.get(piece)
            if progress is None or progress.exclusive_to is not None:
                continue
            taken = doubled.get(piece, 0) | taker.owed.get(piece, 0) | runs.get(piece, 0)
            chosen = _last_blocks(debtor.peer.owed[piece] & progress.missing & ~taken, count)
            if chosen and may_ask >> piece & 1:
                runs[piece] = runs.get(piece, 0) | chosen
                count -= chosen.bit_count()
                room -= chosen.bit_count()
            if not count:
                break
    return list(runs.items())


def _last_blocks(blocks: int, count: int) -> int:
    """The highest `count` members of a set."""
    while blocks.bit_count() > count:
        blocks &= blocks - 1
    return blocks
