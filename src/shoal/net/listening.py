"""Listening sockets: on one address, or on all of them in both families, on one port.

`bind` is an address of this machine, or None (also `0.0.0.0` and `::`) for all of them, IPv4 and IPv6.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence

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
    return open_port([] if bind is None else [bind], port, [socket.SOCK_STREAM])


def open_port(
    binds: Sequence[str], port: int, kinds: Sequence[int], *, shares_port: bool = False
) -> list[socket.socket]:
    """Sockets of all `kinds` (SOCK_STREAM ones listen) on every address of `binds` (none: all), on one port.

    They come kind by kind. Port 0 takes any that is free for all of them. With `shares_port` other processes
    may open it too, and the system divides what comes (Linux, BSD). Raises as `listening_sockets` does.
    """
    if not binds or any(map(is_wildcard, binds)):
        binds = [""]  # all of them; one named beside it would be in the way of itself
    addresses = [address for bind in dict.fromkeys(binds) for address in _addresses(bind)]
    attempts = PORT_ATTEMPTS if port == 0 else 1
    for attempt in range(1, attempts + 1):
        opened: list[socket.socket] = []
        try:
            for kind in kinds:
                for family, host in addresses:
                    wanted = opened[0].getsockname()[1] if opened else port
                    opened.append(_open(family, kind, host, wanted, shares_port))
        except NetworkError as error:
            for sock in opened:
                sock.close()
            if attempt == attempts or not isinstance(error, PortBusyError):
                raise
        else:
            return opened
    raise AssertionError("unreachable: the last attempt returns or raises")


def _addresses(bind: str) -> list[tuple[int, str]]:
    """Families and addresses to bind to; a wildcard means both families."""
    if not is_wildcard(bind):
        return [(socket.AF_INET6 if ":" in parse_bind(bind) else socket.AF_INET, bind)]
    v4 = (int(socket.AF_INET), "0.0.0.0")
    return [v4, (int(socket.AF_INET6), "::")] if _has_ipv6() else [v4]


def parse_bind(text: str) -> str:
    """An address that could be this machine's, as it was written. Raises `UsageError`."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise UsageError(
            f"'{text}' is not an address", hint="--bind takes an IPv4 or IPv6 address of this machine"
        ) from None
    return text


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def _open(family: int, kind: int, host: str, port: int, shares_port: bool) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        if sys.platform != "win32" and kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refusal(host, port, error) from None
    sock.setblocking(False)
    return sock


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
