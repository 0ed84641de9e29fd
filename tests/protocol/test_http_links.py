from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.foreign_text import MAX_URLS
from shoal.formats.metalink import LOWEST_PRIORITY, Mirror
from shoal.protocol.http.links import Links, parse_links

BASE = "https://www.example.com/pub/example.ext"

RFC_6249 = """\
<http://www2.example.com/example.ext>; rel=duplicate; pri=1; pref, \
<ftp://ftp.example.com/example.ext>; rel=duplicate; pri=2; geo=gb; depth=1, \
<http://example.com/example.ext.torrent>; rel=describedby; type="application/x-bittorrent"; name="differentname.ext", \
<http://example.com/example.ext.meta4>; rel=describedby; type="application/metalink4+xml", \
<http://example.com/example.ext.asc>; rel=describedby; type="application/pgp-signature"\
"""


def test_the_links_of_the_rfc() -> None:
    assert parse_links(RFC_6249, BASE) == Links(
        mirrors=(
            Mirror("http://www2.example.com/example.ext", 1),
            Mirror("ftp://ftp.example.com/example.ext", 2, "gb"),
        ),
        metalinks=("http://example.com/example.ext.meta4",),
        torrents=("http://example.com/example.ext.torrent",),
    )


def test_mirrors_come_in_the_order_of_their_priority() -> None:
    text = "<http://c/>; rel=duplicate, <http://b/>; rel=duplicate; pri=9, <http://a/>; rel=duplicate; pri=3"
    assert [mirror.url for mirror in parse_links(text, BASE).mirrors] == [
        "http://a/",
        "http://b/",
        "http://c/",
    ]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("<http://a/x>; rel=duplicate", "http://a/x"),
        ('<http://a/x>;rel="duplicate"', "http://a/x"),
        ('<http://a/x>; rel="alternate Duplicate"', "http://a/x"),
        ("<http://a/x,y;z>; rel=duplicate", "http://a/x,y;z"),
        ('<http://a/x>; title="a, <b>; c"; rel=duplicate', "http://a/x"),
        ("</other/x>; rel=duplicate", "https://www.example.com/other/x"),
        ("<//a.example/x>; rel=duplicate", "https://a.example/x"),
        ("<http://a/a b>; rel=duplicate", "http://a/a%20b"),
        ("< http://a/x >; rel = duplicate", "http://a/x"),
    ],
)
def test_a_mirror_in_any_spelling(text: str, url: str) -> None:
    assert parse_links(text, BASE).mirrors == (Mirror(url),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "<http://a/x>",
        "http://a/x; rel=duplicate",
        "<http://a/x>; rel=canonical",
        "<file:///etc/passwd>; rel=duplicate",
        "<javascript:alert(1)>; rel=duplicate",
        "<scp://a/x>; rel=duplicate",
        "<http://[a/x>; rel=duplicate",
        '<http://a/x>; rel=duplicate; anchor="#part"',
        "<http://a/x.meta4>; rel=describedby",
        "<http://a/x.meta4>; rel=describedby; type=text/html",
    ],
)
def test_what_names_nothing_we_can_use(text: str) -> None:
    assert parse_links(text, BASE) == Links()


@pytest.mark.parametrize(
    ("pri", "priority"),
    [("1", 1), ("0", 1), ("999999", 999999), ("x", LOWEST_PRIORITY), ("-1", LOWEST_PRIORITY)],
)
def test_a_priority_that_is_none_is_the_lowest(pri: str, priority: int) -> None:
    assert parse_links(f"<http://a/>; rel=duplicate; pri={pri}", BASE).mirrors[0].priority == priority


def test_there_is_an_end_to_mirrors() -> None:
    text = ", ".join(f"<http://a/{number}>; rel=duplicate" for number in range(MAX_URLS + 100))
    assert len(parse_links(text, BASE).mirrors) == MAX_URLS


paths = st.text("abcxyz019-._~/,;=", max_size=20).map("http://a.example/{}".format)
mirrors = st.lists(
    st.builds(Mirror, paths, st.integers(1, 999_999), st.sampled_from(["", "de", "gb"])), max_size=5
)


@given(mirrors)
def test_mirrors_are_read_as_they_were_written(mirrors: list[Mirror]) -> None:
    once = {mirror.url: mirror for mirror in reversed(mirrors)}
    text = ", ".join(
        f"<{mirror.url}>; rel=duplicate; pri={mirror.priority}"
        + (f"; geo={mirror.location}" * bool(mirror.location))
        for mirror in mirrors
    )
    assert set(parse_links(text, BASE).mirrors) == set(once.values())


@given(st.text(max_size=200) | st.text('<>;=," \\relduplicate', max_size=200))
def test_any_text_gives_links_that_can_be_used(text: str) -> None:
    links = parse_links(text, BASE)
    urls = [*(mirror.url for mirror in links.mirrors), *links.metalinks, *links.torrents]
    assert all(url.lower().startswith(("http://", "https://", "ftp://")) for url in urls)


@pytest.mark.parametrize(
    "text",
    [
        "<" * 60_000,
        "<a>" + " " * 60_000,
        "<a>;" + " ;" * 30_000,
        "<a>;b" + " " * 60_000,
        '<a>;b="' + "\\" * 60_000,
    ],
)
def test_a_long_header_takes_no_longer_than_it_is(text: str) -> None:
    started_at = time.process_time()
    parse_links(text, BASE)
    assert time.process_time() - started_at < 1
