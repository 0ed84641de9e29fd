"""Which addresses this machine has, and listening on them.

`bind` is an address of this machine, or None (also `0.0.0.0` and `::`) for all of them, IPv4 and IPv6.
Nothing here sends a packet.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
import sys

from shoal.errors import NetworkError, UsageError

BACKLOG = 1024  # a crowd that starts at once is let in, not refused
PORT_ATTEMPTS = 20  # for a port that is free in both families at once
# Addresses that a route is asked for: never reached, as connecting a datagram socket sends nothing.
_PROBES = {
    socket.AF_INET: ("192.0.2.1", "10.255.255.254", "172.31.255.254", "192.168.255.254"),
    socket.AF_INET6: ("2001:db8::1", "fd00::1"),
}
_DISCARD_PORT = 9
_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface


class PortBusyError(NetworkError):
    """Somebody listens on that port already."""


def is_wildcard(bind: str | None) -> bool:
    return bind is None or bind in ("", "0.0.0.0", "::")


def url_host(host: str) -> str:
    """An address as it stands in a URL: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def pack_host(host: str) -> bytes:
    """An address in text -> 4 or 16 bytes. A mapped IPv4 address is IPv4; a zone (`%eth0`) is dropped."""
    if ":" not in host:
        return socket.inet_aton(host)
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return address.ipv4_mapped.packed if address.ipv4_mapped else address.packed


def primary_address() -> str:
    """Where others in the local network most likely reach this machine; loopback if it has no network."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for probe in _PROBES[family]:
            address = _source_address(family, probe)
            if address is not None:
                return address
    return _first_interface_address() or "127.0.0.1"


def _source_address(family: int, target: str) -> str | None:
    """What the kernel would write as sender of a packet to `target`."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((target, _DISCARD_PORT))
        address = str(probe.getsockname()[0])
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            return address
    return None


def _first_interface_address() -> str | None:
    """Without any route outwards (an isolated network), the first interface with an IPv4 address (Linux)."""
    if sys.platform != "linux":
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                address = ipaddress.IPv4Address(answer[20:24])
                if not address.is_loopback:
                    return str(address)
    return None


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
