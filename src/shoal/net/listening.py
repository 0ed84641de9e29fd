"""Listening sockets: on one address, or on all of them in both families, on one port.

`bind` is an address of this machine, or None (also `0.0.0.0` and `::`) for all of them, IPv4 and IPv6.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import sys

from shoal.errors import NetworkError, UsageError
from shoal.net.addresses import is_wildcard, url_host

DEFAULT_PORT = 6881  # where BitTorrent clients have always listened
PORTS_TO_TRY = 100  # machines with that many clients choose their ports themselves
BACKLOG = 1024  # a crowd that starts at once is let in, not refused
PORT_ATTEMPTS = 20  # for a port that is free in both families at once


class PortBusyError(NetworkError):
    """Somebody listens on that port already."""


def listen(bind: str | None, port: int | None) -> list[socket.socket]:
    """Listening TCP sockets on one port: one for `bind`, or one each for IPv4 and IPv6.

    `port` None takes 6881 or the next free one, 0 any free one; a busy one that was asked for is an error.
    """
    if port is not None:
        return listening_sockets(bind, port)
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TO_TRY):
        with contextlib.suppress(PortBusyError):
            return listening_sockets(bind, candidate)
    last = DEFAULT_PORT + PORTS_TO_TRY - 1
    raise NetworkError(f"no free port from {DEFAULT_PORT} to {last}", hint="--port 0 takes any free one")


def listening_sockets(bind: str | None, port: int) -> list[socket.socket]:
    """Listen on one port: one socket for an address, or one for each family for a wildcard.

    Port 0 takes any that is free in both families. Raises `NetworkError` (busy port, no such address) and
    `UsageError` (not an address).
    """
    if not is_wildcard(bind):
        assert bind is not None
        return [_listen(_family_of(bind), bind, port)]
    attempts = PORT_ATTEMPTS if port == 0 else 1
    for attempt in range(1, attempts + 1):
        first = _listen(socket.AF_INET, "0.0.0.0", port)
        if not _has_ipv6():
            return [first]
        try:
            return [first, _listen(socket.AF_INET6, "::", first.getsockname()[1])]
        except NetworkError:
            first.close()
            if attempt == attempts:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _family_of(bind: str) -> int:
    try:
        version = ipaddress.ip_address(bind.partition("%")[0]).version
    except ValueError:
        raise UsageError(
            f"'{bind}' is not an address", hint="--bind takes an IPv4 or IPv6 address of this machine"
        ) from None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def _listen(family: int, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refusal(host, port, error) from None
    listener.setblocking(False)
    return listener


def _refusal(host: str, port: int, error: OSError) -> NetworkError:
    where = f"{url_host(host)}:{port}"
    if error.errno == errno.EADDRINUSE:
        return PortBusyError(
            f"port {port} is in use: cannot listen on {where}",
            hint="choose another with --port, or any free one with --port 0",
        )
    reason = (error.strerror or str(error)).lower()
    hint = "--bind takes an address of this machine" if error.errno == errno.EADDRNOTAVAIL else ""
    return NetworkError(f"cannot listen on {where}: {reason}", hint=hint)
