from __future__ import annotations

import pytest

from shoal.errors import FormatError
from shoal.protocol.tracker.urls import (
    UdpUrl,
    announce_url,
    is_http,
    is_udp,
    parse_udp_url,
    scrape_url,
    shown_url,
    url_scheme,
    with_query,
)


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("http://192.0.2.7:6969", "http://192.0.2.7:6969/announce"),
        ("http://192.0.2.7:6969/", "http://192.0.2.7:6969/announce"),
        ("  https://tracker.example/announce.php \n", "https://tracker.example/announce.php"),
        ("http://tracker.example/a?passkey=1", "http://tracker.example/a?passkey=1"),
        ("http://tracker.example?passkey=1", "http://tracker.example/announce?passkey=1"),
        ("http://[2001:db8::7]:6969", "http://[2001:db8::7]:6969/announce"),
        ("http://tracker.example/x/announce#top", "http://tracker.example/x/announce"),
    ],
)
def test_a_url_without_a_path_means_announce_and_all_else_is_kept(written: str, asked: str) -> None:
    assert announce_url(written) == asked


@pytest.mark.parametrize(
    ("announce", "scrape"),
    [
        ("http://example.com/announce", "http://example.com/scrape"),
        ("http://example.com/x/announce", "http://example.com/x/scrape"),
        ("http://example.com/announce.php", "http://example.com/scrape.php"),
        ("http://example.com/announce?x2%0644", "http://example.com/scrape?x2%0644"),
        ("http://example.com", "http://example.com/scrape"),
        ("http://example.com/a", None),
        ("http://example.com/announce/x", None),
        ("http://example.com/x%064announce", None),
    ],
)
def test_only_a_last_element_that_begins_with_announce_has_a_scrape_url(
    announce: str, scrape: str | None
) -> None:
    assert scrape_url(announce) == scrape


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("tracker.example/announce", "lacks a scheme or a host"),
        ("http:///announce", "lacks a scheme or a host"),
        ("http://tracker.example:port/", "port"),
        ("http://tracker.example:70000/", "its port is no number up to 65535"),
        ("http://[::1/announce", "is not a URL"),
        ("http://tracker.example/an nounce", "blank or control character at position 25"),
        ("http://tracker.example/\r\nHost: x", "blank or control character at position 23"),
        ("", "lacks a scheme or a host"),
    ],
)
def test_what_is_no_url_is_refused_with_its_reason(url: str, why: str) -> None:
    with pytest.raises(FormatError, match=why):
        announce_url(url)


def test_parameters_are_added_behind_those_that_are_there() -> None:
    assert with_query("http://x/a", "b=1") == "http://x/a?b=1"
    assert with_query("http://x/a?p=0", "b=1") == "http://x/a?p=0&b=1"


def test_schemes_are_told_apart() -> None:
    assert is_http("HTTPS://x") and is_http("http://x")
    assert not is_http("udp://x:1") and not is_http("x")
    assert url_scheme("UDP://x:1") == "udp"


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("udp://t.example:6969", UdpUrl("t.example", 6969, b"")),
        ("udp://t.example:6969/", UdpUrl("t.example", 6969, b"")),
        ("UDP://T.example:6969/announce#x", UdpUrl("t.example", 6969, b"")),
        ("udp://[2001:db8::1]:80/key/announce", UdpUrl("2001:db8::1", 80, b"/key/announce")),
        ("udp://t.example:1/announce?passkey=x", UdpUrl("t.example", 1, b"/announce?passkey=x")),
        ("udp://me:secret@t.example:1?x", UdpUrl("t.example", 1, b"?x")),
    ],
)
def test_a_udp_tracker_is_told_what_its_url_says_beyond_host_and_port(url: str, parsed: UdpUrl) -> None:
    assert is_udp(url) and parse_udp_url(url) == parsed


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("udp://t.example", "tracker URL 'udp://t.example' lacks a port"),
        ("udp://t.example:0/x", "lacks a port"),
        ("udp://t.example:70000", "its port is no number up to 65535"),
        ("udp://:80", "lacks a scheme or a host"),
        ("udp://t.example:1/" + "long-path/" * 200, "2001 bytes of path; at most 1024"),
    ],
)
def test_a_udp_url_without_a_place_to_ask_at_is_refused(url: str, words: str) -> None:
    with pytest.raises(FormatError) as refused:
        parse_udp_url(url)
    assert words in refused.value.message and len(refused.value.message) < 200


KEY = "0123456789abcdef0123456789ABCDEF"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://t.example:6969/announce", "http://t.example:6969/announce"),
        (f"https://me:{KEY}@t.example/announce", "https://t.example/announce"),
        (f"https://me:p@ss@t.example/{KEY}/announce", "https://t.example/…/announce"),
        (f"http://t.example/announce?passkey={KEY}&x=1", "http://t.example/announce?…"),
        (f"udp://{KEY}@[::1]:80/{KEY}", "udp://[::1]:80/…"),
        ("http://h/a-file-with-a-long-name-2024.torrent", "http://h/a-file-with-a-long-name-2024.torrent"),
        ("http://h/no-digits_in-this-key/announce", "http://h/…/announce"),
        ("http://h/no-digits_in-this-key/scrape.php?a", "http://h/…/scrape.php?…"),
        ("http://h.example-of-a-long-name/announce", "http://h.example-of-a-long-name/announce"),
        ("http://h/tracker/announce", "http://h/tracker/announce"),
        ("https://h/x#key", "https://h/x#…"),
        ("https://me:sec#ret@h/x", "https://…"),
        ("https://me:sec/ret@h/x", "https://…"),
        ("https://me:sec?ret@h/x", "https://…"),
        ("https://me:7:sec/ret@h/x", "https://…"),
        ("https://h:80/@scope/x", "https://h:80/@scope/x"),
        ("https://me:pw@[::1]:80/@scope/x", "https://[::1]:80/@scope/x"),
        ("", ""),
    ],
)
def test_what_may_be_secret_in_a_url_is_not_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{KEY}@/{KEY}?{KEY}",
        f"http://me:{KEY}@h:port/{KEY}",
        f"//me:{KEY}@h /{KEY}",
        f"http://me:{KEY}#x@h/",
    ],
)
def test_no_error_shows_what_may_be_secret(url: str) -> None:
    with pytest.raises(FormatError) as refused:
        announce_url(url)
    assert KEY not in str(refused.value)
