"""A tracker that runs: its doors on real sockets, and the house kept while they are open.

`serve` is an async context, so that a tracker can live inside another program.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from shoal.net.addresses import is_wildcard, primary_address, url_host
from shoal.net.datagrams import open_datagram_socket
from shoal.net.eager_server import EagerServer
from shoal.net.listening import open_port
from shoal.tracker.connection_ids import ConnectionIds
from shoal.tracker.door_http import HttpDoor
from shoal.tracker.door_udp import UdpDoor
from shoal.tracker.proxies import Network
from shoal.tracker.site import Site
from shoal.tracker.tracker import Tracker

DEFAULT_PORT = 6969
HOUSEKEEPING_SECONDS = 1.0  # how often dawdlers are closed and silent peers forgotten
SECRET_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Doors:
    """Where a tracker listens. No `binds`: all interfaces, IPv4 and IPv6."""

    binds: Sequence[str] = ()
    port: int = DEFAULT_PORT
    has_udp: bool = True
    trusted_proxies: tuple[Network, ...] = ()
    shares_port: bool = False  # with other processes of this machine, which the system hands their part
    secret: bytes = field(default_factory=lambda: os.urandom(SECRET_LENGTH), repr=False)  # of connection ids


@dataclass(frozen=True, slots=True)
class Serving:
    """An open tracker. `url` is the base, such as `http://192.0.2.7:6969`, where others most likely reach it."""

    url: str
    port: int
    http: HttpDoor
    udp: Sequence[UdpDoor]

    @property
    def announce_urls(self) -> list[str]:
        """What peers announce to, HTTP first."""
        schemes = ["http", "udp"] if self.udp else ["http"]
        return [f"{scheme}{self.url.removeprefix('http')}/announce" for scheme in schemes]


def open_sockets(doors: Doors) -> list[socket.socket]:
    """One for each address and kind, on one port. Raises `NetworkError` and `UsageError`."""
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM) if doors.has_udp else (socket.SOCK_STREAM,)
    return open_port(doors.binds, doors.port, kinds, shares_port=doors.shares_port)


@contextlib.asynccontextmanager
async def serve(
    tracker: Tracker,
    site: Site | None = None,
    doors: Doors | None = None,
    sockets: Sequence[socket.socket] = (),
) -> AsyncIterator[Serving]:
    """Listen while the context lasts, on `sockets` if they are open already (`open_sockets`).

    Raises `NetworkError` when the port is busy, `UsageError` when something to bind to is no address.
    """
    site, doors = site or Site(tracker), doors or Doors()
    loop = asyncio.get_running_loop()
    http = HttpDoor(
        site.answer, tracker.clock, body_limit=site.body_limit, trusted_proxies=doors.trusted_proxies
    )
    sockets = sockets or open_sockets(doors)
    port = sockets[0].getsockname()[1]
    async with contextlib.AsyncExitStack() as opened:
        for sock in sockets:
            opened.callback(sock.close)  # for those that no door has taken over yet
        opened.push_async_callback(tracker.store.close)
        ids = ConnectionIds(doors.secret)
        udp = [
            UdpDoor(tracker, open_datagram_socket(sock), ids, tracker.clock)
            for sock in sockets
            if sock.type == socket.SOCK_DGRAM
        ]
        for door in udp:
            opened.callback(door.close)
        opened.callback(http.close_all)
        for sock in sockets:
            if sock.type == socket.SOCK_STREAM:
                opened.callback(EagerServer(sock, http).close)

        def keep_house() -> None:
            http.close_overdue(tracker.clock())
            tracker.keep_house()

        opened.callback(Repeating(loop, HOUSEKEEPING_SECONDS, keep_house).cancel)
        yield Serving(f"http://{url_host(_outer_host(doors.binds))}:{port}", port, http, udp)


def _outer_host(binds: Sequence[str]) -> str:
    return primary_address() if not binds or is_wildcard(binds[0]) else binds[0]


class Repeating:
    """Calls something plain every so many seconds until it is cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], None]) -> None:
        self._loop, self._seconds, self._call = loop, seconds, call
        self._handle = loop.call_later(seconds, self._run)

    def _run(self) -> None:
        self._handle = self._loop.call_later(self._seconds, self._run)
        self._call()

    def cancel(self) -> None:
        self._handle.cancel()
