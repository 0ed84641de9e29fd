"""Outgoing connections, bound as the person asked, and addresses as text."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket

from shoal.errors import NetworkError

Address = tuple[str, int]
Socket = socket.socket  # for those who pass one on and may do nothing with it


def is_ipv6(host: str) -> bool:
    return ":" in host


def words_of(error: OSError) -> str:
    """`"connection refused"`: the system's words, whatever the library that met it says."""
    if error.errno is None or error.errno <= 0:  # a name server's numbers are no system's
        return (error.strerror or str(error)).lower()
    return os.strerror(error.errno).lower()


async def connect(address: Address, bind: str | None, *, within: float) -> socket.socket:
    """A connected non-blocking socket, or `NetworkError` saying why there is none."""
    host = address[0]
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    if bind is not None and is_ipv6(bind) != is_ipv6(host):
        raise NetworkError(f"{host} cannot be reached from {bind}")
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # no descriptor is left
        raise NetworkError(error.strerror or str(error)) from None
    try:
        sock.setblocking(False)
        if bind is not None:
            sock.bind((bind, 0))
        async with asyncio.timeout(within):
            await asyncio.get_running_loop().sock_connect(sock, address)
    except TimeoutError:
        sock.close()
        raise NetworkError(f"no answer within {within:.0f} s") from None
    except OSError as error:
        sock.close()
        raise NetworkError(words_of(error)) from None
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
