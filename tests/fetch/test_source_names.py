"""What people are told of a source."""

from __future__ import annotations

import random
from pathlib import Path

from shoal.fetch.source_names import name_beside, names_of
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import MIB

from .test_download import fetch

BODY = random.Random(11).randbytes(4 * MIB)
KEY = "0123456789abcdef0123456789abcdef"


def test_a_source_is_its_host_unless_another_is_there_too() -> None:
    one, other, elsewhere = (
        "http://a.example/x/f.iso",
        "https://a.example/y/f.iso?k=1",
        "ftp://b.example/f.iso",
    )
    assert [name for _, name in names_of([one, elsewhere])] == ["a.example", "b.example"]
    assert names_of([one, other, elsewhere]) == [
        (one, "a.example/x/f.iso"),
        (other, "a.example/y/f.iso?…"),
        (elsewhere, "b.example"),
    ]


def test_one_that_is_found_later_is_told_from_those_that_are_known() -> None:
    assert name_beside("http://a.example/y", ["a.example", "b.example"]) == "a.example/y"
    assert name_beside("http://a.example/y", ["a.example/x"]) == "a.example/y"
    assert name_beside("http://c.example/y", ["a.example"]) == "c.example"


def test_no_name_shows_a_secret() -> None:
    for _, name in names_of([f"http://me:{KEY}@a.example/{KEY}/f?k={KEY}", "http://a.example/f"]):
        assert KEY not in name


def test_two_sources_on_one_host_are_told_apart_in_the_result(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        for path in ("/one/f", "/two/f"):
            origin.pages[path] = Page(BODY, rate=MIB)
        got = fetch(tmp_path, origin.url("/one/f"), origin.url("/two/f"))
    hosts = {origin.url(path).removeprefix("http://") for path in ("/one/f", "/two/f")}
    assert {name for name, _ in got.sources} <= hosts and got.sources
