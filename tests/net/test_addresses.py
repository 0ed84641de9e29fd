from __future__ import annotations

import ipaddress
import socket

import pytest

from shoal.net import addresses
from shoal.net.addresses import is_wildcard, pack_host, primary_address, url_host


@pytest.mark.parametrize(
    ("host", "packed"),
    [
        ("192.0.2.7", "c0000207"),
        ("::1", "00000000000000000000000000000001"),
        ("::ffff:192.0.2.7", "c0000207"),
        ("fe80::1%eth0", "fe800000000000000000000000000001"),
    ],
)
def test_an_address_is_packed_as_its_own_family(host: str, packed: str) -> None:
    assert pack_host(host).hex() == packed


def test_ipv6_stands_in_brackets_in_a_url() -> None:
    assert url_host("2001:db8::7") == "[2001:db8::7]"
    assert url_host("192.0.2.7") == "192.0.2.7"


def test_wildcards_are_recognised() -> None:
    assert all(is_wildcard(bind) for bind in (None, "", "0.0.0.0", "::"))
    assert not any(is_wildcard(bind) for bind in ("127.0.0.1", "::1", "192.0.2.7"))


def test_the_primary_address_is_one_of_this_machine() -> None:
    address = primary_address()
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))  # refused for an address that is not ours


def test_a_machine_without_a_network_has_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_source_address", lambda family, target: None)
    monkeypatch.setattr(addresses, "_first_interface_address", lambda: None)
    assert primary_address() == "127.0.0.1"


def test_without_a_route_the_address_of_an_interface_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_source_address", lambda family, target: None)
    monkeypatch.setattr(addresses, "_first_interface_address", lambda: "192.0.2.7")
    assert primary_address() == "192.0.2.7"


def test_the_address_of_an_interface_is_one_of_this_machine() -> None:
    address = addresses._first_interface_address()
    if address is not None:
        assert not ipaddress.ip_address(address).is_loopback
        with socket.socket() as probe:
            probe.bind((address, 0))
