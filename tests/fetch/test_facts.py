from __future__ import annotations

import pytest

from shoal.fetch.facts import Facts, facts_of, file_name, looks_like
from shoal.formats.metalink import Mirror
from shoal.protocol.http.validators import Validator

from .scene import LENGTH, URL, Answer, answer, known_from, part, whole


def test_the_facts_of_a_part() -> None:
    facts = known_from(part(0, 100, last_modified="Sun, 06 Nov 1994 08:49:37 GMT"))
    assert (facts.length, facts.validator, facts.takes_ranges) == (LENGTH, Validator('"v1"'), True)
    assert (facts.modified_at, facts.final_url, facts.can_be_split()) == (784111777, URL, True)


@pytest.mark.parametrize(
    ("given", "takes_ranges"),
    [
        (part(0, 100), True),
        (answer(206), False),
        (answer(206, accept_ranges="bytes"), False),  # and yet it did not say which
        (whole(), False),
        (whole(accept_ranges="bytes"), True),
        (whole(accept_ranges="Bytes"), True),
        (whole(accept_ranges="none"), False),
        (whole(accept_ranges="none, bytes"), True),
        (whole(accept_ranges="records"), False),
    ],
)
def test_whether_ranges_are_served(given: Answer, takes_ranges: bool) -> None:
    assert known_from(given).takes_ranges is takes_ranges


@pytest.mark.parametrize(
    ("given", "length"),
    [
        (whole(), LENGTH),
        (answer(200), None),
        (answer(200, transfer_encoding="chunked", content_length="5"), None),
        (part(0, 100), LENGTH),
        (part(0, 100, "*"), None),
        (part(0, 100, content_range=""), None),
    ],
)
def test_the_length_is_that_of_the_file(given: Answer, length: int | None) -> None:
    assert known_from(given).length == length


@pytest.mark.parametrize(
    ("given", "can_be_split"),
    [
        (part(0, 100), True),
        (part(0, 100, "*"), False),
        (part(0, 100, etag='W/"v1"'), False),
        (part(0, 100, etag="", digest="sha-256=" + "0" * 64), True),
        (whole(), False),
        (whole(accept_ranges="bytes"), True),
        (whole(accept_ranges="bytes", content_length="0"), False),
    ],
)
def test_what_can_be_told_to_fit_can_be_split(given: Answer, can_be_split: bool) -> None:
    assert known_from(given).can_be_split() is can_be_split


def test_ftp_has_a_length_and_no_more() -> None:
    facts = facts_of(200, {"content-length": "5"}, "ftp://ftp.example/pub/x.tar.gz")
    assert facts == Facts(length=5, final_url="ftp://ftp.example/pub/x.tar.gz")
    assert not facts.can_be_split()
    assert file_name(facts, facts.final_url) == b"x.tar.gz"


def test_mirrors_and_metalinks_of_the_headers() -> None:
    link = '</x.meta4>; rel=describedby; type="application/metalink4+xml", <http://m.example/x>; rel=duplicate; pri=1'
    facts = known_from(whole(link=link))
    assert facts.mirrors == (Mirror("http://m.example/x", 1),)
    assert facts.metalinks == ("https://origin.example/x.meta4",)


ASKED = "https://origin.example/get/disk.iso"


@pytest.mark.parametrize(
    ("disposition", "final_url", "asked_url", "name"),
    [
        ('attachment; filename="given.zip"', "https://cdn.example/a.iso", ASKED, b"given.zip"),
        ("attachment", "https://cdn.example/a.iso?sig=1", ASKED, b"a.iso"),
        ("", "https://cdn.example/blob/2f9a3c", ASKED, b"disk.iso"),
        ("", "https://cdn.example/", ASKED, b"disk.iso"),
        ("", "https://cdn.example/download.php", ASKED, b"disk.iso"),
        ("", "https://cdn.example/download.php", "https://o.example/x", b"download.php"),
        ("", "https://cdn.example/v2.tar.gz", "https://o.example/latest", b"v2.tar.gz"),
        ("", "https://cdn.example/blob", "https://o.example/latest", b"blob"),
        ("", "https://cdn.example/", "https://o.example/latest", b"latest"),
        ("", "https://cdn.example/", "https://o.example/", b"download"),
        ('attachment; filename=".."', "https://cdn.example/..%2f", "https://o.example/", b"download"),
    ],
)
def test_what_a_file_is_called(disposition: str, final_url: str, asked_url: str, name: bytes) -> None:
    facts = facts_of(200, {"content-disposition": disposition}, final_url)
    assert file_name(facts, asked_url) == name


def test_a_page_without_a_name_is_an_index() -> None:
    facts = facts_of(200, {"content-type": "text/html"}, "https://o.example/")
    assert file_name(facts, "https://o.example/") == b"index.html"


@pytest.mark.parametrize(
    ("content_type", "url", "what"),
    [
        ("application/x-bittorrent", "https://o.example/get?id=1", "torrent"),
        ("application/octet-stream", "https://o.example/x.torrent", "torrent"),
        ("", "https://o.example/x.TORRENT?key=1", "torrent"),
        ("application/metalink4+xml; charset=utf-8", "https://o.example/x.iso", "metalink"),
        ("application/metalink+xml", "https://o.example/", "metalink"),
        ("application/xml", "https://o.example/x.meta4", "metalink"),
        ("text/plain", "https://o.example/x.metalink", "metalink"),
        ("text/html", "https://o.example/x.torrent", ""),
        ("application/octet-stream", "https://o.example/x.iso", ""),
        ("application/xml", "https://o.example/torrent", ""),
    ],
)
def test_what_a_file_looks_like(content_type: str, url: str, what: str) -> None:
    assert looks_like(facts_of(200, {"content-type": content_type}, url)) == what


def test_the_name_that_was_asked_for_counts_too() -> None:
    facts = facts_of(200, {"content-type": "binary/octet-stream"}, "https://cdn.example/blob/2f9a")
    assert looks_like(facts, "https://o.example/x.torrent") == "torrent"
    named = facts_of(200, {"content-disposition": "attachment; filename=x.meta4"}, "https://cdn.example/blob")
    assert looks_like(named) == "metalink"
