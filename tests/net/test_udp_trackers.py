"""Our client in datagrams, at trackers on loopback that the test plays."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from shoal.errors import FormatError, NetworkError
from shoal.net import udp_trackers
from shoal.net.udp_trackers import SocketAddress
from shoal.protocol.tracker import udp_exchange
from shoal.protocol.tracker.messages import AnnounceRequest, AnnounceResponse, ScrapeEntry, TrackerFailure
from shoal.protocol.tracker.udp import (
    Action,
    Scraped,
    encode_announced,
    encode_connected,
    encode_error,
    encode_scraped,
    parse_announce,
    parse_head,
    parse_scrape,
    parse_url_data,
)
from shoal.protocol.tracker.udp_exchange import ONE_TRY, WHOLE_LADDER, Connections, scrape_question

from ..peers.processes import free_port

NAME = "tracker.example:6969"
REQUEST = AnnounceRequest(bytes(range(20)), b"-XX0000-abcdefghijkl", 6881, left=7)
PEER_V4, PEER_V6 = bytes([10, 0, 0, 1, 0x1A, 0xE1]), b"\x20\x01" + bytes(13) + b"\x01\x1a\xe1"
HOSTS = ("127.0.0.1", "::1")
PATIENCE = 60.0  # seconds; for a busy machine

Reply = Callable[[bytes], list[bytes]]


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@dataclass(slots=True)
class ScriptedTracker:
    """Answers connects and announces; `reply` may say something else, `is_silent` for a while nothing."""

    host: str
    interval: int = 600
    refusal: str = ""
    tail: bytes = b""
    is_silent: bool = False
    connection_id: bytes = b"connect!"
    before: Callable[[ScriptedTracker, bytes, SocketAddress], None] | None = None
    heard: list[Action] = field(default_factory=list)
    senders: list[SocketAddress] = field(default_factory=list)
    url_data: bytes = b""
    sock: socket.socket = field(init=False)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[ScriptedTracker]:
        loop = asyncio.get_running_loop()
        with socket.socket(family_of(self.host), socket.SOCK_DGRAM) as self.sock:
            self.sock.setblocking(False)
            self.sock.bind((self.host, 0))
            loop.add_reader(self.sock.fileno(), self._on_readable)
            try:
                yield self
            finally:
                loop.remove_reader(self.sock.fileno())

    @property
    def address(self) -> SocketAddress:
        return tuple(self.sock.getsockname())

    def _on_readable(self) -> None:
        datagram, sender = self.sock.recvfrom(65535)
        connection_id, action, transaction_id = parse_head(datagram)
        self.heard.append(Action(action))
        self.senders.append(sender)
        if self.is_silent:
            return
        if self.before is not None:
            self.before(self, transaction_id, sender)
        self.sock.sendto(self._answer(datagram, connection_id, action, transaction_id), sender)

    def _answer(self, datagram: bytes, connection_id: bytes, action: int, transaction_id: bytes) -> bytes:
        if action == Action.CONNECT:
            return encode_connected(transaction_id, self.connection_id)
        if self.refusal or connection_id != self.connection_id:
            return encode_error(transaction_id, self.refusal or "bad connection id")
        if action == Action.SCRAPE:
            return encode_scraped(
                transaction_id, parse_scrape(datagram), {REQUEST.info_hash: ScrapeEntry(1, 2, 3)}
            )
        assert parse_announce(datagram).left == REQUEST.left
        self.url_data = parse_url_data(datagram)
        response = AnnounceResponse(
            self.interval, complete=self.interval, incomplete=2, peers_v4=PEER_V4, peers_v6=PEER_V6
        )
        return encode_announced(transaction_id, response, to_v6=":" in self.host) + self.tail


@dataclass(slots=True)
class Client:
    bind: str | None = None
    tries: int = ONE_TRY
    url_data: bytes = b""
    connections: Connections = field(default_factory=Connections)
    silences: int = 0

    async def announce(self, *addresses: SocketAddress) -> AnnounceResponse | TrackerFailure:
        return await udp_trackers.announce(
            NAME,
            addresses,
            REQUEST,
            url_data=self.url_data,
            bind=self.bind,
            tries=self.tries,
            connections=self.connections,
            on_silence=self.on_silence,
        )

    def on_silence(self) -> None:
        self.silences += 1


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    runner: Callable[[Coroutine[Any, Any, None]], None] = request.param
    return runner


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder begins at 20 ms instead of 15 s, and the other family is waited for as briefly."""
    monkeypatch.setattr(udp_exchange, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(udp_trackers, "OTHER_FAMILY_SECONDS", 0.02)


def nobody_at(host: str) -> SocketAddress:
    """An address where nobody listens."""
    return (host, free_port(host), 0, 0) if ":" in host else (host, free_port(host))


@pytest.mark.parametrize("host", HOSTS)
def test_peers_come_from_a_tracker(host: str, run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker(host).open() as tracker:
            answer = await Client(url_data=b"/key/announce").announce(tracker.address)
            assert isinstance(answer, AnnounceResponse)
            assert answer.peers == ([("2001::1", 6881)] if ":" in host else [("10.0.0.1", 6881)])
            assert answer.interval == 600
            assert tracker.heard == [Action.CONNECT, Action.ANNOUNCE]
            assert tracker.url_data == b"/key/announce"

    run(story())


def test_a_scrape_is_answered(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1").open() as tracker:
            answers = await udp_trackers.ask(
                NAME, [tracker.address], scrape_question([REQUEST.info_hash]), bind=None, tries=ONE_TRY,
                connections=Connections(), on_silence=lambda: None,
            )  # fmt: skip
            assert answers == [Scraped((ScrapeEntry(1, 2, 3),))]

    run(story())


# -- two families ------------------------------------------------------------------------------------


def test_both_families_are_asked_and_their_answers_joined(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_trackers, "OTHER_FAMILY_SECONDS", PATIENCE)

    async def story() -> None:
        async with ScriptedTracker("127.0.0.1", 600).open() as v4, ScriptedTracker("::1", 900).open() as v6:
            answer = await Client().announce(v4.address, v6.address)
            assert answer == AnnounceResponse(
                900, complete=900, incomplete=2, peers_v4=PEER_V4, peers_v6=PEER_V6
            )

    run(story())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("silent", [0, 1])
def test_a_family_that_is_silent_does_not_hold_up_the_other(silent: int) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1").open() as v4, ScriptedTracker("::1").open() as v6:
            (v4, v6)[silent].is_silent = True
            answer = await Client(tries=WHOLE_LADDER).announce(v4.address, v6.address)
            assert isinstance(answer, AnnounceResponse)
            assert (answer.peers_v4, answer.peers_v6) == ((b"", PEER_V6), (PEER_V4, b""))[silent]

    asyncio.run(story())


def test_a_family_that_is_refused_or_absent_does_not_spoil_the_other(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1").open() as v4, ScriptedTracker("::1").open() as v6:
            v6.refusal = "IPv4 only"
            for other in (v6.address, nobody_at("::1")):
                answer = await Client().announce(v4.address, other)
                assert isinstance(answer, AnnounceResponse) and answer.peers_v4 == PEER_V4

    run(story())


# -- what goes wrong ---------------------------------------------------------------------------------


def test_the_trackers_word_is_a_failure(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1", refusal="not today").open() as tracker:
            assert await Client().announce(tracker.address, nobody_at("::1")) == TrackerFailure("not today")

    run(story())


@pytest.mark.parametrize("host", HOSTS)
def test_where_nobody_listens_it_is_said_at_once(host: str, run: Callable[..., None]) -> None:
    async def story() -> None:
        with pytest.raises(NetworkError, match=rf"^{NAME}: cannot connect$"):
            await Client(tries=WHOLE_LADDER).announce(nobody_at(host))

    run(story())


@pytest.mark.usefixtures("impatient")
def test_no_answer_in_time_is_an_error_and_each_silence_before_it_is_told(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1", is_silent=True).open() as tracker:
            client = Client(tries=3)
            with pytest.raises(NetworkError, match=rf"^{NAME}: no answer in time$"):
                await client.announce(tracker.address)
            assert client.silences == 2
            async with asyncio.timeout(PATIENCE):
                while len(tracker.heard) < 3:  # noqa: ASYNC110 - the last may still be in its socket
                    await asyncio.sleep(0.001)
            assert tracker.heard == [Action.CONNECT] * 3

    run(story())


@pytest.mark.usefixtures("impatient")
def test_a_tracker_that_wakes_up_is_asked_by_the_next_retransmission() -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1", is_silent=True).open() as tracker:
            client = Client(tries=WHOLE_LADDER)
            asking = asyncio.ensure_future(client.announce(tracker.address))
            while len(tracker.heard) < 2:  # noqa: ASYNC110 - only the loop can say
                await asyncio.sleep(0.001)
            tracker.is_silent = False
            assert isinstance(await asking, AnnounceResponse)

    asyncio.run(story())


def test_a_bad_answer_is_named(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1", tail=b"x").open() as tracker:
            with pytest.raises(FormatError, match=f"^{NAME} sent a bad answer: peers of 7 bytes"):
                await Client().announce(tracker.address)

    run(story())


def test_a_flood_of_nonsense_neither_answers_nor_stops_the_loop(run: Callable[..., None]) -> None:
    turns = 0

    def flood(tracker: ScriptedTracker, transaction_id: bytes, sender: SocketAddress) -> None:
        for number in range(100):
            tracker.sock.sendto(encode_connected(number.to_bytes(4, "little"), b"nonsense"), sender)
            tracker.sock.sendto(transaction_id[:3], sender)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def story() -> None:
        async with ScriptedTracker("127.0.0.1", before=flood).open() as tracker:
            counting = asyncio.ensure_future(count_turns())
            assert isinstance(await Client().announce(tracker.address), AnnounceResponse)
            counting.cancel()
            assert tracker.heard == [Action.CONNECT, Action.ANNOUNCE]
            assert turns >= 400

    run(story())


def test_only_the_tracker_itself_can_answer(run: Callable[..., None]) -> None:
    def forge(tracker: ScriptedTracker, transaction_id: bytes, sender: SocketAddress) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
            forger.sendto(encode_error(transaction_id, "forged"), sender)

    async def story() -> None:
        async with ScriptedTracker("127.0.0.1", before=forge).open() as tracker:
            assert isinstance(await Client().announce(tracker.address), AnnounceResponse)

    run(story())


def test_who_is_cancelled_leaves_no_socket_open(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1", is_silent=True).open() as tracker:
            asking = asyncio.ensure_future(Client(tries=WHOLE_LADDER).announce(tracker.address))
            while not tracker.heard:  # noqa: ASYNC110 - only the loop can say
                await asyncio.sleep(0.001)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            (port,) = (sender[1] for sender in tracker.senders)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as same:
                same.bind(("0.0.0.0", port))

    run(story())


# -- binding, and connections that are there already -------------------------------------------------


def test_a_bound_client_asks_from_its_address(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1").open() as tracker:
            for bind, host in (("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1")):
                await Client(bind=bind).announce(tracker.address)
                assert tracker.senders[-1][0] == host

    run(story())


def test_an_address_that_is_not_ours_cannot_be_bound_to(run: Callable[..., None]) -> None:
    async def story() -> None:
        with pytest.raises(NetworkError, match="address given to --bind is not this machine's"):
            await Client(bind="192.0.2.1").announce(nobody_at("127.0.0.1"))

    run(story())


def test_a_connection_serves_every_announce_of_its_minute(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1").open() as tracker:
            client = Client()
            for _ in range(3):
                assert isinstance(await client.announce(tracker.address), AnnounceResponse)
            assert tracker.heard == [Action.CONNECT, *[Action.ANNOUNCE] * 3]

    run(story())


def test_a_tracker_that_forgot_its_connections_is_connected_to_again(run: Callable[..., None]) -> None:
    async def story() -> None:
        async with ScriptedTracker("127.0.0.1").open() as tracker:
            client = Client()
            await client.announce(tracker.address)
            tracker.connection_id = b"restart!"
            assert isinstance(await client.announce(tracker.address), AnnounceResponse)
            assert isinstance(await client.announce(tracker.address), AnnounceResponse)
            assert tracker.heard[2:] == [Action.ANNOUNCE, Action.CONNECT, Action.ANNOUNCE, Action.ANNOUNCE]

    run(story())
