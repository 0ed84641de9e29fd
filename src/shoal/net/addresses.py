"""Addresses: which one others reach this machine at, and the forms in which addresses are written.

Nothing here sends a packet or waits.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys

# Addresses that a route is asked for: never reached, as connecting a datagram socket sends nothing.
_PROBES = {
    socket.AF_INET: ("192.0.2.1", "10.255.255.254", "172.31.255.254", "192.168.255.254"),
    socket.AF_INET6: ("2001:db8::1", "fd00::1"),
}
_DISCARD_PORT = 9
_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface


def is_wildcard(bind: str | None) -> bool:
    """Whether `bind` means all addresses of this machine."""
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
