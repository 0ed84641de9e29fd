"""The page at `/`: what it shows, and that no string on it can do anything."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shoal.testing.build import build_torrent
from shoal.tracker.catalogue import Entry
from shoal.tracker.catalogue_page import Listed
from shoal.tracker.page import MAX_LISTED, Place, render
from shoal.tracker.report import SLOT_SECONDS, Report
from shoal.tracker.store import StoreCounts

from .browsing import TOKEN, opened

PLACE = Place("http", "tracker.example:6969", "tracker.example:6969", False)
START = 1_000_000.0
EVIL = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</span></li></ul></section><iframe src=//evil.example>",
    "&lt;script&gt; &#60;b&#62; &amp;",
    "javascript:alert(1)",
    "</style><style>*{display:none}</style>",
    "$host ${host} $$ {0} %s",
]


class Reader(HTMLParser):
    """What a browser makes of the page: elements with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [attributes["href"] or "" for tag, attributes in self.elements if tag == "a"]

    def skeleton(self) -> list[tuple[str, list[str]]]:
        """The elements and the names of their attributes."""
        return [(tag, list(attributes)) for tag, attributes in self.elements]


def report(**changes: object) -> Report:
    fields: dict[str, object] = {
        "started_at": START,
        "made_at": START + 100,
        "counts": StoreCounts(1234, 56, 7),
        **changes,
    }
    return Report(**fields)  # type: ignore[arg-type]


def listed(name: str, magnet: str = "magnet:?xt=urn:btih:00") -> Listed:
    return Listed(Entry(name, (bytes(20),), 5_000_000, 2, 0, magnet), 3, 4)


@pytest.mark.parametrize("text", EVIL)
def test_a_hostile_text_is_text_wherever_it_stands(text: str) -> None:
    tame = Reader(render(report(), [listed("tame", "tame")], PLACE))
    evil = Reader(render(report(), [listed(text, text)], Place("http", text, text, True)))
    assert evil.skeleton() == tame.skeleton()
    assert text in evil.text
    magnet, torrent = evil.links()
    assert magnet == text  # as it was, in its attribute
    assert torrent.startswith("/catalogue/") and torrent.endswith(".torrent")
    assert not set("<>\"' ") & set(torrent)


def test_the_figures_are_shown() -> None:
    page = Reader(render(report(), None, PLACE))
    for shown in ("1,234", "56", "7", "up", "1 min 40 s", "http://tracker.example:6969/announce"):
        assert shown in page.text
    assert "udp://tracker.example:6969/announce" in page.text
    assert "Catalogue" not in page.text


def test_a_store_that_is_away_is_said() -> None:
    page = Reader(render(report(counts=None, store_errors=5), None, PLACE))
    assert "the store is away" in page.text
    assert "without the store 5" in page.text


def test_a_private_tracker_shows_where_the_key_goes() -> None:
    page = Reader(render(report(), None, Place("https", "t.example", None, True)))
    assert "https://t.example/YOUR-PASSKEY/announce" in page.text
    assert "udp:" not in page.text


def test_the_rate_of_now_is_that_of_the_last_whole_slot() -> None:
    slot = int(START) // SLOT_SECONDS
    slots = {slot + number: 10 * (number + 1) * SLOT_SECONDS for number in range(10)} | {slot + 10: 1}
    page = render(report(announces_by_slot=slots), None, PLACE)
    assert "<dt>announces / s</dt><dd>100</dd>" in page
    assert "<polyline" in page and "nan" not in page


def test_there_is_no_chart_of_nothing() -> None:
    assert "<svg" not in render(report(made_at=START + 1), None, PLACE)


def test_a_quiet_hour_is_a_flat_line() -> None:
    page = render(report(made_at=START + 4000), None, PLACE)
    assert "<polyline" in page and "at most 0 a second" in page


def test_a_long_catalogue_is_cut_and_an_empty_one_says_how_to_fill_it() -> None:
    page = Reader(render(report(), [listed(f"file {number}") for number in range(MAX_LISTED + 5)], PLACE))
    assert f"file {MAX_LISTED - 1}" in page.text and f"file {MAX_LISTED}" not in page.text
    assert "and 5 older" in page.text
    empty = Reader(render(report(), [], PLACE))
    assert "shoal share PATH --publish http://tracker.example:6969" in empty.text


def test_sizes_of_swarms_that_are_not_known_are_a_dash() -> None:
    one = Listed(Entry("a", (bytes(20),), 1, 1, 0, "magnet:"), None, None)
    assert '<span class="peers">–</span>' in render(report(), [one], PLACE)


def test_the_page_is_served_with_headers_that_forbid_what_it_does_not_need(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            name = "it's & %3Cb%3E".replace("%3Cb%3E", "fine")
            await here.put("it's%20&%20fine", build_torrent(b"x", name="<b>"))
            answer = await here.ask("GET", "/")
            assert answer.status == 200
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
            assert answer.headers["x-content-type-options"] == "nosniff"
            page = Reader(answer.body.decode())
            assert name in page.text
            tags = {tag for tag, _ in page.elements}
            assert not tags & {"script", "img", "iframe", "object", "form", "link", "base", "b:"}
            assert ("meta", {"http-equiv": "refresh", "content": "15"}) in page.elements
            assert any(attributes.get("name") == "viewport" for _, attributes in page.elements)
            assert TOKEN not in answer.body.decode()
            torrent = next(link for link in page.links() if link.endswith(".torrent"))
            assert (await here.ask("GET", torrent)).status == 200

    asyncio.run(story())


@pytest.mark.parametrize(
    ("host", "http", "udp"),
    [
        ("t.example", "http://t.example/announce", "udp://t.example:{port}/announce"),
        ("t.example:80", "http://t.example:80/announce", "udp://t.example:{port}/announce"),
        ("[::1]:7", "http://[::1]:7/announce", "udp://[::1]:{port}/announce"),
        ('"><script>', "http://127.0.0.1:{port}/announce", "udp://127.0.0.1:{port}/announce"),
        ("", "http://127.0.0.1:{port}/announce", "udp://127.0.0.1:{port}/announce"),
    ],
)
def test_urls_have_the_name_that_the_asker_used(tmp_path: Path, host: str, http: str, udp: str) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            page = Reader((await here.ask("GET", "/", host=host)).body.decode())
            port = str(here.serving.port)
            assert http.replace("{port}", port) in page.text
            assert udp.replace("{port}", port) in page.text

    asyncio.run(story())


def test_nothing_else_is_the_page(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            assert (await here.ask("GET", "/index.html")).status == 404
            assert (await here.ask("GET", "//")).status == 404
            assert (await here.ask("PUT", "/", b"x")).status == 405

    asyncio.run(story())
