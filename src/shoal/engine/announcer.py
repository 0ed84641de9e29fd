"""Carry out one torrent's announces: ask when the schedule says so, and tell it what came of it.

All decisions are `swarm/tiers.py`'s; the bytes are `protocol/tracker`'s. Peers that are found go to
`on_peers` as (host, port); what a person should read (a refusal, a warning, a tracker that cannot be asked)
goes to `on_message`, the same text of the same tracker only once in a row.

IPv4 and IPv6: the announce is made once, over whichever libcurl connects by first. Trackers that keep to
BEP 7 tell peers of both families to both, and a bound announcer has one address only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from shoal.errors import FormatError, ShoalError
from shoal.net.http import HttpResponse, get
from shoal.protocol.tracker.answers import MAX_ANSWER_LENGTH, parse_announce_response
from shoal.protocol.tracker.messages import AnnounceRequest, AnnounceResponse, TrackerFailure
from shoal.protocol.tracker.query import encode_announce_query
from shoal.protocol.tracker.urls import announce_url, is_http, shown_url, url_scheme, with_query
from shoal.swarm.tiers import AnnounceAction, AnnounceSchedule

ANNOUNCE_TIMEOUT = 20.0  # a loaded tracker answers late, but a dead one must not hold up its tier
STOP_TIMEOUT = 2.0  # nobody waits longer for a program that was told to end


@dataclass(frozen=True, slots=True)
class Totals:
    """What one torrent moved since it started, and what it lacks, in bytes."""

    uploaded: int
    downloaded: int
    left: int


class HttpGet(Protocol):
    """`net.http.get`, or what a test puts in its place."""

    async def __call__(
        self,
        url: str,
        *,
        bind: str | None,
        timeout: float,  # noqa: ASYNC109
        max_bytes: int,
    ) -> HttpResponse: ...


class Announcer:
    """The trackers of one torrent. Run `run()` as a task; end with `stop()`."""

    def __init__(
        self,
        tiers: Sequence[Sequence[str]],
        *,
        info_hash: bytes,
        peer_id: bytes,
        port: int,
        totals: Callable[[], Totals],
        on_peers: Callable[[list[tuple[str, int]]], None],
        on_message: Callable[[str], None],
        bind: str | None = None,
        http_get: HttpGet = get,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()
        self._info_hash = info_hash
        self._peer_id = peer_id
        self._port = port
        self._totals = totals
        self._on_peers = on_peers
        self._on_message = on_message
        self._bind = bind
        self._http_get = http_get
        self._clock = clock
        self._key = b"%08x" % rng.getrandbits(32)
        self._schedule = AnnounceSchedule(tiers, rng, is_supported=_is_askable)
        self._tracker_ids: dict[str, bytes] = {}
        self._last_messages: dict[str, str] = {}
        self._has_news = asyncio.Event()
        self._is_stopping = False

    # -- what the torrent says -----------------------------------------------------------------------

    def wanted(self) -> None:
        """Peers are short: announce as soon as the tracker allows it."""
        self._schedule.on_peers_wanted()
        self._has_news.set()

    def completed(self) -> None:
        """Everything wanted is here, and was not from the start."""
        self._schedule.on_completed()
        self._has_news.set()

    async def run(self) -> None:
        """Announce until `stop` is called, or until cancelled; either gives up what is under way."""
        for url in self._schedule.unsupported:
            self._say(url, f"{shown_url(url)}: {_why_not_asked(url)}; skipped")
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as announces:
            while not self._is_stopping:
                while (action := self._schedule.next_action(self._clock())) is not None:
                    task = announces.create_task(self._announce(action))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await self._wait_for_news()
            for task in under_way:
                task.cancel()

    async def stop(self) -> None:
        """Say goodbye to every tracker that knows of us, all at once, within `STOP_TIMEOUT`. Never fails."""
        self._is_stopping = True
        self._has_news.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT), asyncio.TaskGroup() as farewells:
                for action in self._schedule.stop_actions():
                    farewells.create_task(self._say_goodbye(action))

    # -- one announce --------------------------------------------------------------------------------

    async def _announce(self, action: AnnounceAction) -> None:
        try:
            answer = await self._ask(action, ANNOUNCE_TIMEOUT)
        except ShoalError as error:
            answer = TrackerFailure(error.message)
        if isinstance(answer, TrackerFailure):
            self._schedule.on_failure(action.url, self._clock(), retry_in=answer.retry_in)
            self._say(action.url, answer.reason)
        else:
            self._take(action.url, answer)
        self._has_news.set()

    def _take(self, url: str, answer: AnnounceResponse) -> None:
        self._schedule.on_response(
            url, self._clock(), interval=answer.interval, min_interval=answer.min_interval
        )
        if answer.tracker_id:
            self._tracker_ids[url] = answer.tracker_id
        self._say(url, f"{_name_of(url)} warns: {answer.warning}" if answer.warning else "")
        peers = answer.peers
        if peers:
            self._on_peers(peers)

    async def _say_goodbye(self, action: AnnounceAction) -> None:
        with contextlib.suppress(ShoalError):
            await self._ask(action, STOP_TIMEOUT)

    async def _ask(self, action: AnnounceAction, timeout: float) -> AnnounceResponse | TrackerFailure:  # noqa: ASYNC109
        """Make one announce. Failures of all kinds name the tracker. Raises `ShoalError`."""
        url = with_query(announce_url(action.url), encode_announce_query(self._request(action)))
        response = await self._http_get(url, bind=self._bind, timeout=timeout, max_bytes=MAX_ANSWER_LENGTH)
        try:
            answer = parse_announce_response(response.body)
        except FormatError as error:
            response.raise_for_status()  # of a page that says 404, that is what matters
            raise FormatError(f"{_name_of(url)} sent a bad answer: {error.message}") from None
        if isinstance(answer, TrackerFailure):
            return TrackerFailure(f"{_name_of(url)} says: {answer.reason}", answer.retry_in)
        response.raise_for_status()
        return answer

    def _request(self, action: AnnounceAction) -> AnnounceRequest:
        totals = self._totals()
        return AnnounceRequest(
            info_hash=self._info_hash,
            peer_id=self._peer_id,
            port=self._port,
            uploaded=totals.uploaded,
            downloaded=totals.downloaded,
            left=totals.left,
            event=action.event,
            numwant=action.numwant,
            key=self._key,
            tracker_id=self._tracker_ids.get(action.url, b""),
        )

    def _say(self, url: str, text: str) -> None:
        """Tell a person, unless this tracker's last word was the same; "" means that all is well again."""
        if text and text != self._last_messages.get(url):
            self._on_message(f"tracker {text}")
        self._last_messages[url] = text

    async def _wait_for_news(self) -> None:
        """Sleep until the next deadline, or until somebody has told the schedule something."""
        self._has_news.clear()
        deadline = self._schedule.next_deadline()
        delay = None if deadline is None else max(0.0, deadline - self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._has_news.wait()


def _is_askable(url: str) -> bool:
    return not _why_not_asked(url)


def _why_not_asked(url: str) -> str:
    """Why a tracker is set aside; "" for one that is not."""
    try:
        announce_url(url)
    except FormatError as error:
        return error.message
    return "" if is_http(url) else f"{url_scheme(url)} trackers are not supported"


def _name_of(url: str) -> str:
    """Host and port: enough for a person, and nothing of a passkey in the path."""
    return urlsplit(url).netloc.rpartition("@")[2]
