"""What a datagram costs its server: a system call for each, or one for many; and what the rest of an answer costs.

    python bench/datagrams.py

Prints the table of docs/decisions/0006-datagrams.md. A client sends so many announces at once over loopback, the
server takes them and sends an answer to each; counted is the processor time of the server's part, in both halves of
the process. The last column is our own work for one announce: the door, the decision and the store, without a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from shoal.net.datagrams import BATCH, Datagram, DatagramSocket, open_datagram_socket
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.udp import encode_announce
from shoal.tracker.connection_ids import ConnectionIds
from shoal.tracker.door_udp import UdpDoor
from shoal.tracker.tracker import Tracker

BURSTS = (1, 4, 16, 64, 256)  # announces that have come when the server looks
ANNOUNCES_A_RUN = 4096
RUNS = 7  # of each way in turn; the median counts
QUESTION, ANSWER = bytes(98), bytes(320)  # an announce, and an answer with fifty peers
HOST = "127.0.0.1"


def main() -> None:
    print(
        f"Python {sys.version.split()[0]}; processor time, microseconds an announce, median of {RUNS} runs\n"
    )
    print("| announces at once | one by one | many a call | our own work |")
    print("|---:|---:|---:|---:|")
    for burst in BURSTS:
        ways: list[Callable[[], float]] = [
            lambda burst=burst: cost_of_sockets(DatagramSocket, burst),  # type: ignore[misc]
            lambda burst=burst: cost_of_sockets(open_datagram_socket, burst),  # type: ignore[misc]
            lambda burst=burst: asyncio.run(cost_of_door(burst)),  # type: ignore[misc]
        ]
        runs = [[way() for way in ways] for _ in range(RUNS)]
        medians = (statistics.median(costs) for costs in zip(*runs, strict=True))
        print(f"| {burst} | {' | '.join(f'{median:.1f}' for median in medians)} |")


def cost_of_sockets(open_: Callable[[socket.socket], DatagramSocket], burst: int) -> float:
    with contextlib.closing(open_(bound())) as server, bound() as client:
        client.setblocking(False)
        client.connect((HOST, server.port))
        spent = 0.0
        for _ in range(ANNOUNCES_A_RUN // burst):
            for _ in range(burst):
                client.send(QUESTION)
            began_at = time.process_time()
            answer_all(server)
            spent += time.process_time() - began_at
            with contextlib.suppress(BlockingIOError):
                while client.recv(len(ANSWER)):
                    pass
    return spent / (ANNOUNCES_A_RUN // burst * burst) * 1e6


def answer_all(server: DatagramSocket) -> None:
    while True:
        received = server.receive()
        server.send([(ANSWER, datagram.reply_to) for datagram in received])
        if len(received) < BATCH:
            return


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    return sock


class InMemory(DatagramSocket):
    """Hands out the same announces again and again, and drops the answers."""

    def __init__(self, sock: socket.socket, batches: Sequence[list[Datagram]]) -> None:
        super().__init__(sock)
        self._batches = batches
        self._left: list[list[Datagram]] = []

    def refill(self) -> None:
        self._left = list(self._batches)

    def receive(self) -> list[Datagram]:
        return self._left.pop() if self._left else []

    def send(self, replies: Sequence[tuple[bytes, Any]]) -> None:
        return


async def cost_of_door(burst: int) -> float:
    """Announces of as many peers as an answer tells of, in one swarm."""
    rng = random.Random(1)
    ids = ConnectionIds(os.urandom(32))
    info_hash = rng.randbytes(20)
    datagrams = []
    for number in range(burst):
        host = bytes([10, 0, 0, number % 50])
        request = AnnounceRequest(info_hash, rng.randbytes(20), 6881, left=1)
        datagrams.append(Datagram(encode_announce(ids.make(host, 0.0), b"tran", request), host, None))
    batches = [datagrams[first : first + BATCH] for first in range(0, burst, BATCH)]
    sock = InMemory(bound(), batches)
    door = UdpDoor(Tracker(rng=rng), sock, ids, lambda: 0.0)
    began_at = time.process_time()
    for _ in range(ANNOUNCES_A_RUN // burst):
        sock.refill()
        door._on_readable()
    spent = time.process_time() - began_at
    door.close()
    return spent / door.counters.answered * 1e6


if __name__ == "__main__":
    main()
