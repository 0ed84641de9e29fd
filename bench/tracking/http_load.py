"""Announces over HTTP, as fast as they are answered: many connections, one request under way on each.

Requests are made beforehand. An answer counts when all of it is there by its Content-Length; one that holds a failure
reason is a refusal. A connection that is kept is used until the server closes it, any other is asked once.

The generator never sleeps: it has a core of its own, and to wake it would be work for the server, at each answer.
"""

from __future__ import annotations

import re
import select
import socket
import time
from functools import lru_cache
from urllib.parse import quote_from_bytes

from bench.tracking.population import PEER_ID, WANTED, Population, info_hash
from bench.tracking.udp_load import HOST, Load, LoadError

CONNECTIONS = 64
MOST_VARIANTS = 100_000  # different announces; each costs some 300 bytes
STUCK_AFTER = 2.0  # seconds without any answer
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CLOSES = re.compile(rb"(?i)\r\nconnection: *close")


@lru_cache(maxsize=2)
def _requests(population: Population, keep_alive: bool) -> list[bytes]:
    lines = [f"Host: {HOST}", *([] if keep_alive else ["Connection: close"])]
    rest = "".join(f"\r\n{line}" for line in lines) + "\r\n\r\n"
    peer_id = quote_from_bytes(PEER_ID)
    return [
        (
            f"GET /announce?info_hash={quote_from_bytes(info_hash(peer % population.swarms))}&peer_id={peer_id}"
            f"&port={population.port(peer)}&uploaded=0&downloaded=0&left={population.left(peer)}"
            f"&numwant={WANTED}&compact=1 HTTP/1.1{rest}"
        ).encode()
        for peer in population.order()[:MOST_VARIANTS]
    ]


def load_kept(port: int, population: Population, seconds: float) -> Load:
    """Announce for `seconds`, peer after peer, on connections that are kept."""
    return _Generator((HOST, port), _requests(population, True), True).run(seconds)


def load_closed(port: int, population: Population, seconds: float) -> Load:
    """The same, each announce on a connection of its own. Both raise `LoadError`."""
    return _Generator((HOST, port), _requests(population, False), False).run(seconds)


class _Generator:
    def __init__(self, address: tuple[str, int], requests: list[bytes], keep_alive: bool) -> None:
        self._address = address
        self._requests = requests
        self._keep_alive = keep_alive
        self._asked = 0
        self._ready = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._begun: dict[int, bytes] = {}  # answers that have not come whole yet
        self._answered = self._refused = self._lost = self._answer_bytes = 0

    def run(self, seconds: float) -> Load:
        began = now = heard = time.perf_counter()
        used = time.process_time()
        try:
            for _ in range(CONNECTIONS):
                self._connect()
            while now < began + seconds:
                for descriptor, events in self._ready.poll(0):
                    if events == select.EPOLLOUT:
                        self._ready.modify(descriptor, select.EPOLLIN)
                        self._ask(self._open[descriptor])
                    else:
                        self._read(descriptor)
                        heard = now
                now = time.perf_counter()
                if now > heard + STUCK_AFTER:
                    break
        except ConnectionRefusedError as error:
            raise LoadError(f"{error} by port {self._address[1]}") from None
        finally:
            for connection in self._open.values():
                connection.close()
            self._ready.close()
        busy = (time.process_time() - used) / (now - began)
        return Load(now - began, self._answered, self._refused, self._lost, self._answer_bytes, busy)

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.connect_ex(self._address)
        self._open[connection.fileno()] = connection
        try:
            self._ask(connection)  # on loopback a connection mostly stands at once
            events = select.EPOLLIN
        except (BlockingIOError, BrokenPipeError):
            events = select.EPOLLOUT
        self._ready.register(connection.fileno(), events)

    def _ask(self, connection: socket.socket) -> None:
        connection.send(self._requests[self._asked % len(self._requests)])
        self._asked += 1

    def _read(self, descriptor: int) -> None:
        connection = self._open[descriptor]
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._lost += 1
            self._replace(descriptor)
            return
        if self._begun:
            data = self._begun.pop(descriptor, b"") + data
        end = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, end)
        if length is None or len(data) < end + int(length[1]):
            self._begun[descriptor] = data
            return
        if b"14:failure reason" in data or not data.startswith(b"200", 9):
            self._refused += 1
        else:
            self._answered += 1
        self._answer_bytes += len(data)
        if self._keep_alive and not _CLOSES.search(data, 0, end):
            self._ask(connection)
        else:
            self._replace(descriptor)

    def _replace(self, descriptor: int) -> None:
        self._begun.pop(descriptor, None)
        self._open.pop(descriptor).close()  # which takes it from the epoll too
        self._connect()
