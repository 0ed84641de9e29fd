"""How far away an address may be used from, beside what the standard library knows of networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.tracker.scopes import Scope, scope_of

PRIVATE = [
    ip_network(network)
    for network in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10",
    )
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("8.8.8.8", Scope.PUBLIC),
        ("2001:4860:4860::8888", Scope.PUBLIC),
        ("127.0.0.1", Scope.LOOPBACK),
        ("127.255.255.255", Scope.LOOPBACK),
        ("128.0.0.0", Scope.PUBLIC),
        ("::1", Scope.LOOPBACK),
        ("::2", Scope.PUBLIC),
        ("172.15.255.255", Scope.PUBLIC),
        ("172.16.0.0", Scope.PRIVATE),
        ("172.31.255.255", Scope.PRIVATE),
        ("172.32.0.0", Scope.PUBLIC),
        ("100.63.255.255", Scope.PUBLIC),
        ("100.127.255.255", Scope.PRIVATE),
        ("100.128.0.0", Scope.PUBLIC),
        ("fbff::1", Scope.PUBLIC),
        ("fc00::1", Scope.PRIVATE),
        ("fdff::1", Scope.PRIVATE),
        ("fe7f::1", Scope.PUBLIC),
        ("fe80::1", Scope.PRIVATE),
        ("febf::1", Scope.PRIVATE),
        ("fec0::1", Scope.PUBLIC),
    ],
)
def test_an_address_has_its_scope(text: str, scope: Scope) -> None:
    assert scope_of(ip_address(text).packed) is scope


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_it_is_private_exactly_where_a_private_network_has_it(address: IPv4Address | IPv6Address) -> None:
    if not address.is_loopback:
        is_private = any(address in network for network in PRIVATE if network.version == address.version)
        assert scope_of(address.packed) is (Scope.PRIVATE if is_private else Scope.PUBLIC)
