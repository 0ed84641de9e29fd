"""A whole tracker on loopback, asked by our own HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

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
from shoal.tracker.proxies import parse_network
from shoal.tracker.server import Doors, open_sockets, serve
from shoal.tracker.site import Site
from shoal.tracker.store import StoreCounts
from shoal.tracker.tracker import Tracker

from ..peers.processes import free_port

HASH = bytes(20)
LOCAL = "127.0.0.1"
SECONDS = 60  # of patience
Runner = Callable[[Awaitable[None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


@contextlib.asynccontextmanager
async def served(tracker: Tracker | None = None) -> AsyncIterator[str]:
    async with serve(tracker or Tracker(), doors=Doors([LOCAL], 0)) as serving:
        yield serving.url


def connection_id(port: int, host: str = LOCAL) -> bytes:
    """Asked of the UDP door, in this thread."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect((host, port))
        sock.send(struct.pack("!QI4s", 0x41727101980, 0, b"tran"))
        answer = sock.recv(100)
    assert answer[:8] == b"\0\0\0\0tran"
    return answer[8:]


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
        async with served(tracker) as base:
            await announce(base, request(1001, left=0, event=Event.STARTED))
            found = await announce(base, request(1002, event=Event.STARTED))
            assert isinstance(found, AnnounceResponse)
            assert found.peers == [("127.0.0.1", 1001)]
            assert (found.complete, found.incomplete) == (1, 1)
            await announce(base, request(1002, left=0, event=Event.COMPLETED))
            assert await scrape(base, HASH) == ScrapeResponse({HASH: ScrapeEntry(2, 0, 1)})
            for port in (1001, 1002):
                await announce(base, request(port, event=Event.STOPPED))
            assert tracker.store.count(0) == StoreCounts(0, 0, 0)
            assert (tracker.counters.announces, tracker.counters.scrapes) == (5, 1)

    run(story())


def test_a_site_of_ones_own_is_served(run: Runner) -> None:
    async def story() -> None:
        tracker = Tracker()
        site = Site(tracker, routes={"/a b.torrent": ("application/x-bittorrent", b"d4:infodee")})
        async with serve(tracker, site, Doors([LOCAL], 0)) as serving:
            response = await get(f"{serving.url}/a%20b.torrent")
            assert response.body == b"d4:infodee"
            assert response.headers["content-type"] == "application/x-bittorrent"
            assert (await get(f"{serving.url}/other")).status == 404

    run(story())


def test_a_busy_port_is_an_error_that_names_it(run: Runner) -> None:
    async def story() -> None:
        async with served() as base:
            port = int(base.rpartition(":")[2])
            with pytest.raises(NetworkError, match=f"port {port} is in use"):
                async with serve(Tracker(), doors=Doors([LOCAL], port)):
                    pass

    run(story())


def test_what_is_no_address_is_not_bound_to(run: Runner) -> None:
    async def story() -> None:
        with pytest.raises(UsageError, match="'localhost' is not an address"):
            async with serve(Tracker(), doors=Doors(["localhost"], 0)):
                pass

    run(story())


def test_a_wildcard_is_served_over_ipv4_and_ipv6_and_tells_both_families(run: Runner) -> None:
    async def story() -> None:
        async with serve(Tracker(), doors=Doors(port=0)) as serving:
            port = serving.port
            await announce(f"http://127.0.0.1:{port}", request(1001))
            found = await announce(f"http://[::1]:{port}", request(1002))
            assert isinstance(found, AnnounceResponse)
            assert found.peers == [("127.0.0.1", 1001)]
            found = await announce(f"http://127.0.0.1:{port}", request(1001))
            assert isinstance(found, AnnounceResponse)
            assert found.peers == [("::1", 1002)]

    run(story())


def test_several_addresses_are_served_on_one_port_by_tcp_and_udp(run: Runner) -> None:
    async def story() -> None:
        async with serve(Tracker(), doors=Doors(["::1", LOCAL], 0)) as serving:
            assert serving.url == f"http://[::1]:{serving.port}"
            assert serving.announce_urls == [
                f"http://[::1]:{serving.port}/announce",
                f"udp://[::1]:{serving.port}/announce",
            ]
            for host in (LOCAL, "[::1]"):
                assert (await get(f"http://{host}:{serving.port}/")).status == 404
                assert len(await asyncio.to_thread(connection_id, serving.port, host.strip("[]"))) == 8

    run(story())


def test_without_udp_the_port_is_free_for_somebody_elses(run: Runner) -> None:
    async def story() -> None:
        async with serve(Tracker(), doors=Doors([LOCAL], free_port(), has_udp=False)) as serving:
            assert serving.announce_urls == [f"http://{LOCAL}:{serving.port}/announce"]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((LOCAL, serving.port))

    run(story())


def test_a_busy_udp_port_is_an_error_that_names_it_and_leaves_nothing_open(run: Runner) -> None:
    async def story() -> None:
        free, sock = open_sockets(Doors([LOCAL], free_port()))
        free.close()
        with sock:
            port = sock.getsockname()[1]
            with pytest.raises(NetworkError, match=f"port {port} is in use: cannot listen on {LOCAL}:{port}"):
                async with serve(Tracker(), doors=Doors([LOCAL], port)):
                    pass
            async with serve(Tracker(), doors=Doors([LOCAL], port, has_udp=False)) as serving:
                assert serving.port == port

    run(story())


def test_sockets_that_are_open_already_are_served_and_closed(run: Runner) -> None:
    async def story() -> None:
        sockets = open_sockets(Doors([LOCAL], 0))
        async with serve(Tracker(), sockets=sockets) as serving:
            assert serving.port == sockets[0].getsockname()[1]
            await announce(f"http://{LOCAL}:{serving.port}", request(1001))
        assert [sock.fileno() for sock in sockets] == [-1, -1]

    run(story())


def test_the_udp_and_the_http_door_lead_to_one_tracker(run: Runner) -> None:
    async def story() -> None:
        async with served() as base:
            await announce(base, request(1001))
            port = int(base.rpartition(":")[2])
            assert await asyncio.to_thread(scrape_by_udp, port) == (0, 0, 1)

    run(story())


def scrape_by_udp(port: int) -> tuple[int, ...]:
    """Seeds, completed, leechers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect((LOCAL, port))
        sock.send(connection_id(port) + struct.pack("!I4s", 2, b"tran") + HASH)
        return struct.unpack("!III", sock.recv(100)[8:])


@pytest.mark.parametrize(
    ("trusted", "told"), [("127.0.0.0/8", ("192.0.2.7", 1001)), ("10.0.0.0/8", (LOCAL, 1001))]
)
def test_a_trusted_proxy_says_who_asks_and_nobody_else_does(
    run: Runner, trusted: str, told: tuple[str, int]
) -> None:
    async def story() -> None:
        doors = Doors([LOCAL], 0, trusted_proxies=(parse_network(trusted),))
        async with serve(Tracker(), doors=doors) as serving:
            query = encode_announce_query(request(1001))
            forwarded = "203.0.113.9, 192.0.2.7"
            assert b"complete" in await raw_get(serving.port, f"/announce?{query}", forwarded)
            found = await announce(serving.url, request(1002))
            assert isinstance(found, AnnounceResponse)
            assert found.peers == [told]

    run(story())


def test_a_trusted_proxy_that_names_no_address_is_told_so(run: Runner) -> None:
    async def story() -> None:
        doors = Doors([LOCAL], 0, trusted_proxies=(parse_network(LOCAL),))
        async with serve(Tracker(), doors=doors) as serving:
            answer = await raw_get(serving.port, "/announce", "unknown")
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert answer.endswith(b"X-Forwarded-For holds no address\n")

    run(story())


def test_a_proxy_that_adds_a_line_of_its_own_is_understood(run: Runner) -> None:
    async def story() -> None:
        doors = Doors([LOCAL], 0, trusted_proxies=(parse_network("127.0.0.0/8"),))
        async with serve(Tracker(), doors=doors) as serving:
            query = encode_announce_query(request(1001))
            await raw_get(serving.port, f"/announce?{query}", "203.0.113.9", "192.0.2.7", "127.0.0.2")
            found = await announce(serving.url, request(1002))
            assert isinstance(found, AnnounceResponse)
            assert found.peers == [("192.0.2.7", 1001)]

    run(story())


async def raw_get(port: int, target: str, *forwarded_for: str) -> bytes:
    """The whole reply, to a request with one such header each."""
    reader, writer = await asyncio.open_connection(LOCAL, port)
    lines = [
        f"GET {target} HTTP/1.1",
        "Connection: close",
        *(f"X-Forwarded-For: {it}" for it in forwarded_for),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_nothing_listens_after_the_end(run: Runner) -> None:
    async def story() -> None:
        async with serve(Tracker(), doors=Doors([LOCAL], free_port())) as serving:
            base = serving.url
            await announce(base, request(1001))
        with pytest.raises(NetworkError, match="cannot connect"):
            await announce(base, request(1001))

    run(story())


def test_the_silent_are_forgotten_by_housekeeping() -> None:
    now = 0.0
    tracker = Tracker(Policy(interval=10), clock=lambda: now)

    async def story() -> None:
        nonlocal now
        async with served(tracker) as base:
            await announce(base, request(1001))
            now = tracker.policy.peer_lifetime - 1
            tracker.keep_house()
            assert tracker.store.count(now) == StoreCounts(1, 0, 1)
            now = tracker.policy.peer_lifetime * 1.2
            tracker.keep_house()
            assert tracker.store.count(0) == StoreCounts(0, 0, 0)

    asyncio.run(story())


def test_whoever_wants_to_know_hears_of_each_announce() -> None:
    heard: list[tuple[int, bytes, str]] = []
    tracker = Tracker(on_announce=lambda asked, host, owner: heard.append((asked.port, host, owner)))

    async def story() -> None:
        async with served(tracker) as base:
            await announce(base, request(1001))
            await get(f"{base}/announce?broken")

    asyncio.run(story())
    assert heard == [(1001, bytes([127, 0, 0, 1]), "")]
