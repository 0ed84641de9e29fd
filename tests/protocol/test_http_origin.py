"""Which server a URL names, and where a redirect leads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.protocol.http.origin import NamedUser, origin_of, redirect_target, split_user


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a.example/x", "HTTP://A.Example:80/y?z", True),
        ("https://a.example./", "https://me:pw@a.example:443/", True),
        ("http://a.example/", "https://a.example/", False),
        ("http://a.example/", "http://a.example:8080/", False),
        ("http://a.example/", "http://a.example.evil.example/", False),
        ("http://a.example/", "http://a.example@evil.example/", False),
        ("http://[::1]/", "http://[::1]:80/", True),
    ],
)
def test_two_urls_have_one_origin_only_if_scheme_host_and_port_agree(
    one: str, other: str, same: bool
) -> None:
    assert (origin_of(one) == origin_of(other)) is same


@pytest.mark.parametrize(
    "url", ["", "x", "file:///etc/passwd", "http://", "http:///x", "http://a:b/", "http://[::1/"]
)
def test_what_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(FormatError):
        origin_of(url)


@pytest.mark.parametrize(
    "url",
    ["http://me:sec#ret@h/", "http://me:sec/ret@h/", "http://me:sec?ret@h/", "http://me:sec@ret\u2100/"],
)
def test_a_password_that_breaks_a_url_is_not_shown(url: str) -> None:
    with pytest.raises(FormatError) as refused:
        origin_of(url)
    assert "sec" not in str(refused.value) and "ret@" not in str(refused.value)


def test_a_port_that_is_no_number_is_told_with_how_a_password_is_written() -> None:
    with pytest.raises(FormatError, match="'http://…' is not a URL: its port is no number") as refused:
        origin_of("http://me:sec#ret@h/")
    assert refused.value.hint == "in a password / ? and # are written %2F, %3F and %23"
    with pytest.raises(FormatError, match="'http://h:x/f' is not a URL: its port is no number") as plain:
        origin_of("http://h:x/f")
    assert plain.value.hint == ""


@pytest.mark.parametrize(
    ("url", "bare", "user"),
    [
        ("https://h.example/x#part", "https://h.example/x", None),
        ("https://me:p%40w@h.example:1/x?q=1", "https://h.example:1/x?q=1", NamedUser("me", "p@w")),
        ("ftp://me@h.example/x", "ftp://h.example/x", NamedUser("me", "")),
        ("https://h.example/a b/ü?k=ä", "https://h.example/a%20b/%C3%BC?k=%C3%A4", None),
        ("https://h.example/a%20b;c=%2F", "https://h.example/a%20b;c=%2F", None),
        ("https://Bücher.example:1/", "https://xn--bcher-kva.example:1/", None),
    ],
)
def test_a_user_is_taken_out_of_a_url_and_what_no_url_may_have_is_quoted(
    url: str, bare: str, user: NamedUser | None
) -> None:
    assert split_user(url) == (bare, user)
    assert split_user(bare) == (bare, None)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "https://h.example/b"),
        ("b?x=1", "https://h.example/dir/b?x=1"),
        ("//o.example/b", "https://o.example/b"),
        ("http://o.example:8/b#top", "http://o.example:8/b"),
        ("/a b\xfc", "https://h.example/a%20b%FC"),
        ("?again", "https://h.example/dir/file?again"),
    ],
)
def test_a_redirect_leads_where_browsers_go(location: str, target: str) -> None:
    assert redirect_target("https://h.example/dir/file", location) == target


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_any_location_gives_an_http_url_or_the_named_error(location: str) -> None:
    try:
        target = redirect_target("https://h.example/dir/file", location)
    except FormatError:
        return
    assert target.isascii() and origin_of(target).scheme in ("http", "https")
