"""What an address is, however it is written; and what a URL's host spells."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.net.address_classes import AddressClass, carried_addresses, classify, numeric_host

KINDS = {
    AddressClass.PUBLIC: "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 "
    "192.167.255.255 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2a00:1450::1 2001:4860:4860::8888",
    AddressClass.LOOPBACK: "127.0.0.1 127.255.255.254 ::1",
    AddressClass.PRIVATE: "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 fc00::1 fdff::1 fec0::1",
    AddressClass.SHARED: "100.64.0.1 100.127.255.255",
    AddressClass.LINK_LOCAL: "169.254.0.1 169.254.255.255 fe80::1 fe80::1%eth0 febf::1",
    AddressClass.METADATA: "169.254.169.254 169.254.170.2 168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 "
    "fd20:ce::254 fd00:42::42",
    AddressClass.UNSPECIFIED: "0.0.0.0 0.1.2.3 ::",
    AddressClass.MULTICAST: "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
    AddressClass.BROADCAST: "255.255.255.255",
    AddressClass.DOCUMENTATION: "192.0.2.1 198.51.100.7 203.0.113.9 2001:db8::1 3fff::1",
    AddressClass.BENCHMARKING: "198.18.0.1 198.19.255.255 2001:2::1",
    AddressClass.RESERVED: "192.0.0.1 192.88.99.1 240.0.0.1 255.255.255.254 100::1 4000::1 5f00::1 2001:20::1 e000::1",
}

CARRIERS = {  # of 10.1.2.3, and the name of the way
    "::ffff:10.1.2.3": "a mapped address",
    "::ffff:0:10.1.2.3": "a translated address",
    "::10.1.2.3": "a compatible address",
    "64:ff9b::10.1.2.3": "NAT64",
    "64:ff9b:1::10.1.2.3": "NAT64",
    "2002:a01:203::1": "6to4",
    "2001:0:808:808::f5fe:fdfc": "Teredo",
    "2001:0:a01:203::f7f7:f7f7": "Teredo",  # its server is the private one
    "2a00:1450::5efe:10.1.2.3": "ISATAP",
    "2a00:1450::200:5efe:10.1.2.3": "ISATAP",
}


@pytest.mark.parametrize(("address", "kind"), [(a, kind) for kind, row in KINDS.items() for a in row.split()])
def test_an_address_is_of_its_kind(address: str, kind: AddressClass) -> None:
    found = classify(address)
    assert (found.kind, found.through) == (kind, "")


@pytest.mark.parametrize(("address", "through"), CARRIERS.items())
def test_an_address_that_carries_another_is_what_that_is_and_says_so(address: str, through: str) -> None:
    found = classify(address)
    assert (found.kind, found.through) == (AddressClass.PRIVATE, through)
    assert ipaddress.IPv4Address("10.1.2.3") in carried_addresses(found.ip)


def test_an_address_of_a_local_nat64_is_public_only_in_both_ways_to_read_it() -> None:
    assert not classify("64:ff9b:1:a01:2:300:808:808").is_public  # 10.1.2.3, as RFC 6052 has it below 48 bits
    assert not classify("64:ff9b:1:808:8:800:a01:203").is_public  # or at the end, as most networks have it
    assert classify("64:ff9b:1:808:8:800:808:808").is_public


@pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"])
def test_one_that_carries_a_public_address_is_public_and_says_how(address: str) -> None:
    found = classify(address)
    assert found.is_public and found.through


@pytest.mark.parametrize("text", ["", "10.0.0", "example.org", "1.2.3.4.5", "::g", "10.0.0.1/8"])
def test_what_is_no_address_has_no_kind(text: str) -> None:
    with pytest.raises(ValueError):
        classify(text)


@given(st.integers(0, 2**32 - 1))
def test_what_python_does_not_hold_for_global_is_not_public(value: int) -> None:
    address = ipaddress.IPv4Address(value)
    found = classify(str(address))
    assert not found.is_public or address.is_global
    mapped = classify(f"::ffff:{address}")
    assert (mapped.kind, mapped.through) == (found.kind, "a mapped address")


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_has_a_kind_and_none_outside_of_2000_is_public_by_itself(
    address: ipaddress.IPv6Address,
) -> None:
    found = classify(str(address))
    assert not found.is_public or found.through or address in ipaddress.ip_network("2000::/3")


@given(st.ip_addresses(v=4), st.data())
def test_a_host_that_the_system_takes_for_an_address_is_read_as_that_address(
    address: ipaddress.IPv4Address, data: st.DataObject
) -> None:
    octets = list(address.packed)
    count = data.draw(st.integers(1, 4))
    numbers = [*octets[: count - 1], int.from_bytes(address.packed[count - 1 :], "big")]
    spelled = ".".join(
        data.draw(st.sampled_from([f"{n}", f"0x{n:x}", f"0X{n:X}", f"0{n:o}"])) for n in numbers
    )
    assert socket.inet_aton(spelled) == address.packed
    assert numeric_host(spelled) == str(address)


@pytest.mark.parametrize(
    "name",
    [
        "example.org",
        "127.0.0.1.example",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.256",
        "09.1.1.1",
        "0xg",
        "a",
        "1..2",
        "",
    ],
)
def test_a_name_spells_no_address(name: str) -> None:
    assert numeric_host(name) is None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("[::1]", "::1"),
        ("::ffff:7f00:1", "::ffff:7f00:1"),
        ("fe80::1%25eth0", "fe80::1"),
        ("127.0.0.1.", "127.0.0.1"),
    ],
)
def test_brackets_zones_and_a_last_dot_do_not_count(host: str, address: str) -> None:
    assert numeric_host(host) == str(ipaddress.ip_address(address))
