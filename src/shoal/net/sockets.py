"""Open listening and outgoing sockets, bound as the person asked."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket

from shoal.errors import NetworkError, UsageError

Address = tuple[str, int]

DEFAULT_PORT = 6881  # where BitTorrent clients have always listened
PORTS_TO_TRY = 100  # machines with that many clients choose their ports themselves
BACKLOG = 256


def is_ipv6(host: str) -> bool:
    return ":" in host


def check_bind_address(host: str) -> str:
    """`host` as an address of its own family; `UsageError` if it is none."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        raise UsageError(f"'{host}' is not an IP address", hint="--bind takes one like 192.0.2.7 or ::1") from None


def listen(bind: str | None, port: int | None) -> list[socket.socket]:
    """Listening TCP sockets on one port: one for `bind`, or one each for IPv4 and IPv6.

    `port` None takes 6881 or the next free one, 0 any free one; a busy one that was asked for is an error.
    """
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TO_TRY) if port is None else (port,)
    for candidate in candidates:
        try:
            return _listen_on(bind, candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            if error.errno == errno.EADDRINUSE:
                message = f"port {candidate} is in use already"
                raise NetworkError(message, hint="choose another --port, or 0 for any free one") from None
            where = f"{bind or 'all interfaces'}, port {candidate}"
            raise NetworkError(f"cannot listen on {where}: {error.strerror or error}") from None
    raise NetworkError(f"no free port from {DEFAULT_PORT} to {DEFAULT_PORT + PORTS_TO_TRY - 1}", hint="use --port 0")


def _listen_on(bind: str | None, port: int) -> list[socket.socket]:
    if bind is not None:
        return [_listening_socket(bind, port)]
    opened: list[socket.socket] = []
    try:
        opened.append(_listening_socket("0.0.0.0", port))
        if socket.has_ipv6:
            try:
                opened.append(_listening_socket("::", opened[0].getsockname()[1]))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise
                # a machine without IPv6 is served over IPv4 alone
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return opened


def _listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


async def connect(address: Address, bind: str | None, timeout: float) -> socket.socket:
    """A connected non-blocking socket, or `NetworkError` saying why there is none."""
    host, port = address
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    if bind is not None and is_ipv6(bind) != is_ipv6(host):
        raise NetworkError(f"{host} cannot be reached from {bind}")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if bind is not None:
            sock.bind((bind, 0))
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(sock, address)
    except TimeoutError:
        sock.close()
        raise NetworkError(f"no answer within {timeout:.0f} s") from None
    except OSError as error:
        sock.close()
        raise NetworkError(error.strerror or str(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock


def format_address(address: Address) -> str:
    """`("::1", 6881)` -> `"[::1]:6881"`."""
    host, port = address
    return f"[{host}]:{port}" if is_ipv6(host) else f"{host}:{port}"


def peer_address(sock: socket.socket) -> Address:
    """The other end, with an IPv4-mapped IPv6 address unified to IPv4."""
    host, port = sock.getpeername()[:2]
    return unmapped(host), port


def unmapped(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped) if mapped else host
