"""How far away an address may be used from: by everybody, in its own network, on its own machine.

A tracker that is in a private network and reachable from outside has peers of both kinds. Those outside are not
told of the inner ones, which they could not dial; inner ones are told of both, the near ones first.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from ipaddress import ip_network


class Scope(enum.IntEnum):
    """From the widest to the nearest: a visitor may be told of peers of its own scope and of wider ones."""

    PUBLIC = 0
    PRIVATE = 1  # RFC 1918, RFC 4193, RFC 6598 and link-local
    LOOPBACK = 2


_LOOPBACK_V6 = bytes(15) + b"\x01"
_NEAR_V4 = {
    Scope.LOOPBACK: ("127.0.0.0/8",),
    Scope.PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
}
_NEAR_V6 = {Scope.PRIVATE: ("fc00::/7", "fe80::/10")}


def _by_prefix(near: Mapping[Scope, tuple[str, ...]]) -> dict[bytes, Scope]:
    """The first two bytes of every near address -> its scope: none of the networks is smaller than that."""
    prefixes = {}
    for scope, networks in near.items():
        for network in map(ip_network, networks):
            first = int.from_bytes(network.network_address.packed[:2], "big")
            for number in range(first, first + (1 << (16 - network.prefixlen))):
                prefixes[number.to_bytes(2, "big")] = scope
    return prefixes


_scope_v4 = _by_prefix(_NEAR_V4).get
_scope_v6 = _by_prefix(_NEAR_V6).get
PUBLIC = Scope.PUBLIC


def scope_of(host: bytes) -> Scope:
    """The scope of a packed address, 4 or 16 bytes."""
    if len(host) == 4:
        return _scope_v4(host[:2], PUBLIC)
    if host == _LOOPBACK_V6:
        return Scope.LOOPBACK
    return _scope_v6(host[:2], PUBLIC)
