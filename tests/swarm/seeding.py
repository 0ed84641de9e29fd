"""A seed of ours, and peers that do what a test says."""

from __future__ import annotations

import random

from shoal.formats.bitfield import all_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer import messages as m
from shoal.swarm.peer import Peer
from shoal.swarm.swarm import Swarm
from shoal.swarm.tactics import Tactics
from shoal.units import KIB

PIECE_COUNT = 40
LAYOUT = Layout(64 * KIB, [PIECE_COUNT * 64 * KIB])  # a stranger is offered one piece at a time
ALL = all_bits(PIECE_COUNT)
BLOCKS = 4  # of a piece


def make_seed(*, tactics: Tactics = Tactics(), seed: int = 1) -> Swarm:  # noqa: B008  frozen
    return Swarm(LAYOUT, now=0.0, rng=random.Random(seed), have=ALL, tactics=tactics)


def meet(swarm: Swarm, number: int, *, has: int = 0, has_fast: bool = True, now: float = 0.0) -> Peer:
    """A peer that has joined and said what it has."""
    peer = Peer((f"10.1.{number}.1", 6881), now, has_fast=has_fast)
    swarm.join(peer)
    if has:
        swarm.on_message(peer, m.Bitfield(has, PIECE_COUNT), now)
    return peer


def serve(swarm: Swarm, peer: Peer, now: float = 0.0) -> None:
    """It wants something and has a slot."""
    swarm.on_message(peer, m.Interested(), now)
    if peer.am_choking:
        swarm.tick(now + 10.0)
    assert not peer.am_choking


def told(peer: Peer, kind: type[m.Have] | type[m.Suggest] = m.Have) -> list[int]:
    """The pieces it was told of since the last look."""
    outbox, peer.outbox = peer.outbox, []
    return [message.piece for message in outbox if isinstance(message, kind)]


def ask(swarm: Swarm, peer: Peer, piece: int, now: float) -> None:
    items = tuple((piece, block * BLOCK_LENGTH, BLOCK_LENGTH) for block in range(BLOCKS))
    swarm.on_message(peer, m.Requests(items), now)


def send_all(swarm: Swarm, peer: Peer, now: float) -> list[int]:
    """Answer everything it asked for; the pieces, in the order in which they were answered."""
    sent = []
    while peer.uploads:
        piece = swarm.next_upload(peer)[0]
        run = swarm.take_run(peer, piece, 0, LAYOUT.piece_length, LAYOUT.piece_length)
        peer.sent.add(len(run) * BLOCK_LENGTH, now)
        sent.append(piece)
    return sent


def two_hidden(swarm: Swarm) -> tuple[Peer, Peer, Peer]:
    """Somebody who was told of everything, and two who came later; all are served."""
    first, second, third = peers = tuple(meet(swarm, number) for number in range(3))
    for peer in peers:
        serve(swarm, peer)
        swarm.steering.offer(peer, 0.0)
    return first, second, third
