"""What is a plain request, and that a plain request is answered as the parser's would be."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.tracker.plain_request import plain_request

USUAL = (
    b"GET /announce?info_hash=%12&port=1 HTTP/1.1\r\n"
    b"Host: 192.0.2.1:6969\r\nUser-Agent: client/1.0\r\nAccept-Encoding: gzip\r\n"
)


@pytest.mark.parametrize(
    ("ending", "keeps_alive"),
    [
        (b"\r\n", True),
        (b"Connection: close\r\n\r\n", False),
        (b"connection:Close\r\n\r\n", False),
        (b"Connection: keep-alive\r\n\r\n", True),
        (b"Connection: Keep-Alive\r\nAccept: */*\r\n\r\n", True),
    ],
)
def test_an_announce_of_a_usual_client_is_plain(ending: bytes, keeps_alive: bool) -> None:
    assert plain_request(USUAL + ending) == (b"/announce?info_hash=%12&port=1", keeps_alive)


def test_an_announce_with_a_passkey_is_plain_too() -> None:
    target = b"/0123456789abcdef/announce?info_hash=%12"
    assert plain_request(b"GET " + target + b" HTTP/1.1\r\n\r\n") == (target, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        USUAL,
        USUAL + b"\r\n" + USUAL + b"\r\n",
        USUAL + b"\r\nmore",
        USUAL + b"Content-Length: 3\r\n\r\n",
        USUAL + b"Transfer-Encoding: chunked\r\n\r\n",
        USUAL + b"X-Forwarded-For: 192.0.2.7\r\n\r\n",
        USUAL + b"Authorization: Bearer x\r\n\r\n",
        USUAL + b"Connection: upgrade\r\n\r\n",
        USUAL + b"Connection: close, x\r\n\r\n",
        USUAL + b"Accept: a\n\r\n",
        USUAL + b" folded\r\n\r\n",
        USUAL.replace(b"GET", b"HEAD") + b"\r\n",
        USUAL.replace(b"announce", b"metrics") + b"\r\n",
        USUAL.replace(b"/announce", b"/a/b/announce") + b"\r\n",
        USUAL.replace(b"1.1", b"1.0") + b"\r\n",
        USUAL.replace(b"/announce", b"http://h/announce") + b"\r\n",
        USUAL.replace(b"%12", b"a b") + b"\r\n",
        USUAL.replace(b"%12", b"\xff") + b"\r\n",
        USUAL + b"Connection: keep-alive\r\nConnection: close\r\n\r\n",
        USUAL + b"Accept: x\r\n" * 20 + b"\r\n",
    ],
)
def test_whatever_is_odd_is_left_to_the_parser(data: bytes) -> None:
    assert plain_request(data) is None


class Parsed:
    """What the parser makes of the same bytes."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.target = b""
        self.count = 0
        self.keeps_alive = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_message_complete(self) -> None:
        self.count += 1
        self.keeps_alive = self.parser.should_keep_alive()  # forgotten afterwards


lines = st.sampled_from(
    [
        b"Host: h\r\n",
        b"Accept: */*\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Content-Length: 2\r\n",
        b"\r\n",
        b"\n",
        b"GET / HTTP/1.1\r\n",
    ]
)


@given(target=st.binary(max_size=6), parts=st.lists(lines, max_size=5))
def test_what_is_plain_is_one_request_with_that_target_to_the_parser_too(
    target: bytes, parts: list[bytes]
) -> None:
    data = b"GET /scrape?" + target + b" HTTP/1.1\r\n" + b"".join(parts) + b"\r\n"
    plain = plain_request(data)
    if plain is None:
        return
    parsed = Parsed()
    parsed.parser.feed_data(data)
    assert (parsed.target, parsed.count, parsed.keeps_alive) == (plain[0], 1, plain[1])
