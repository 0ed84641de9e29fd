"""A helper's transfers on loopback, which its owner allows or does not; 127.0.0.2 plays a public host."""

from __future__ import annotations

import asyncio

import pytest

from shoal.errors import GuardError, NetworkError
from shoal.fetch.guard import Guard, parse_network
from shoal.fetch.judging import Answer
from shoal.fetch.options import FetchOptions, asked_url
from shoal.fetch.transfer import Flow, Transfers
from shoal.net.address_classes import AddressClass, Classified, classify
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect

from .proxies import proxy

PUBLIC = "127.0.0.2"
CANARY = "canary-0815"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)


def classify_here(address: str) -> Classified:
    found = classify(address)
    return Classified(found.ip, AddressClass.PUBLIC) if address == PUBLIC else found


class Body:
    def __init__(self) -> None:
        self.data = b""

    def on_response(self, response: Answer, go_on: object) -> bool:
        return True

    def on_data(self, data: bytes) -> Flow:
        self.data += data
        return Flow.MORE


def fetched(url: str, guard: Guard, options: FetchOptions = FetchOptions()) -> bytes:  # noqa: B008 (frozen)
    async def story() -> bytes:
        body, source = Body(), asked_url(url)
        async with Transfers(options, source, guard) as transfers:
            await transfers.get(source, body, None)
        return body.data

    return asyncio.run(story())


def test_what_is_private_is_not_connected_to_unless_the_owner_allows_it() -> None:
    with HostileOrigin() as origin:
        origin.pages["/a"] = Page(b"there")
        for url in (origin.url("/a"), origin.url("/a").replace("127.0.0.1", "localhost")):
            with pytest.raises(GuardError, match="leads to this machine itself") as caught:
                fetched(url, Guard())
            assert "--allow-private" in caught.value.hint
        assert not origin.asked
        assert fetched(origin.url("/a"), Guard(allow_private=(parse_network("127.0.0.0/8"),))) == b"there"


def test_a_public_host_is_followed_to_public_places_alone() -> None:
    with HostileOrigin(PUBLIC) as outer, HostileOrigin() as inner:
        outer.pages["/a"] = redirect("/b")
        outer.pages["/b"] = Page(b"there")
        outer.pages["/in"] = redirect(inner.url("/secret"))
        guard = Guard(classify=classify_here)
        assert fetched(outer.url("/a"), guard) == b"there"
        with pytest.raises(GuardError):
            fetched(outer.url("/in"), guard)
        assert not inner.asked


def test_the_sixth_redirect_is_not_followed() -> None:
    with HostileOrigin(PUBLIC) as origin:
        for number in range(6):
            origin.pages[f"/{number}"] = redirect(f"/{number + 1}")
        origin.pages["/6"] = Page(b"far")
        guard = Guard(classify=classify_here)
        assert fetched(origin.url("/1"), guard) == b"far"
        with pytest.raises(GuardError, match="more than 5 redirects"):
            fetched(origin.url("/0"), guard)


def test_a_refusal_shows_nothing_secret_and_no_address_behind_a_name() -> None:
    with HostileOrigin() as origin, pytest.raises(GuardError) as caught:
        fetched(origin.url(f"/{CANARY}?token={CANARY}").replace("127.0.0.1", "localhost"), Guard())
    assert CANARY not in f"{caught.value} {caught.value.hint}"
    assert "127.0.0.1" not in caught.value.message


@pytest.mark.parametrize("is_environments", [False, True])
def test_behind_a_proxy_named_hosts_are_served_and_no_others(
    is_environments: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HostileOrigin() as origin, proxy(to=(origin.host, origin.port)) as through:
        origin.pages["/a"] = Page(b"there")
        options = FetchOptions(proxy=None if is_environments else f"http://{through.address}")
        if is_environments:
            monkeypatch.setenv("http_proxy", f"http://{through.address}")
        assert fetched("http://files.example/a", Guard(allow_hosts=("*.example",)), options) == b"there"
        for url, guard in (
            ("http://files.example/a", Guard()),
            ("http://other.test/a", Guard(allow_hosts=("*.example",))),
            ("http://wiki.internal/a", Guard(allow_hosts=("*",))),
            ("http://10.0.0.1/a", Guard(allow_hosts=("*",))),
        ):
            with pytest.raises(GuardError):
                fetched(url, guard, options)
        assert len(origin.asked) == 1


def test_a_host_that_is_allowed_and_not_there_is_an_error_of_the_network() -> None:
    with HostileOrigin() as origin:
        closed = origin.url("/")
    with pytest.raises(NetworkError, match="cannot connect"):
        fetched(closed, Guard(allow_private=(parse_network("127.0.0.1"),)))
