"""What may be said to whom: canaries that no other host ever sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.errors import NotFoundError, ShoalError, UsageError
from shoal.fetch.judging import Answer
from shoal.fetch.options import FetchOptions, Secrets, asked_url, parse_header
from shoal.fetch.transfer import Flow, Transfers
from shoal.protocol.http.origin import NamedUser
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect

from .proxies import proxy

CANARY = "canary-0815"
HOME, OTHER = "https://home.example/a", "https://other.example/b"


class Nowhere:
    """A sink for what nobody looks at."""

    def on_response(self, response: Answer, go_on: Callable[[], None]) -> bool:
        return True

    def on_data(self, data: bytes) -> Flow:
        return Flow.MORE


def fetch(url: str, options: FetchOptions, *mirrors: str) -> None:
    async def story() -> None:
        source = asked_url(url)
        async with Transfers(options, source) as transfers:
            for each in (source, *map(asked_url, mirrors)):
                await transfers.get(each, Nowhere(), 0)

    asyncio.run(story())


@pytest.mark.parametrize(
    "options",
    [
        FetchOptions(headers=(("Authorization", f"Bearer {CANARY}"),)),
        FetchOptions(headers=(("X-Api-Key", CANARY),)),
        FetchOptions(headers=(("Cookie", f"session={CANARY}"),)),
        FetchOptions(user="me", password=CANARY),
    ],
    ids=["authorization", "x-api-key", "cookie", "password"],
)
def test_what_was_given_for_a_host_reaches_it_and_no_other(options: FetchOptions) -> None:
    with HostileOrigin() as home, HostileOrigin("127.0.0.2") as other, HostileOrigin() as other_port:
        home.pages["/a"] = redirect(other.url("/b"))
        other.pages["/b"] = redirect(other_port.url("/c"))
        other_port.pages["/c"] = redirect(home.url("/d"))
        home.pages["/d"] = Page(b"there")
        other.pages["/mirror"] = Page(b"there, too")
        fetch(home.url("/a"), options, other.url("/mirror"))
        secret = [home.asked[0].raw, home.asked[1].raw]
        assert all(raw.count(b"\r\n") == home.asked[0].raw.count(b"\r\n") for raw in secret)
        for asked in (*other.asked, *other_port.asked):
            names = {name.lower() for name in asked.headers}
            assert names == {"host", "user-agent", "accept", "accept-encoding", "range"}
            assert CANARY.encode() not in asked.raw


def test_a_user_within_a_url_is_for_its_host_alone() -> None:
    with HostileOrigin() as home, HostileOrigin("127.0.0.2") as other:
        home.pages["/a"] = redirect(other.url("/b"))
        other.pages["/b"] = Page(b"there")
        fetch(home.url("/a").replace("//", f"//me:{CANARY}@"), FetchOptions())
        assert home.asked[0].headers["Authorization"].startswith("Basic ")
        assert "Authorization" not in other.asked[0].headers
        assert CANARY.encode() not in home.asked[0].raw


def test_cookies_of_a_file_and_of_a_server_go_where_they_belong(tmp_path: Path) -> None:
    jar = tmp_path / "cookies.txt"
    jar.write_text(f"127.0.0.1\tFALSE\t/\tFALSE\t0\tmine\t{CANARY}\n")
    with HostileOrigin() as home, HostileOrigin("127.0.0.2") as other:
        home.pages["/a"] = Page(status=302, headers=(("Location", "/b"), ("Set-Cookie", "seen=1; Path=/")))
        home.pages["/b"] = redirect(other.url("/c"))
        other.pages["/c"] = Page(b"there")
        fetch(home.url("/a"), FetchOptions(cookies=jar))
        assert home.asked[0].headers["Cookie"] == f"mine={CANARY}"
        assert set(home.asked[1].headers["Cookie"].split("; ")) == {f"mine={CANARY}", "seen=1"}
        assert "Cookie" not in other.asked[0].headers


def test_a_cookies_file_or_netrc_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no cookies file"):
        fetch("http://127.0.0.1:1/", FetchOptions(cookies=tmp_path / "none"))
    with pytest.raises(NotFoundError, match="no netrc file"):
        fetch("http://127.0.0.1:1/", FetchOptions(netrc=tmp_path / "none"))


def test_a_bad_netrc_is_said_with_its_line_and_without_its_words(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text(f"machine a login b password c\nnonsense {CANARY}\n")
    with pytest.raises(UsageError, match="netrc:2: not the format") as caught:
        fetch("http://127.0.0.1:1/", FetchOptions(netrc=path))
    assert CANARY not in str(caught.value)


def test_the_password_of_a_proxy_reaches_the_proxy_alone() -> None:
    with HostileOrigin() as origin, proxy() as through:
        origin.pages["/a"] = Page(b"there")
        fetch(origin.url("/a"), FetchOptions(proxy=f"http://me:{CANARY}@{through.address}"))
        assert b"Proxy-Authorization" in through.heard
        assert b"Proxy-Authorization" not in origin.asked[0].raw
    with pytest.raises(ShoalError) as caught:
        fetch(origin.url("/a"), FetchOptions(proxy=f"http://me:{CANARY}@127.0.0.1:1"))
    assert CANARY not in str(caught.value)


def test_no_secret_is_in_a_repr() -> None:
    options = FetchOptions(
        headers=(("X-Key", CANARY),), user=CANARY, password=CANARY, proxy=f"http://me:{CANARY}@proxy.example"
    )
    source = asked_url(f"https://me:{CANARY}@home.example/a")
    told = Secrets(options, source).told_to([source.url], source)
    assert CANARY not in repr((options, source, told))


# ---- netrc


@pytest.fixture
def netrc(tmp_path: Path) -> Path:
    path = tmp_path / "netrc"
    path.write_text(
        "machine home.example login h password 1\nmachine other.example login o password 2\n"
        "default login d password 3\n"
    )
    return path


@pytest.mark.parametrize(
    ("hops", "user"),
    [
        ([HOME], NamedUser("h", "1")),
        (["https://unnamed.example/"], NamedUser("d", "3")),
        ([HOME, OTHER], NamedUser("o", "2")),
        ([HOME, "https://unnamed.example/"], None),
        ([HOME, "http://other.example/"], None),
        (["http://home.example/", "http://other.example/"], NamedUser("o", "2")),
        (["http://home.example/", HOME], NamedUser("h", "1")),
    ],
)
def test_a_redirect_is_told_only_what_netrc_says_of_its_host_and_never_in_the_open(
    netrc: Path, hops: list[str], user: NamedUser | None
) -> None:
    source = asked_url(hops[0])
    assert Secrets(FetchOptions(netrc=netrc), source).told_to(hops, source).user == user


def test_a_mirror_that_a_stranger_named_does_not_get_the_default_of_netrc(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine named.example login n password p\ndefault login d password p\n")
    secrets = Secrets(FetchOptions(netrc=path), asked_url("https://home.example/f"))
    for url, user in [
        ("https://home.example/f", NamedUser("d", "p")),
        ("https://named.example/f", NamedUser("n", "p")),
        ("https://mirror.example/f", None),
    ]:
        assert secrets.told_to([url], asked_url(url)).user == user


def test_the_user_of_an_option_comes_before_netrc_but_after_that_of_the_url(netrc: Path) -> None:
    options = FetchOptions(netrc=netrc, user="u", password="p")
    plain, named = asked_url(HOME), asked_url("https://n:w@home.example/a")
    assert Secrets(options, plain).told_to([HOME], plain).user == NamedUser("u", "p")
    assert Secrets(options, named).told_to([HOME], named).user == NamedUser("n", "w")


# ---- headers


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("X-Key: value", ("X-Key", "value")),
        ("X-Key:value: more ", ("X-Key", "value: more")),
        ("X-Empty:", ("X-Empty", "")),
        ("X-Word: grün", ("X-Word", "grün")),
    ],
)
def test_a_header_is_a_name_and_a_value(text: str, pair: tuple[str, str]) -> None:
    assert parse_header(text) == pair


@pytest.mark.parametrize(
    "text",
    [
        "",
        "X-Key",
        ": x",
        "X Key: x",
        "X-Key: a\r\nX-Other: b",
        "X-Key: \0",
        "Range: bytes=0-",
        "accept-encoding: br",
    ],
)
def test_what_is_no_header_or_not_to_be_set_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_header(text.replace("x", CANARY))
    assert CANARY not in str(caught.value)
