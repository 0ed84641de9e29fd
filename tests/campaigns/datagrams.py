"""Feed a UDP door with millions of datagrams that deserve nothing, and see that they get nothing.

    python -m tests.campaigns.datagrams --count 10000000 --seed 7

They come by way of a socket that is none, so that the door's own path is all that costs: random bytes, right heads
with wrong ids, announces with an id that another address was given, and with a valid id all that is cut off, too long
or garbled. Between them somebody honest asks. Always: who has shown no id gets an answer to a connect only, of no more
bytes than his question; the honest one is answered right; nobody else is listed; memory stays flat.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shoal.net.datagrams import BATCH, Datagram, DatagramSocket
from shoal.protocol.tracker.udp import ANNOUNCE_LENGTH, MAX_SCRAPE_HASHES, PROTOCOL_ID, Action
from shoal.tracker.connection_ids import ConnectionIds
from shoal.tracker.door_udp import UdpDoor
from shoal.tracker.soon import known
from shoal.tracker.store import StoreCounts
from shoal.tracker.tracker import Tracker
from shoal.units import MIB

HONEST_EVERY = 1000  # datagrams
HONEST, HONEST_PORT, HONEST_HASH = bytes([127, 0, 0, 1]), 6881, b"the honest one's hash"[:20]
CONNECT_TO_ANSWER = 16  # bytes, of the question as of the answer
MAX_GROWTH = 8 * MIB  # of the process between its first tenth and its end: what the allocator moves about
NOISE = 1 << 20  # bytes of randomness; what is random in a datagram is a part of it from anywhere


class InvariantError(AssertionError):
    """Somebody got what he should not, or did not get what he should."""


class Noise:
    """Makes datagrams of no use. `make_id(host)` gives an id that is valid for a host."""

    def __init__(self, seed: int, make_id: Callable[[bytes], bytes]) -> None:
        self._rng = random.Random(seed)
        self._noise = self._rng.randbytes(NOISE)
        self._make_id = make_id
        self._kinds = (
            self._anything,
            self._wrong_id,
            self._wrong_id,
            self._id_of_another,
            self._cut_announce,
            self._no_hashes,
            self._too_many_hashes,
            self._garbled_options,
            self._unknown_action,
        )

    def next(self) -> tuple[bytes, bytes]:
        """A payload, and the host that it comes from; never a connect."""
        number = int(self._rng.random() * len(self._kinds))
        host = self._bytes(4)
        return self._kinds[number](host), host

    def _bytes(self, count: int) -> bytes:
        at = int(self._rng.random() * (NOISE - count))
        return self._noise[at : at + count]

    def _anything(self, host: bytes) -> bytes:
        payload = self._bytes(int(self._rng.random() * 300))
        return payload[1:] if payload.startswith(PROTOCOL_ID) else payload

    def _wrong_id(self, host: bytes) -> bytes:
        action = 1 + int(self._rng.random() * 2)
        return self._bytes(8) + action.to_bytes(4, "big") + self._bytes(24 if action == 2 else 86)

    def _id_of_another(self, host: bytes) -> bytes:
        another = bytes([host[0] ^ 1]) + host[1:]
        return announce_datagram(self._make_id(another), self._bytes(20), 6881)

    def _cut_announce(self, host: bytes) -> bytes:
        whole = announce_datagram(self._make_id(host), self._bytes(20), 6881)
        return whole[: int(self._rng.random() * ANNOUNCE_LENGTH)]

    def _no_hashes(self, host: bytes) -> bytes:
        return self._make_id(host) + struct.pack("!I", Action.SCRAPE) + self._bytes(4)

    def _too_many_hashes(self, host: bytes) -> bytes:
        hashes = self._bytes(20) * (MAX_SCRAPE_HASHES + 1)
        return self._make_id(host) + struct.pack("!I", Action.SCRAPE) + self._bytes(4) + hashes

    def _garbled_options(self, host: bytes) -> bytes:
        """An option of an announce that is longer than the datagram."""
        return announce_datagram(self._make_id(host), self._bytes(20), 6881) + b"\2\xff" + self._bytes(9)

    def _unknown_action(self, host: bytes) -> bytes:
        action = 3 + int(self._rng.random() * 1000)
        return self._make_id(host) + action.to_bytes(4, "big") + self._bytes(4)


def connect_datagram(transaction_id: bytes) -> bytes:
    return PROTOCOL_ID + struct.pack("!I", Action.CONNECT) + transaction_id


def announce_datagram(
    connection_id: bytes,
    info_hash: bytes,
    port: int,
    *,
    transaction_id: bytes = b"tran",
    left: int = 1,
    numwant: int = 50,
) -> bytes:
    numbers = struct.pack("!QQQIIIIH", 0, left, 0, 2, 0, 0, numwant, port)
    return (
        connection_id + struct.pack("!I", Action.ANNOUNCE) + transaction_id + info_hash + b"p" * 20 + numbers
    )


class Feed(DatagramSocket):
    """Hands out noise where a socket would hand out what came, and checks all that is sent."""

    is_v6 = False

    def __init__(self, count: int, seed: int, ids: ConnectionIds) -> None:
        self._always_readable, self._other_end = socket.socketpair()
        self._other_end.send(b"\0")
        self._ids = ids
        self._noise = Noise(seed, lambda host: ids.make(host, 0.0))
        self._count = count
        self.given = 0
        self.connects = 0
        self.honest_asked = 0
        self.honest_answered = 0
        self.is_done = False

    def fileno(self) -> int:
        return self._always_readable.fileno()

    def receive(self) -> list[Datagram]:
        if self.given >= self._count:
            self.is_done = True
            return []
        return [self._next() for _ in range(BATCH)]

    def _next(self) -> Datagram:
        self.given += 1
        turn = self.given % HONEST_EVERY
        if turn == 0:
            self.honest_asked += 1
            payload = announce_datagram(self._ids.make(HONEST, 0.0), HONEST_HASH, HONEST_PORT)
            return Datagram(payload, HONEST, "honest")
        payload, host = self._noise.next()
        if turn == 1:
            self.connects += 1
            return Datagram(connect_datagram(payload[:4].ljust(4)), host, "connecting")
        return Datagram(payload, host, "noise")

    def send(self, replies: Sequence[tuple[bytes, Any]]) -> None:
        for payload, receiver in replies:
            if receiver == "noise":
                raise InvariantError(f"an answer to noise: {payload!r}")
            if receiver == "connecting":
                if len(payload) > CONNECT_TO_ANSWER:
                    raise InvariantError(f"a connect of {CONNECT_TO_ANSWER} bytes got {len(payload)}")
            elif payload[:8] != struct.pack("!I", Action.ANNOUNCE) + b"tran" or len(payload) != 20:
                raise InvariantError(f"the honest one was told {payload!r}")
            else:
                self.honest_answered += 1

    def close(self) -> None:
        self._always_readable.close()
        self._other_end.close()


async def feed(count: int, seed: int) -> str:
    """A line about how it went. Raises `InvariantError`."""
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    ids = ConnectionIds(random.Random(seed).randbytes(32))
    tracker, source = Tracker(clock=lambda: 0.0), Feed(count, seed, ids)
    door = UdpDoor(tracker, source, ids, tracker.clock)
    started_at = time.monotonic()
    try:
        while source.given < count // 10 and not failures:  # noqa: ASYNC110 - waiting would need an event a batch
            await asyncio.sleep(0)  # the door reads in between
        resident_early = resident_bytes()
        while not source.is_done and not failures:  # noqa: ASYNC110
            await asyncio.sleep(0)
    finally:
        door.close()
    if failures:
        raise InvariantError(f"the loop heard of {failures[0]}") from failures[0].get("exception")
    seconds, growth = time.monotonic() - started_at, resident_bytes() - resident_early
    expect("connects", door.counters.connects, source.connects)
    expect("answers", door.counters.answered, source.connects + source.honest_answered)
    expect("answers to the honest one", source.honest_answered, source.honest_asked)
    expect("dropped", door.counters.dropped, source.given - source.connects - source.honest_asked)
    expect("announces let in", tracker.counters.announces, source.honest_asked)
    expect("peers", await known(tracker.store.count(0.0)), StoreCounts(1, 0, 1))
    if growth > MAX_GROWTH:
        raise InvariantError(f"memory grew by {growth / MIB:.1f} MiB")
    return (
        f"seed {seed}: {source.given} datagrams in {seconds:.1f} s, {door.counters.dropped} dropped, "
        f"{source.honest_answered} honest ones answered, {growth / MIB:+.1f} MiB"
    )


def expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise InvariantError(f"{what}: {found}, not {expected}")


def resident_bytes(pid: int | str = "self") -> int:
    """What a process of this machine has in memory (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        print(asyncio.run(feed(arguments.count, arguments.seed)))
    except InvariantError as error:
        print(f"seed {arguments.seed}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
