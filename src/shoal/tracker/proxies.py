"""Proxies in front of the tracker: whose word about an address is believed.

Only a proxy whose own address is in a trusted network is listened to, and only as far as the chain of trust goes: an
address to the left of one that is not trusted was written by a stranger.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from shoal.errors import UsageError
from shoal.net.addresses import pack_host

MAX_PROXIES = 16  # in one chain

Network = IPv4Network | IPv6Network


def parse_network(text: str) -> Network:
    """`"10.0.0.0/8"`, `"::1"` -> a network. Raises `UsageError`."""
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise UsageError(f"'{text}' is not a network", hint="write it like 10.0.0.0/8 or ::1") from None


def forwarded_host(host: bytes, forwarded_for: bytes, trusted: Sequence[Network]) -> bytes | None:
    """Who asks, by `X-Forwarded-For`: the last address of the chain that no trusted proxy has.

    `host` is the socket's address, packed; None if the proxy's word holds no address.
    """
    chain = forwarded_for.decode("latin-1").split(",")[-MAX_PROXIES:]
    while chain and is_trusted(host, trusted):
        try:
            # Read strictly: the system takes "1" for an address.
            text = str(ip_address(_without_port(chain.pop().strip())))
        except ValueError:
            return None
        host = pack_host(text)
    return host


def is_trusted(host: bytes, trusted: Sequence[Network]) -> bool:
    address = ip_address(host)
    return any(address in network for network in trusted)


def _without_port(text: str) -> str:
    """`"[::1]:80"` -> `"::1"`, `"192.0.2.1:80"` -> `"192.0.2.1"`; some proxies add the port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
