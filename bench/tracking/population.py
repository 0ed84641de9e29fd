"""Who announces: so many peers in so many swarms, the same for every contender.

Peer k stands in swarm k % swarms, has a port of its own there, and stays what it is: one in `SEED_EVERY` is a seed.
Every one announces once before anything is measured, and from then on again and again, in random order.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

SEED_EVERY = 4
WANTED = 50  # peers asked for: what BEP 3's clients ask for
FIRST_PORT, PORTS = 1024, 64_499  # a prime number of ports, so that a step of any size visits all of them
PORT_STEP = 7919
PEER_ID = b"-XS0001-a-bench-peer"
ANNOUNCE = struct.Struct("!8sI4s20s20sQQQIIIIH")  # BEP 15
ANNOUNCE_ACTION = 1
COMPLETED, STARTED, STOPPED = 1, 2, 3  # events
PROBED_SWARMS = 20


@dataclass(frozen=True, slots=True)
class Population:
    """`peers` in `swarms`, evenly. At most `PORTS` in one swarm."""

    swarms: int
    peers: int

    def order(self) -> list[int]:
        """All peers, in the random order in which they announce."""
        numbers = list(range(self.peers))
        random.Random(self.peers).shuffle(numbers)
        return numbers

    def port(self, peer: int) -> int:
        return FIRST_PORT + (peer // self.swarms * PORT_STEP + peer % self.swarms) % PORTS

    def left(self, peer: int) -> int:
        return 0 if (peer // self.swarms + peer % self.swarms) % SEED_EVERY == 0 else 1 << 20

    def __str__(self) -> str:
        return f"{self.swarms:,} swarm{'s' * (self.swarms > 1)}, {self.peers:,} peers"


def info_hash(swarm: int) -> bytes:
    return hashlib.sha1(b"a swarm of the bench: %d" % swarm).digest()


def probed_hash(number: int) -> bytes:
    """Of a swarm of the prober's own."""
    return hashlib.sha1(b"a swarm of the prober: %d" % number).digest()


def announce(
    connection_id: bytes, transaction_id: bytes, info_hash: bytes, *, port: int, left: int, event: int = 0
) -> bytes:
    return ANNOUNCE.pack(
        connection_id, ANNOUNCE_ACTION, transaction_id, info_hash, PEER_ID, 0, left, 0, event, 0, 0, WANTED, port
    )  # fmt: skip


def datagrams(population: Population) -> Iterator[bytes]:
    """Every peer's announce, with a connection id of zeros, and the peer's number as its transaction id."""
    hashes = [info_hash(swarm) for swarm in range(population.swarms)]
    nobody = bytes(8)
    for peer in population.order():
        yield announce(
            nobody,
            peer.to_bytes(4, "big"),
            hashes[peer % population.swarms],
            port=population.port(peer),
            left=population.left(peer),
        )
