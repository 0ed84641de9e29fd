"""`/`: how the tracker is doing, for people with a browser.

One page without scripts, pictures or anything from elsewhere, made of a `Report` and the catalogue. Always true: every
text that somebody else chose is escaped, wherever it stands, and the headers forbid what an oversight could let in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, urlsplit

from shoal.tracker.catalogue_page import Listed
from shoal.tracker.door_http import Question
from shoal.tracker.page_template import PAGE
from shoal.tracker.replies import Reply
from shoal.tracker.report import SLOT_SECONDS, Report
from shoal.tracker.soon import Soon, then
from shoal.units import format_duration, format_size

MAX_LISTED = 200  # entries; a page that is read on a phone, and 100 KB
CHART_WIDTH, CHART_HEIGHT = 360, 60
CHART_POINTS = 120  # half a minute each; more cannot be told apart on a phone
HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),  # it holds the name by which this asker reached us
)
_HOST = re.compile(rb"[A-Za-z0-9._-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tracker is, as one asker sees it: what stands in URLs."""

    scheme: str
    host: str  # with its port
    udp_host: str | None  # None: not over UDP
    is_private: bool

    @property
    def announce_urls(self) -> list[str]:
        path = "/YOUR-PASSKEY/announce" if self.is_private else "/announce"
        udp = [] if self.udp_host is None else [f"udp://{self.udp_host}{path}"]
        return [f"{self.scheme}://{self.host}{path}", *udp]


class FrontPage:
    methods: tuple[bytes, ...] = ()

    def __init__(
        self,
        report: Callable[[], Soon[Report]],
        listed: Callable[[], Soon[list[Listed]]] | None,
        *,
        is_private: bool,
    ) -> None:
        """`listed` gives the catalogue's entries, newest first; None: there is no catalogue."""
        self.base_url = ""  # where most reach it and whether it has UDP, known once its doors are open
        self.has_udp = False
        self._report = report
        self._listed = listed
        self._is_private = is_private

    def answer(self, question: Question) -> Soon[Reply] | None:
        if question.path != b"/":
            return None
        place = self._place(question.headers)

        def with_report(report: Report) -> Soon[Reply]:
            if self._listed is None:
                return _reply(render(report, None, place))
            return then(self._listed(), lambda listed: _reply(render(report, listed, place)))

        return then(self._report(), with_report)

    def body_limit(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
        return 0

    def _place(self, headers: dict[bytes, bytes]) -> Place:
        """By the name that the asker used; UDP is on our own port, whatever is in front of the other one."""
        own = urlsplit(self.base_url)
        named = headers.get(b"host", b"")
        host = named.decode() if _HOST.fullmatch(named) else own.netloc
        scheme = "https" if headers.get(b"x-forwarded-proto") == b"https" else "http"
        without_port = re.sub(r":[0-9]+$", "", host)
        udp_host = f"{without_port}:{own.port}" if self.has_udp else None
        return Place(scheme, host, udp_host, self._is_private)


def _reply(page: str) -> Reply:
    return Reply(page.encode("utf-8", "replace"), "text/html; charset=utf-8", headers=HEADERS)


def render(report: Report, listed: Sequence[Listed] | None, place: Place) -> str:
    """The whole page. `listed` is the catalogue, newest first; None where there is none."""
    counts, rates = report.counts, report.rates()
    return PAGE.substitute(
        host=escape(place.host),
        state='<b class="bad">the store is away</b>'
        if counts is None
        else "<b>up</b> for " + _uptime(report),
        swarms="–" if counts is None else f"{counts.swarms:,}",
        seeds="–" if counts is None else f"{counts.seeds:,}",
        leechers="–" if counts is None else f"{counts.leechers:,}",
        rate=_rate(rates[-1]) if rates else "–",
        chart=_chart(rates),
        urls="".join(_url_row(url) for url in place.announce_urls),
        catalogue="" if listed is None else _catalogue(listed, place),
        footer=_footer(report),
    )


def _uptime(report: Report) -> str:
    days, rest = divmod(int(report.uptime), 86400)
    return f"{days} d {rest // 3600} h" if days else format_duration(rest)


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _url_row(url: str) -> str:
    scheme = url.partition(":")[0].upper()
    return f"<span>{escape(scheme)}</span><code>{escape(url)}</code>"


def _footer(report: Report) -> str:
    facts = [
        ("announces", report.announces),
        ("scrapes", report.scrapes),
        ("refused", report.refusals),
        ("HTTP connections", report.connections),
    ]
    if report.store_errors:
        facts.append(("without the store", report.store_errors))
    return " · ".join(f"<span>{word} {count:,}</span>" for word, count in facts)


# ---- the chart


def _chart(rates: Sequence[float]) -> str:
    """The rates of the last hour as an area; what is left of the start is empty."""
    points = _thinned(rates)
    if len(points) < 2:
        return ""
    top = max(*points, 1 / SLOT_SECONDS)
    step = CHART_WIDTH / (CHART_POINTS - 1)
    left = CHART_WIDTH - step * (len(points) - 1)
    line = " ".join(
        f"{left + step * number:.1f},{CHART_HEIGHT - 1 - point / top * (CHART_HEIGHT - 3):.1f}"
        for number, point in enumerate(points)
    )
    return (
        f"<figure><figcaption><span>the last hour</span><span>at most {_rate(max(points))} a second</span>"
        f'</figcaption><svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" preserveAspectRatio="none" role="img" '
        'aria-label="announces a second in the last hour">'
        f'<line class="base" x1="0" y1="{CHART_HEIGHT - 1}" x2="{CHART_WIDTH}" y2="{CHART_HEIGHT - 1}"/>'
        f'<polygon class="area" points="{left:.1f},{CHART_HEIGHT - 1} {line} {CHART_WIDTH},{CHART_HEIGHT - 1}"/>'
        f'<polyline class="line" points="{line}"/></svg></figure>'
    )


def _thinned(rates: Sequence[float]) -> list[float]:
    """Means of three slots, so that an hour is `CHART_POINTS`; what is left over is the oldest."""
    width = 3
    whole = rates[len(rates) % width :]
    return [sum(whole[at : at + width]) / width for at in range(0, len(whole), width)]


# ---- the catalogue


def _catalogue(listed: Sequence[Listed], place: Place) -> str:
    if not listed:
        hint = f"shoal share PATH --publish {place.scheme}://{place.host}"
        return (
            '<section class="pad"><div class="title"><h2>Catalogue</h2></div>'
            f'<p class="soft" style="margin:.5rem 0 0">Nothing is published yet. <code>{escape(hint)}</code></p>'
            "</section>"
        )
    count = f"{len(listed):,} torrent" + ("" if len(listed) == 1 else "s")
    rest = len(listed) - MAX_LISTED
    more = (
        ""
        if rest <= 0
        else f'<div class="pad soft">and {rest:,} older: <a href="/catalogue">the whole list</a></div>'
    )
    command = (
        f"shoal get shoal://{place.host}/NAME"
        if place.scheme == "http"
        else f"shoal get https://{place.host}/catalogue/NAME.torrent"
    )
    return (
        f'<section><div class="pad title"><h2>Catalogue</h2><span class="soft">{count}<span class="dot"> · </span>'
        f"<code>{escape(command)}</code></span></div><ul>"
        f"{''.join(map(_entry, listed[:MAX_LISTED]))}</ul>{more}</section>"
    )


def _entry(listed: Listed) -> str:
    entry = listed.entry
    files = "1 file" if entry.file_count == 1 else f"{entry.file_count:,} files"
    peers = "–"
    if listed.seeds is not None and listed.leechers is not None:
        peers = f"<b>{listed.seeds:,}</b> seeding, <i>{listed.leechers:,}</i> getting"
    torrent = f"/catalogue/{quote(entry.name, safe='')}.torrent"
    return (
        f'<li><span class="name">{escape(entry.name)}</span>'
        f'<span class="size" title="{escape(files)}">{escape(format_size(entry.size))}</span>'
        f'<span class="peers">{peers}</span><span class="links">'
        f'<a href="{escape(entry.magnet)}">magnet</a><a href="{escape(torrent)}">.torrent</a></span></li>'
    )
