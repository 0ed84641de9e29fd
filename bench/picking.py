"""What the decisions about pieces cost, by the number of pieces and of peers.

    python bench/picking.py

Microseconds each, best of some runs. A pick is one block that is asked for; a have, a join and a leave are what peers
say and do; a finish is a piece that was found right, told to all; idle is a look at a peer that has nothing for us to
ask (as in an endgame); a tick, which looks at everybody, happens twice a second. An offer shows a peer that was told of
nothing the next piece that we would like it to have; an answer is 16 KiB that go to a peer which has asked for 64
pieces. Nothing but the tick may grow with the peers, and all no more than the sets themselves with the pieces.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator

from shoal.formats.bitfield import all_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer import messages as m
from shoal.swarm import uploads
from shoal.swarm.peer import Peer
from shoal.swarm.swarm import Swarm

PIECE_COUNTS = (1_000, 10_000, 100_000)
PEER_COUNTS = (1, 50, 200)
BLOCKS = 16  # of a piece: 256 KiB
REPEATS = 3
OPERATIONS = ("pick", "have", "join", "leave", "finish", "idle", "tick", "offer", "answer")


def main() -> None:
    print(f"Python {sys.version.split()[0]}; microseconds a call, best of {REPEATS}\n")
    print(f"| pieces | peers | {' | '.join(OPERATIONS)} |")
    print("|---:|---:|" + "---:|" * len(OPERATIONS))
    for piece_count in PIECE_COUNTS:
        for peer_count in PEER_COUNTS:
            best = dict.fromkeys(OPERATIONS, float("inf"))
            for seed in range(REPEATS):
                for operation, seconds in measure(piece_count, peer_count, seed):
                    best[operation] = min(best[operation], seconds)
            cells = " | ".join(f"{best[operation] * 1e6:,.1f}" for operation in OPERATIONS)
            print(f"| {piece_count:,} | {peer_count} | {cells} |", flush=True)


def measure(piece_count: int, peer_count: int, seed: int) -> Iterator[tuple[str, float]]:
    """Each operation's seconds in a swarm that is half done, of peers that have nine pieces of ten."""
    rng = random.Random(seed)
    swarm = half_done_swarm(piece_count, rng)
    for number in range(peer_count):
        add_peer(swarm, number, random_pieces(piece_count, 0.9, rng))
    peers = list(swarm.peers.values())
    yield "pick", time_picks(swarm, peers[0])
    for peer in peers:
        peer.outbox.clear()
    newcomer = Peer(("192.0.2.1", 1), 0.0)
    swarm.join(newcomer)
    theirs = m.Bitfield(random_pieces(piece_count, 0.9, rng), piece_count)
    yield "join", timed(lambda: swarm.on_message(newcomer, theirs, 1.0))
    lacking = [piece for piece in rng.sample(range(piece_count), 100) if not newcomer.has >> piece & 1]
    yield (
        "have",
        timed(lambda: [swarm.on_message(newcomer, m.Have(piece), 1.0) for piece in lacking]) / len(lacking),
    )
    yield "leave", timed(lambda: swarm.leave(newcomer, 1.0))
    yield "finish", time_finish(swarm, peers)
    yield "tick", timed(lambda: swarm.tick(2.0))
    ask_for_the_rest(swarm, peers)
    idle = add_peer(swarm, peer_count + 1, swarm.pieces.all)
    idle.owed, idle.owed_count = {}, 0
    yield "idle", timed(lambda: swarm.desk.refill(idle, 3.0))
    yield from measure_uploads(piece_count, peer_count, rng)


def measure_uploads(piece_count: int, peer_count: int, rng: random.Random) -> Iterator[tuple[str, float]]:
    """The same of a seed, whose peers have a third of the pieces and one more asks for 64."""
    swarm = Swarm(layout_of(piece_count), now=0.0, rng=rng, have=all_bits(piece_count))
    for number in range(peer_count):
        add_peer(swarm, number, random_pieces(piece_count, 0.3, rng))
    hidden = Peer(("192.0.2.1", 1), 0.0)
    swarm.join(hidden)
    swarm.steering.hide(hidden)
    uploads.unchoke(hidden, 0.0)
    yield "offer", timed(lambda: swarm.steering.offer(hidden, 0.0))
    wanted = rng.sample(range(piece_count), 64)
    blocks = [(piece, block * BLOCK_LENGTH, BLOCK_LENGTH) for piece in wanted for block in range(BLOCKS)]
    swarm.on_message(hidden, m.Requests(tuple(blocks)), 0.0)
    yield "answer", timed(lambda: [answer_one(swarm, hidden) for _ in blocks]) / len(blocks)


def answer_one(swarm: Swarm, peer: Peer) -> None:
    piece, begin, length = swarm.next_upload(peer)
    swarm.take_run(peer, piece, begin, begin + length, length)


def half_done_swarm(piece_count: int, rng: random.Random) -> Swarm:
    have = random_pieces(piece_count, 0.5, rng)
    return Swarm(layout_of(piece_count), now=0.0, rng=rng, have=have)


def layout_of(piece_count: int) -> Layout:
    return Layout(BLOCKS * BLOCK_LENGTH, [piece_count * BLOCKS * BLOCK_LENGTH])


def random_pieces(piece_count: int, share: float, rng: random.Random) -> int:
    chosen = bytearray(-(-piece_count // 8))
    for piece in range(piece_count):
        if rng.random() < share:
            chosen[piece // 8] |= 1 << piece % 8
    return int.from_bytes(chosen, "little")


def add_peer(swarm: Swarm, number: int, bits: int) -> Peer:
    peer = Peer((f"10.0.{number // 250}.{number % 250}", 6881), 0.0, has_fast=True)
    swarm.join(peer)
    swarm.on_message(peer, m.Bitfield(bits, swarm.pieces.count), 0.0)
    swarm.on_message(peer, m.Unchoke(), 0.0)
    return peer


def time_picks(swarm: Swarm, peer: Peer, rounds: int = 20) -> float:
    """Seconds a block, while the peer answers at once and its pieces turn out right."""
    spent, picked = 0.0, 0
    for number in range(rounds):
        now = number / 10
        answer_everything(swarm, peer, now)
        began_at = time.perf_counter()
        swarm.desk.refill(peer, now)
        spent += time.perf_counter() - began_at
        picked += peer.owed_count
    return spent / picked


def answer_everything(swarm: Swarm, peer: Peer, now: float) -> None:
    layout = swarm.pieces.layout
    owed = peer.owed_count
    for piece, blocks in list(peer.owed.items()):
        for block in range(BLOCKS):
            if blocks >> block & 1:
                swarm.on_block(peer, piece, block * BLOCK_LENGTH, layout.block_size(piece, block))
        if swarm.pieces.in_flight[piece].is_whole:
            swarm.desk.finish(piece)
            swarm.pieces.complete(piece)
    if owed:
        swarm.on_blocks(peer, owed, now)


def time_finish(swarm: Swarm, peers: list[Peer]) -> float:
    for peer in peers:
        for piece in list(peer.owed):
            for block in range(BLOCKS):
                swarm.on_block(peer, piece, block * BLOCK_LENGTH, BLOCK_LENGTH)
            if swarm.pieces.in_flight[piece].is_whole:
                return timed(lambda piece=piece: swarm.on_checked(piece, True, (), 1.0))  # type: ignore[misc]
    raise AssertionError("no piece is owed by one peer alone")


def ask_for_the_rest(swarm: Swarm, peers: list[Peer]) -> None:
    """As if nothing were missing but what is in flight and asked for already."""
    swarm.pieces.have |= swarm.pieces.missing
    swarm.pieces.missing = 0
    for peer in peers:
        peer.depth, peer.request_limit = 10_000, 10_000
        swarm.desk.refill(peer, 3.0)


def timed(call: Callable[[], object]) -> float:
    began_at = time.perf_counter()
    call()
    return time.perf_counter() - began_at


if __name__ == "__main__":
    main()
