"""A whole tracker on loopback, asked by our own HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from shoal.errors import NetworkError, UsageError
from shoal.net.http import HttpResponse, get
from shoal.protocol.tracker.answers import parse_announce_response, parse_scrape_response
from shoal.protocol.tracker.messages import (
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeEntry,
    ScrapeResponse,
    TrackerFailure,
)
from shoal.protocol.tracker.query import encode_announce_query, encode_scrape_query
from shoal.protocol.tracker.urls import announce_url, scrape_url, with_query
from shoal.tracker.decision import Policy
from shoal.tracker.server import Tracker
from shoal.tracker.store import StoreCounts

HASH = bytes(20)
Runner = Callable[[Awaitable[None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


def request(port: int, **changes: object) -> AnnounceRequest:
    fields = {"info_hash": HASH, "peer_id": b"p" * 20, "port": port, "left": 10, **changes}
    return AnnounceRequest(**fields)  # type: ignore[arg-type]


async def announce(base: str, asked: AnnounceRequest) -> AnnounceResponse | TrackerFailure:
    response = await get(with_query(announce_url(base), encode_announce_query(asked)))
    assert response.status == 200
    return parse_announce_response(response.body)


async def scrape(base: str, *info_hashes: bytes) -> ScrapeResponse | TrackerFailure:
    url = scrape_url(base)
    assert url is not None
    response: HttpResponse = await get(with_query(url, encode_scrape_query(list(info_hashes))))
    return parse_scrape_response(response.body)


def test_peers_find_each_other_and_leave(run: Runner) -> None:
    async def story() -> None:
        tracker = Tracker(Policy(interval=100))
        async with tracker.serve("127.0.0.1", 0) as base:
            await announce(base, request(1001, left=0, event=Event.STARTED))
            found = await announce(base, request(1002, event=Event.STARTED))
            assert isinstance(found, AnnounceResponse)
            assert found.peers == [("127.0.0.1", 1001)]
            assert (found.complete, found.incomplete) == (1, 1)
            await announce(base, request(1002, left=0, event=Event.COMPLETED))
            assert await scrape(base, HASH) == ScrapeResponse({HASH: ScrapeEntry(2, 0, 1)})
            for port in (1001, 1002):
                await announce(base, request(port, event=Event.STOPPED))
            assert tracker.store.counts() == StoreCounts(0, 0, 0)
            assert (tracker.counters.announces, tracker.counters.scrapes) == (5, 1)

    run(story())


def test_a_client_may_ask_for_peers_as_dictionaries(run: Runner) -> None:
    async def story() -> None:
        async with Tracker().serve("127.0.0.1", 0) as base:
            await announce(base, request(1001))
            query = encode_announce_query(request(1002, is_compact=False))
            response = await get(with_query(announce_url(base), query))
            assert b"5:peersld2:ip9:127.0.0.14:porti1001eee" in response.body

    run(story())


def test_a_bad_request_gets_its_reason(run: Runner) -> None:
    async def story() -> None:
        tracker = Tracker()
        async with tracker.serve("127.0.0.1", 0) as base:
            response = await get(f"{base}/announce?port=1")
            assert response.status == 200
            assert parse_announce_response(response.body) == TrackerFailure("info_hash is missing")
            assert tracker.counters.refusals == 1

    run(story())


def test_fixed_things_are_served_beside_the_tracker(run: Runner) -> None:
    async def story() -> None:
        tracker = Tracker(routes={"/a b.torrent": ("application/x-bittorrent", b"d4:infodee")})
        async with tracker.serve("127.0.0.1", 0) as base:
            response = await get(f"{base}/a%20b.torrent")
            assert response.body == b"d4:infodee"
            assert response.headers["content-type"] == "application/x-bittorrent"
            assert (await get(f"{base}/other")).status == 404
            tracker.routes["/other"] = ("text/plain", b"now")
            assert (await get(f"{base}/other")).body == b"now"

    run(story())


def test_a_busy_port_is_an_error_that_names_it(run: Runner) -> None:
    async def story() -> None:
        async with Tracker().serve("127.0.0.1", 0) as base:
            port = int(base.rpartition(":")[2])
            with pytest.raises(NetworkError, match=f"port {port} is in use"):
                async with Tracker().serve("127.0.0.1", port):
                    pass

    run(story())


def test_what_is_no_address_is_not_bound_to(run: Runner) -> None:
    async def story() -> None:
        with pytest.raises(UsageError, match="'localhost' is not an address"):
            async with Tracker().serve("localhost", 0):
                pass

    run(story())


def test_a_wildcard_is_served_over_ipv4_and_ipv6_and_tells_both_families(run: Runner) -> None:
    async def story() -> None:
        async with Tracker().serve(None, 0) as base:
            port = base.rpartition(":")[2]
            await announce(f"http://127.0.0.1:{port}", request(1001))
            found = await announce(f"http://[::1]:{port}", request(1002))
            assert isinstance(found, AnnounceResponse)
            assert found.peers == [("127.0.0.1", 1001)]
            found = await announce(f"http://127.0.0.1:{port}", request(1001))
            assert isinstance(found, AnnounceResponse)
            assert found.peers == [("::1", 1002)]

    run(story())


def test_nothing_listens_after_the_end(run: Runner) -> None:
    async def story() -> None:
        async with Tracker().serve("127.0.0.1", 0) as base:
            await announce(base, request(1001))
        with pytest.raises(NetworkError, match="cannot connect"):
            await announce(base, request(1001))

    run(story())


def test_the_silent_are_forgotten_by_housekeeping() -> None:
    now = 0.0
    tracker = Tracker(Policy(interval=10), clock=lambda: now)

    async def story() -> None:
        nonlocal now
        async with tracker.serve("127.0.0.1", 0) as base:
            await announce(base, request(1001))
            now = tracker.policy.peer_lifetime - 1
            tracker.keep_house()
            assert tracker.store.counts().leechers == 1
            now = tracker.policy.peer_lifetime * 1.2
            tracker.keep_house()
            assert tracker.store.counts() == StoreCounts(0, 0, 0)

    asyncio.run(story())


def test_whoever_wants_to_know_hears_of_each_announce() -> None:
    heard: list[tuple[int, bytes]] = []
    tracker = Tracker(on_announce=lambda asked, host: heard.append((asked.port, host)))

    async def story() -> None:
        async with tracker.serve("127.0.0.1", 0) as base:
            await announce(base, request(1001))
            await get(f"{base}/announce?broken")

    asyncio.run(story())
    assert heard == [(1001, bytes([127, 0, 0, 1]))]
