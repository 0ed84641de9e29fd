from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.foreign_text import (
    MAX_URL_LENGTH,
    MAX_URLS,
    TRACKER_SCHEMES,
    WEB_SEED_SCHEMES,
    clean_text,
    clean_url,
    clean_urls,
)


@given(st.binary(max_size=80))
def test_no_control_character_reaches_a_terminal(raw: bytes) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in clean_text(raw))


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"), exclude_characters="\xa0"), max_size=30))
def test_ordinary_text_stays(text: str) -> None:
    if text.isprintable():
        assert clean_text(text.encode()) == text


@given(st.binary(max_size=80))
def test_a_clean_url_stays_clean(raw: bytes) -> None:
    url = clean_url(b"http://" + raw, TRACKER_SCHEMES)
    if url is not None:
        assert url.isascii()
        assert not any(c.isspace() for c in url)
        assert clean_url(url.encode(), TRACKER_SCHEMES) == url


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        (b"\t udp://test.com:80 ", "udp://test.com:80"),
        (b"HTTP://a/b?c=%20d#e", "HTTP://a/b?c=%20d#e"),
        ("http://a/ü b".encode(), "http://a/%C3%BC%20b"),
        (b"http://[::1]:6969/announce", "http://[::1]:6969/announce"),
        (b"tracker.publicbt.com:80/announce", None),
        (b"file:///etc/passwd", None),
        (b"http://", None),
        (b"http:///a", None),
        (b"http://a\x00b/", None),
        (b"http://a/\xff", None),
        (b"http://a/" + b"b" * MAX_URL_LENGTH, None),
    ],
)
def test_what_is_a_tracker(raw: bytes, url: str | None) -> None:
    assert clean_url(raw, TRACKER_SCHEMES) == url


def test_a_web_seed_is_no_udp_tracker() -> None:
    assert clean_url(b"udp://a:1", WEB_SEED_SCHEMES) is None
    assert clean_url(b"ftp://a/b", WEB_SEED_SCHEMES) == "ftp://a/b"


def test_urls_are_kept_once_in_order_and_not_without_end() -> None:
    assert clean_urls([b"http://b", 7, b" http://b", b"http://a", []], TRACKER_SCHEMES) == [
        "http://b",
        "http://a",
    ]
    many = [b"http://%d" % number for number in range(10 * MAX_URLS)]
    assert len(clean_urls(many, TRACKER_SCHEMES)) == MAX_URLS
