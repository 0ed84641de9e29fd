"""Whose word about an address is believed."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import UsageError
from shoal.tracker.proxies import MAX_PROXIES, forwarded_host, is_trusted, parse_network

TRUSTED = tuple(map(parse_network, ("10.0.0.0/8", "::1", "2001:db8::/32")))


def packed(text: str) -> bytes:
    return ip_address(text).packed


@pytest.mark.parametrize(
    ("socket", "chain", "host"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "203.0.113.9, 192.0.2.7", "192.0.2.7"),  # what is left of a stranger was his to write
        ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7,10.0.0.2 ,\t2001:db8::9", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # all are trusted: the first of them asks
        ("10.0.0.1", "2001:db9::7", "2001:db9::7"),
        ("::1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7:5555", "192.0.2.7"),
        ("10.0.0.1", "[2001:db9::7]:5555", "2001:db9::7"),
        ("10.0.0.1", "[2001:db9::7]", "2001:db9::7"),
        ("10.0.0.1", "garbage, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # not a proxy of ours
        ("192.0.2.1", "garbage", "192.0.2.1"),
    ],
)
def test_the_asker_is_the_last_of_the_chain_that_is_no_proxy_of_ours(
    socket: str, chain: str, host: str
) -> None:
    assert forwarded_host(packed(socket), chain.encode(), TRUSTED) == packed(host)


@pytest.mark.parametrize(
    "chain", ["", "unknown", "_hidden", "1", "127.1", "0x7f.1", "192.0.2.7 x", "a, ", "[", "\xff"]
)
def test_a_trusted_proxy_that_names_no_address_is_an_error(chain: str) -> None:
    assert forwarded_host(packed("10.0.0.1"), chain.encode("latin-1"), TRUSTED) is None


def test_no_more_than_so_many_proxies_are_followed() -> None:
    chain = ", ".join(["192.0.2.7", *["10.0.0.2"] * (MAX_PROXIES - 1)])
    assert forwarded_host(packed("10.0.0.1"), chain.encode(), TRUSTED) == packed("192.0.2.7")
    chain = ", ".join(["192.0.2.7", *["10.0.0.2"] * MAX_PROXIES])
    assert forwarded_host(packed("10.0.0.1"), chain.encode(), TRUSTED) == packed("10.0.0.2")


@given(st.binary(max_size=200) | st.text("0123456789.:[], af", max_size=60).map(str.encode))
def test_any_bytes_give_a_packed_address_or_none(chain: bytes) -> None:
    host = forwarded_host(packed("10.0.0.1"), chain, TRUSTED)
    assert host is None or len(host) in (4, 16)


def test_a_network_is_read_with_or_without_its_length() -> None:
    assert is_trusted(packed("10.9.9.9"), [parse_network(" 10.1.2.3/8 ")])
    assert not is_trusted(packed("11.0.0.1"), [parse_network("10.0.0.0/8")])
    assert is_trusted(packed("192.0.2.1"), [parse_network("192.0.2.1")])
    assert not is_trusted(packed("::"), [parse_network("0.0.0.0/0")])


@pytest.mark.parametrize("text", ["", "proxy", "10.0.0.0/33", "10.0.0.0/8,::1"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a network"):
        parse_network(text)
