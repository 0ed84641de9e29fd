"""What a torrent names, over libcurl: a public host (127.0.0.2 plays it), a private one, and where they lead."""

from __future__ import annotations

import asyncio

import pytest

from shoal.errors import GuardError, NetworkError
from shoal.net.address_classes import AddressClass, Classified, classify
from shoal.net.environment_proxies import proxy_of_environment
from shoal.net.guarding import TorrentGuard, allowed_addresses, plain_host
from shoal.net.http import get
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect

from ..peers.processes import free_port

PUBLIC = "127.0.0.2"
PROXIES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


def classify_here(address: str) -> Classified:
    found = classify(address)
    return Classified(found.ip, AddressClass.PUBLIC) if address == PUBLIC else found


GUARD = TorrentGuard(classify=classify_here)


def fetched(url: str) -> bytes:
    return asyncio.run(get(url, guard=GUARD)).body


def test_what_a_torrent_names_may_be_private_and_lead_to_private_places() -> None:
    with HostileOrigin() as inner, HostileOrigin("127.0.0.3") as another:
        inner.pages["/a"] = redirect(another.url("/b"))
        another.pages["/b"] = Page(b"there")
        assert fetched(inner.url("/a")) == b"there"


def test_it_may_be_public_and_lead_to_public_places() -> None:
    with HostileOrigin(PUBLIC) as outer:
        outer.pages["/a"] = redirect("/b")
        outer.pages["/b"] = Page(b"there")
        assert fetched(outer.url("/a")) == b"there"


def test_a_public_host_leads_to_no_private_one_not_even_by_way_of_another_public_one() -> None:
    with HostileOrigin() as inner, HostileOrigin(PUBLIC) as outer, HostileOrigin(PUBLIC) as another:
        inner.pages["/secret"] = Page(b"secret")
        outer.pages["/a"] = redirect(another.url("/b"))
        another.pages["/b"] = redirect(inner.url("/secret").replace("127.0.0.1", "localhost"))
        with pytest.raises(GuardError, match=r"localhost:\d+ a public host leads to this machine itself"):
            fetched(outer.url("/a"))
        assert not inner.asked


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "169.254.1.1", "[fe80::1%25lo]", "[fd00:ec2::254]", "metadata"]
)
def test_link_local_addresses_and_metadata_are_not_even_tried(host: str) -> None:
    with pytest.raises(GuardError, match=r"leads to (a link-local address|a machine's own metadata)"):
        fetched(f"http://{host}/latest/meta-data/")


def test_a_refusal_names_the_host_and_nothing_secret() -> None:
    with pytest.raises(GuardError) as caught:
        fetched("http://me:canary@169.254.169.254/canary?passkey=canary")
    assert "canary" not in f"{caught.value} {caught.value.hint}"


def test_without_a_guard_everything_is_as_it_was() -> None:
    with HostileOrigin() as inner, HostileOrigin(PUBLIC) as outer:
        inner.pages["/b"] = Page(b"there")
        outer.pages["/a"] = redirect(inner.url("/b"))
        assert asyncio.run(get(outer.url("/a"))).body == b"there"


def test_a_datagram_goes_to_those_addresses_of_a_host_that_may_be() -> None:
    mixed = [("127.0.0.1", 6969), ("169.254.169.254", 6969), ("fe80::1", 6969, 0, 2)]
    assert allowed_addresses(GUARD, "tracker.example:6969", mixed) == mixed[:1]
    with pytest.raises(GuardError, match=r"tracker\.example:6969 leads to a machine's own metadata"):
        allowed_addresses(GUARD, "tracker.example:6969", mixed[1:])


def test_behind_a_proxy_what_the_url_says_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileOrigin("127.0.0.3") as proxy:
        monkeypatch.setenv("http_proxy", proxy.url("/"))
        proxy.pages["/there"] = Page(b"through the proxy")
        proxy.pages["/to"] = redirect("http://10.0.0.1/secret")
        assert fetched("http://tracker.example/there") == b"through the proxy"
        for url in (
            "http://169.254.169.254/there",
            "http://metadata.google.internal/there",
            "http://tracker.example/to",
        ):
            with pytest.raises(GuardError):
                fetched(url)
        assert [asked.path for asked in proxy.asked] == ["/there", "/to"]


def test_a_dead_private_host_is_an_error_of_the_network_and_no_refusal() -> None:
    with pytest.raises(NetworkError, match="cannot connect"):
        fetched(f"http://127.0.0.1:{free_port()}/")


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://a.example/", ""),
        ({"http_proxy": "p:1"}, "http://a.example/", "p:1"),
        ({"http_proxy": "p:1"}, "https://a.example/", ""),
        ({"HTTP_PROXY": "p:1"}, "http://a.example/", ""),
        ({"HTTPS_PROXY": "p:1"}, "https://a.example/", "p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "http://a.example/", "socks5://p:1"),
        ({"http_proxy": "p:1", "no_proxy": "b.example, .a.example"}, "http://x.A.example./", ""),
        ({"http_proxy": "p:1", "no_proxy": "a.example"}, "http://notata.example/", "p:1"),
        ({"http_proxy": "p:1", "no_proxy": "*"}, "http://a.example/", ""),
        ({"http_proxy": "p:1", "no_proxy": "10.0.0.0/8"}, "http://10.9.9.9/", ""),
        ({"http_proxy": "p:1"}, "http://127.9.9.9/", ""),
        ({"http_proxy": "p:1"}, "http://localhost/", ""),
        ({"http_proxy": "p:1"}, "http://[::1]/", ""),
        ({"http_proxy": "p:1"}, "http://10.9.9.9/", "p:1"),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str
) -> None:
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_of_environment(url) == proxy


@pytest.mark.parametrize(
    "url", ["http://", "http:///a", "a", "http://[::1/", "http://a b/", "http://a%2eb/", "http://a..b/"]
)
def test_a_host_that_could_be_read_in_two_ways_is_none(url: str) -> None:
    assert plain_host(url) is None
