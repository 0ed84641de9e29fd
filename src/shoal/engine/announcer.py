"""Carry out one torrent's announces: ask when the schedule says so, and tell it what came of it.

All decisions are `swarm/tiers.py`'s; how one tracker is asked is `asking.py`'s. Peers that are found go to
`on_peers` as (host, port); what a person should read (a refusal, a warning, a silent tracker, one that cannot be
asked) goes to `on_message`, the same text of the same tracker only once in a row.

IPv4 and IPv6: an HTTP tracker is asked once, over whichever libcurl connects by first, as trackers that keep to BEP 7
tell peers of both families to both. A UDP tracker can only tell of the family that it is asked over, so it is
asked over both. A bound announcer has one address only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shoal.engine.asking import Asker, HttpGet, name_of, why_not_asked
from shoal.errors import ShoalError
from shoal.net.guarding import AddressGuard
from shoal.net.http import get
from shoal.protocol.tracker.messages import AnnounceRequest, AnnounceResponse, TrackerFailure
from shoal.protocol.tracker.udp_exchange import Connections
from shoal.protocol.tracker.urls import shown_url
from shoal.swarm.tiers import AnnounceAction, AnnounceSchedule

ANNOUNCE_TIMEOUT = 20.0  # a loaded tracker answers late, but a dead one must not hold up its tier
KEY_LENGTH = 4  # bytes, for UDP leaves no choice
STOP_TIMEOUT = 2.0  # nobody waits longer for a program that was told to end
UNDER_WAY_SHARE = 0.5  # of it, for the answer to an announce that is under way: the goodbye wants some too


@dataclass(frozen=True, slots=True)
class Totals:
    """What one torrent moved since it started, and what it lacks, in bytes."""

    uploaded: int
    downloaded: int
    left: int


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
        connections: Connections | None = None,
        http_get: HttpGet = get,
        guard: AddressGuard | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """`connections` are those of UDP trackers, shared with other torrents; `guard` is for what a stranger named."""
        rng = rng or random.Random()
        self._info_hash = info_hash
        self._peer_id = peer_id
        self._port = port
        self._totals = totals
        self._on_peers = on_peers
        self._on_message = on_message
        self._clock = clock
        self._key = rng.randbytes(KEY_LENGTH)
        self._schedule = AnnounceSchedule(tiers, rng, is_supported=_is_askable)
        askable = {url for tier in tiers for url in tier if _is_askable(url)}
        self._asker = Asker(bind, len(askable) == 1, connections or Connections(), http_get, guard)
        self._tracker_ids: dict[str, bytes] = {}
        self._last_messages: dict[str, str] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}  # by URL
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
        """Announce until `stop` is called and done, or until cancelled, which gives up what is under way."""
        for url in self._schedule.unsupported:
            self._say(url, f"{shown_url(url)}: {why_not_asked(url)}; skipped")
        async with asyncio.TaskGroup() as announces:
            while not self._is_stopping:
                while (action := self._schedule.next_action(self._clock())) is not None:
                    self._under_way[action.url] = announces.create_task(self._announce(action))
                await self._wait_for_news()

    async def stop(self) -> None:
        """Say goodbye to every tracker that knows of us, all at once, within `STOP_TIMEOUT`. Never fails."""
        self._is_stopping = True
        self._has_news.set()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT), asyncio.TaskGroup() as farewells:
                    for action in self._schedule.stop_actions():
                        farewells.create_task(self._say_goodbye(action))
        finally:
            for task in self._under_way.values():
                task.cancel()

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
        self._say(url, f"{name_of(url)} warns: {answer.warning}" if answer.warning else "")
        peers = answer.peers
        if peers:
            self._on_peers(peers)

    async def _say_goodbye(self, action: AnnounceAction) -> None:
        """After what is under way: a goodbye that overtakes it is forgotten, and the tracker keeps us as a peer."""
        if (under_way := self._under_way.get(action.url)) is not None:
            await asyncio.wait([under_way], timeout=STOP_TIMEOUT * UNDER_WAY_SHARE)
            under_way.cancel()
        for farewell in (self._schedule.owed_to(action.url), action):
            if farewell is not None:
                with contextlib.suppress(ShoalError):
                    await self._ask(farewell, STOP_TIMEOUT)

    async def _ask(self, action: AnnounceAction, timeout: float) -> AnnounceResponse | TrackerFailure:  # noqa: ASYNC109
        return await self._asker.ask(
            action.url,
            self._request(action),
            timeout=timeout,
            on_silence=lambda text: self._say(action.url, text),
        )

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
    return not why_not_asked(url)
