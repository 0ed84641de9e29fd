"""Who gets a place at a door."""

from __future__ import annotations

import pytest

from shoal.net.addresses import pack_host
from shoal.tracker.places import MOST_A_HOST, Places
from shoal.tracker.proxies import parse_network

A, B = pack_host("192.0.2.1"), pack_host("192.0.2.2")


def test_there_are_no_more_than_there_are() -> None:
    places = Places(2)
    assert [places.take(host) for host in (A, B, B)] == [True, True, False]
    places.leave(A)
    assert [places.take(host) for host in (B, A)] == [True, False]


def test_one_host_does_not_get_them_all() -> None:
    places = Places(MOST_A_HOST * 2)
    assert all(places.take(A) for _ in range(MOST_A_HOST))
    assert not places.take(A)
    assert places.take(B)
    places.leave(A)
    assert places.take(A)


@pytest.mark.parametrize(("other", "is_another"), [("2001:db8::2", False), ("2001:db8:0:1::1", True)])
def test_a_network_of_ipv6_is_one_host(other: str, is_another: bool) -> None:
    places = Places(MOST_A_HOST * 2)
    assert all(places.take(pack_host("2001:db8::1")) for _ in range(MOST_A_HOST))
    assert places.take(pack_host(other)) == is_another


def test_a_trusted_proxy_may_have_all() -> None:
    places = Places(MOST_A_HOST * 2, (parse_network("192.0.2.1"),))
    assert all(places.take(A) for _ in range(MOST_A_HOST * 2))
    assert not places.take(A)
