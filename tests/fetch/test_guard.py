"""The rules of a helper's guard, by URL and by address; no connection is made here."""

from __future__ import annotations

import ipaddress

import pytest

from shoal.errors import UsageError
from shoal.fetch.guard import Guard, parse_network


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a",
        "https://example.org:8443/",
        "http://example.org:80",
        "http://8.8.8.8/",
        "https://[2606:4700::1]/",
    ],
)
def test_public_hosts_on_the_ports_of_web_servers_are_served(url: str) -> None:
    assert Guard().refusal(url, hop=0) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/a", "over http or https"),
        ("file:///etc/passwd", "not a plain host name"),
        ("gopher://example.org/", "over http or https"),
        ("http://example.org:22/", "port 22"),
        ("http://example.org:0/", "port 0"),
        ("http://example.org:1023/", "port 1023"),
        ("http://example.org:99999/", "no such port"),
        ("http://me:pw@example.org/", "wants a user"),
        ("http://exam%70le.org/", "plain host"),
        ("http://public.example\\@10.0.0.1/", "plain host"),
        ("http://a@b@10.0.0.1/", "plain host"),
        ("http://bücher.example/", "plain host"),
        ("http://①⑦.example/", "plain host"),
        ("http://10.0.0.1/", "a private address"),
        ("http://2130706433/", "this machine itself"),
        ("http://[fe80::1%25eth0]/", "a link-local address"),
        ("http://[::ffff:10.0.0.1]/", "a private address through a mapped address"),
        ("http://[64:ff9b::8.8.8.8]/", "a public address through NAT64"),
        ("http://169.254.169.254/", "metadata"),
    ],
)
def test_what_is_no_url_for_a_helper_is_refused_by_its_looks(url: str, reason: str) -> None:
    assert reason in (Guard().refusal(url, hop=0) or "")


def test_five_redirects_are_followed_and_no_sixth() -> None:
    assert Guard().refusal("http://example.org/", hop=5) is None
    assert "more than 5 redirects" in (Guard().refusal("http://example.org/", hop=6) or "")


def test_with_hosts_named_no_other_is_asked() -> None:
    guard = Guard(allow_hosts=("*.Example.org", "one.example"))
    for url in ("http://a.example.org/", "http://A.EXAMPLE.ORG./", "https://one.example/"):
        assert guard.refusal(url, hop=0) is None
    for url in (
        "http://example.org/",
        "http://two.example/",
        "http://a.example.org.evil.example/",
        "http://8.8.8.8/",
    ):
        assert "none of the hosts" in (guard.refusal(url, hop=1) or "")


def test_behind_a_proxy_only_named_hosts_are_served_and_no_inner_names_by_a_glob() -> None:
    def refusal(guard: Guard, url: str) -> str | None:
        return guard.refusal(url, hop=0, is_proxied=True)

    assert "behind a proxy" in (refusal(Guard(), "http://example.org/") or "")
    assert "behind a proxy" in (refusal(Guard(), "http://8.8.8.8/") or "")
    everything = Guard(allow_hosts=("*",))
    assert refusal(everything, "http://example.org/") is None
    assert refusal(everything, "http://8.8.8.8/") is None
    assert "private" in (refusal(everything, "http://10.0.0.1/") or "")
    for host in (
        "localhost",
        "printer",
        "wiki.internal",
        "metadata.google.internal.",
        "nas.local",
        "x.home.arpa",
    ):
        assert "inner network" in (refusal(everything, f"http://{host}/") or "")
    assert refusal(Guard(allow_hosts=("wiki.internal",)), "http://wiki.internal/") is None


def test_the_owner_may_allow_networks_and_gets_no_more_than_named() -> None:
    guard = Guard(
        allow_private=(parse_network("10.1.0.0/16"), parse_network("::1"), parse_network("127.0.0.0/8"))
    )
    for address in ("10.1.2.3", "::1", "127.0.0.1", "8.8.8.8"):
        assert guard.address_refusal(address, 8080) is None
    for address in ("10.2.0.1", "192.168.0.1", "::ffff:10.1.2.3", "2002:a01:203::1", "fd00::1"):
        assert guard.address_refusal(address, 8080) is not None
    assert "port 25" in (guard.address_refusal("10.1.2.3", 25) or "")


def test_an_address_that_carries_another_needs_both_allowed() -> None:
    nat64 = parse_network("64:ff9b::/96")
    assert Guard(allow_private=(nat64,)).address_refusal("64:ff9b::8.8.8.8", 80) is None
    assert Guard(allow_private=(nat64,)).address_refusal("64:ff9b::10.1.2.3", 80) is not None
    both = Guard(allow_private=(nat64, parse_network("10.0.0.0/8")))
    assert both.address_refusal("64:ff9b::10.1.2.3", 80) is None


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.7.7", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "224.0.0.1", "ff02::1",
     "255.255.255.255", "0.0.0.0", "::", "168.63.129.16"],
)  # fmt: skip
def test_metadata_and_their_like_are_refused_whatever_the_owner_allows(address: str) -> None:
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    assert Guard(allow_private=everything).address_refusal(address, 80) is not None


def test_a_network_is_read_or_refused() -> None:
    assert parse_network(" fd00::/8 ") == ipaddress.ip_network("fd00::/8")
    for text in ("10.0.0.1/8", "example.org", "", "10.0.0.0/33"):
        with pytest.raises(UsageError, match="is not a network"):
            parse_network(text)


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "fe80::/10", "224.0.0.0/4", "255.255.255.255", "fd00:ec2::254"]
)
def test_a_network_that_is_refused_whatever_is_allowed_cannot_be_allowed(text: str) -> None:
    with pytest.raises(UsageError, match="refused whatever is allowed"):
        parse_network(text)


@pytest.mark.parametrize(
    ("url", "guard", "way"),
    [
        ("http://127.0.0.1:8000/f", Guard(), "--allow-private 127.0.0.1"),
        ("http://[fd00::7]/f", Guard(), "--allow-private fd00::7"),
        ("http://0x7f.1/f", Guard(), "--allow-private 127.0.0.1"),
        ("http://10.0.0.7/f", Guard(allow_hosts=("*.example.org",)), "--allow-host 10.0.0.7"),
        ("http://169.254.169.254/f", Guard(), ""),
        ("http://example.org:25/f", Guard(), ""),
        ("http://10.0.0.7:25/f", Guard(allow_private=(parse_network("10.0.0.0/8"),)), ""),
    ],
)
def test_the_option_is_named_that_lets_in_what_was_refused(url: str, guard: Guard, way: str) -> None:
    assert guard.refusal(url, hop=0) is not None
    assert guard.way_to_allow(url) == way


def test_behind_a_proxy_the_way_is_to_name_the_host() -> None:
    assert Guard().way_to_allow("http://example.org/f", is_proxied=True) == "--allow-host example.org"
