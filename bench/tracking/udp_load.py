"""Announces over UDP, as fast as they are answered: a window of them is always on its way.

Every datagram is made beforehand; a batch costs two system calls and a shift of pointers. It never sleeps, so that
no answer costs the server the waking of somebody. What came is counted by the action in it: an error is no answer.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from bench.tracking.population import ANNOUNCE, ANNOUNCE_ACTION, Population, datagrams
from bench.tracking.rings import BATCH, SLOT, Inbox, Outbox

HOST = "127.0.0.1"
WINDOW = 256  # on their way; the buffer of a socket that nobody enlarged holds 277 of them
LOST_AFTER = 0.5  # seconds without an answer: then what is on its way is lost, and not just late
FILL_LIMIT = 120.0  # seconds
BUFFER_BYTES = 4 << 20
CONNECT = 0x41727101980.to_bytes(8, "big") + bytes(8)
CONNECT_TRIES, CONNECT_SECONDS = 5, 1.0
ACTION_AT = 3


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator saw in `seconds`."""

    seconds: float
    answered: int
    refused: int = 0  # answers that say why not
    lost: int = 0
    answer_bytes: int = 0
    busy: float = 0.0  # share of its core that the generator used; that of UDP never rests

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


class LoadError(Exception):
    """The server does not answer at all."""


@lru_cache(maxsize=1)  # 98 bytes a peer
def _table(population: Population) -> bytearray:
    return bytearray(b"".join(datagrams(population)))


def load_udp(port: int, population: Population, seconds: float) -> Load:
    """Announce for `seconds`, peer after peer, from the beginning again after the last."""
    return _announce(port, population, seconds, HOST)


def fill_udp(port: int, population: Population) -> Load:
    """Announce every peer once."""
    return _announce(port, population, None, HOST)


def fill_from(sources: Sequence[str], port: int, population: Population) -> list[Load]:
    """Announce every peer once, an equal part of them from each of some loopback addresses."""
    part = population.peers // len(sources)
    return [
        _announce(port, population, None, source, range(number * part, (number + 1) * part))
        for number, source in enumerate(sources)
    ]


def _announce(
    port: int, population: Population, seconds: float | None, source: str, part: range | None = None
) -> Load:
    """`part` of the table for `seconds`, or if that is None once."""
    table = _table(population)
    part = part or range(population.peers)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        sock.bind((source, 0))
        sock.connect((HOST, port))
        for at, byte in enumerate(connection_id(sock)):
            table[at :: ANNOUNCE.size] = bytes([byte]) * population.peers
        sock.setblocking(False)
        inbox, outbox = Inbox(sock), Outbox(sock, table, ANNOUNCE.size)
        wanted = len(part) if seconds is None else None
        return _run(inbox, outbox, part, wanted, FILL_LIMIT if seconds is None else seconds)


def _run(inbox: Inbox, outbox: Outbox, part: range, wanted: int | None, seconds: float) -> Load:
    """For `seconds`, or until all that is `wanted` was sent and answered, if that is sooner."""
    sent = under_way = answered = refused = lost = answer_bytes = 0
    began = now = heard = time.perf_counter()
    while now < began + seconds:
        while under_way <= WINDOW - BATCH and sent != wanted:
            first = sent % len(part)
            count = outbox.send(part[first], min(BATCH, len(part) - first))
            if not count:
                break
            sent += count
            under_way += count
        count = inbox.receive()
        now = time.perf_counter()
        if count:
            fine = inbox.payloads[ACTION_AT : count * SLOT : SLOT].count(ANNOUNCE_ACTION)
            answered += fine
            refused += count - fine
            answer_bytes += sum(inbox.lengths[:count])
            lost -= min(lost, max(0, count - under_way))  # it was late and not lost
            under_way = max(0, under_way - count)
            heard = now
        elif now > heard + LOST_AFTER:
            if sent == wanted and not under_way:
                break  # and what was lost does not come any more
            lost += under_way
            under_way = 0
            heard = now
        if sent == wanted and not under_way and not lost:
            break
    return Load(now - began, answered, refused, lost, answer_bytes)


def connection_id(sock: socket.socket) -> bytes:
    """Ask for one on a connected socket (BEP 15). Raises `LoadError`."""
    sock.settimeout(CONNECT_SECONDS)
    for _ in range(CONNECT_TRIES):
        try:
            sock.send(CONNECT)
            answer = sock.recv(SLOT)
        except OSError:
            continue
        if len(answer) == 16 and answer[ACTION_AT] == 0:
            return answer[8:]
    raise LoadError("no answer to a connect")
