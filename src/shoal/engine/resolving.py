"""Look up the addresses of a host without waiting for a name server longer than anybody wants.

A system's resolver cannot be interrupted, and the event loops look names up in threads that a program waits for at
its end: with a dead name server, ten seconds and more. Here each look-up has a thread that nobody waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

from shoal.net.addresses import is_wildcard

SocketAddress = tuple[Any, ...]  # as `socket.connect` takes it
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


async def resolve(host: str, port: int, bind: str | None) -> list[SocketAddress]:
    """One address of each family that the host has and that can be reached from `bind` (None: from anywhere).

    For datagrams. Empty when there is none, or no such host.
    """
    family = socket.AF_UNSPEC
    if bind is not None and not is_wildcard(bind):
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        return _look_up(host, port, family, socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):  # a name, not an address
        pass
    loop = asyncio.get_running_loop()
    known: asyncio.Future[list[SocketAddress]] = loop.create_future()

    def tell(addresses: list[SocketAddress]) -> None:
        if not known.done():
            known.set_result(addresses)

    def work() -> None:
        try:
            addresses = _look_up(host, port, family)
        except (OSError, UnicodeError):
            addresses = []
        with contextlib.suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(tell, addresses)

    threading.Thread(target=work, name="resolving", daemon=True).start()
    return await known


def _look_up(host: str, port: int, family: int, flags: int = 0) -> list[SocketAddress]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, flags=flags)
    first = {kind: address for kind, _, _, _, address in reversed(found)}
    return [first[kind] for kind in _FAMILIES if kind in first]
