"""Announcers at our own tracker on loopback: over HTTP and in datagrams, over IPv4 and IPv6."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import uvloop

from shoal.engine import announcer as announcer_module
from shoal.engine import asking
from shoal.engine.announcer import Announcer, Totals
from shoal.protocol.tracker import udp_exchange
from shoal.protocol.tracker.udp_exchange import Connections
from shoal.tracker.decision import Policy
from shoal.tracker.server import Doors, Serving, serve
from shoal.tracker.store import StoreCounts
from shoal.tracker.tracker import Tracker

HASH = bytes(range(236, 256))
PASSKEY = "0123456789abcdef0123456789abcdef"
PATIENCE = 60.0  # seconds; for a busy machine, loopback takes microseconds
EMPTY = StoreCounts(0, 0, 0)


@dataclass(slots=True)
class Crowd:
    """Announcers and what they heard."""

    found: list[tuple[str, int]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def announcer(
        self,
        *tiers: str,
        port: int,
        left: int,
        bind: str | None = None,
        connections: Connections | None = None,
    ) -> Announcer:
        return Announcer(
            [[url] for url in tiers],
            info_hash=HASH,
            peer_id=b"-XX0000-abcdefgh%04d" % port,
            port=port,
            totals=lambda: Totals(0, 0, left),
            on_peers=self.found.extend,
            on_message=self.messages.append,
            bind=bind,
            connections=connections,
        )


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - only the loop can say
            await asyncio.sleep(0.001)


def counts(tracker: Tracker) -> StoreCounts:
    counted = tracker.store.count(tracker.clock())
    assert isinstance(counted, StoreCounts)
    return counted


def in_datagrams(serving: Serving, path: str = "") -> str:
    return f"udp://{serving.url.removeprefix('http://')}{path}"


@dataclass(slots=True)
class Deaf:
    """A UDP tracker that receives everything and says nothing."""

    sock: socket.socket
    heard_count: int = 0

    @property
    def name(self) -> str:
        host, port = self.sock.getsockname()
        return f"{host}:{port}"

    def has_heard(self, count: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            while self.sock.recv(100):
                self.heard_count += 1
        return self.heard_count >= count


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        yield Deaf(sock)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder begins at 10 ms instead of 15 s, and nobody waits long for the last word."""
    monkeypatch.setattr(udp_exchange, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(announcer_module, "STOP_TIMEOUT", 0.05)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goodbyes are heard, however busy the machine is."""
    monkeypatch.setattr(announcer_module, "STOP_TIMEOUT", PATIENCE)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("scheme", ["http", "udp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
def test_two_announcers_find_each_other_through_our_tracker(
    host: str, scheme: str, run: Callable[..., None]
) -> None:
    async def story() -> None:
        crowd, tracker = Crowd(), Tracker(Policy(interval=60))
        async with (
            serve(tracker, doors=Doors(binds=(host,), port=0)) as serving,
            asyncio.TaskGroup() as tasks,
        ):
            url = serving.url if scheme == "http" else in_datagrams(serving)
            seed = crowd.announcer(url, port=1001, left=0, bind=host)
            leecher = crowd.announcer(url, port=1002, left=5, bind=host)
            tasks.create_task(seed.run())
            await until(lambda: counts(tracker).seeds == 1)
            tasks.create_task(leecher.run())
            await until(lambda: bool(crowd.found))
            assert crowd.found == [(host, 1001)]
            await seed.stop()
            assert counts(tracker).seeds == 0
            await leecher.stop()
            assert counts(tracker) == EMPTY
            (door,) = serving.udp
            assert door.counters.connects == (2 if scheme == "udp" else 0)
        assert crowd.messages == []

    run(story())


@pytest.mark.usefixtures("patient")
def test_torrents_of_one_engine_share_their_connections() -> None:
    async def story() -> None:
        crowd, tracker, connections = Crowd(), Tracker(), Connections()
        async with (
            serve(tracker, doors=Doors(binds=("127.0.0.1",), port=0)) as serving,
            asyncio.TaskGroup() as tasks,
        ):
            announcers = [
                crowd.announcer(in_datagrams(serving), port=port, left=5, connections=connections)
                for port in range(1001, 1004)
            ]
            for number, announcer in enumerate(announcers, 1):
                tasks.create_task(announcer.run())
                await until(lambda number=number: counts(tracker).leechers == number)  # type: ignore[misc]
            for announcer in announcers:
                await announcer.stop()
            (door,) = serving.udp
            assert (door.counters.connects, door.counters.answered) == (1, 7)

    asyncio.run(story())


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_a_private_tracker_knows_us_by_our_passkey_and_nobody_else_hears_of_it(scheme: str) -> None:
    async def story() -> None:
        policy = Policy(passkeys={PASSKEY.encode(): "anna"})
        crowd, tracker = Crowd(), Tracker(policy)
        async with (
            serve(tracker, doors=Doors(binds=("127.0.0.1",), port=0)) as serving,
            asyncio.TaskGroup() as tasks,
        ):
            base = f"{scheme}://127.0.0.1:{serving.port}"
            member = crowd.announcer(f"{base}/{PASSKEY}/announce", port=1001, left=5)
            stranger = crowd.announcer(f"{base}/{PASSKEY[::-1]}/announce", port=1002, left=5)
            tasks.create_task(member.run())
            await until(lambda: counts(tracker).leechers == 1)
            assert crowd.messages == []
            tasks.create_task(stranger.run())
            await until(lambda: bool(crowd.messages))
            name = base.removeprefix(f"{scheme}://")
            assert crowd.messages == [f"tracker {name} says: this passkey is not known here"]
            await member.stop()
            await stranger.stop()
            assert counts(tracker) == EMPTY

    asyncio.run(story())


@pytest.mark.usefixtures("patient")
def test_a_name_with_two_families_is_announced_to_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(_host: str, port: int, bind: str | None) -> list[tuple[object, ...]]:
        assert bind is None
        return [("127.0.0.1", port), ("::1", port, 0, 0)]

    monkeypatch.setattr(asking, "resolve", both)

    async def story() -> None:
        crowd, tracker = Crowd(), Tracker()
        async with (
            serve(tracker, doors=Doors(binds=("127.0.0.1", "::1"), port=0)) as serving,
            asyncio.TaskGroup() as tasks,
        ):
            url = f"udp://tracker.example:{serving.port}"
            seed, leecher = crowd.announcer(url, port=1001, left=0), crowd.announcer(url, port=1002, left=5)
            tasks.create_task(seed.run())
            await until(lambda: counts(tracker).seeds == 2)
            tasks.create_task(leecher.run())
            await until(lambda: bool(crowd.found))
            assert sorted(crowd.found) == [("127.0.0.1", 1001), ("::1", 1001)]
            await seed.stop()
            await leecher.stop()
            assert counts(tracker) == EMPTY

    asyncio.run(story())


# -- trackers that are dead --------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_a_silent_tracker_gives_way_to_the_next_tier_after_one_try(deaf: Deaf) -> None:
    async def story() -> None:
        crowd, tracker = Crowd(), Tracker()
        async with (
            serve(tracker, doors=Doors(binds=("127.0.0.1",), port=0)) as serving,
            asyncio.TaskGroup() as tasks,
        ):
            url = f"http://127.0.0.1:{serving.port}"
            announcer = crowd.announcer(f"udp://{deaf.name}", url, port=1001, left=5)
            tasks.create_task(announcer.run())
            await until(lambda: counts(tracker).leechers == 1)
            assert crowd.messages == [f"tracker {deaf.name}: no answer in time"]
            assert deaf.has_heard(1) and not deaf.has_heard(2)
            await announcer.stop()

    asyncio.run(story())


@pytest.mark.usefixtures("impatient")
def test_the_only_tracker_is_asked_on_and_its_silence_is_told_once(deaf: Deaf) -> None:
    async def story() -> None:
        crowd = Crowd()
        async with asyncio.TaskGroup() as tasks:
            announcer = crowd.announcer(f"udp://{deaf.name}", port=1001, left=5)
            tasks.create_task(announcer.run())
            await until(lambda: deaf.has_heard(4))
            await announcer.stop()
        assert crowd.messages == [f"tracker {deaf.name}: no answer in time"]

    asyncio.run(story())


def test_a_silent_tracker_does_not_hold_up_the_end(deaf: Deaf) -> None:
    async def story() -> None:
        announcer = Crowd().announcer(f"udp://{deaf.name}", port=1001, left=5)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(announcer.run())
            await until(lambda: deaf.has_heard(1))
            async with asyncio.timeout(announcer_module.STOP_TIMEOUT + 10):
                await announcer.stop()
        assert deaf.has_heard(2)

    asyncio.run(story())


def test_where_nobody_listens_and_what_is_no_host_is_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(_host: str, _port: int, _bind: str | None) -> list[tuple[object, ...]]:
        return []

    async def story() -> None:
        crowd = Crowd()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        async with asyncio.TaskGroup() as tasks:
            refused = crowd.announcer(f"udp://127.0.0.1:{port}/{PASSKEY}", port=1001, left=5)
            tasks.create_task(refused.run())
            await until(lambda: len(crowd.messages) == 1)
            monkeypatch.setattr(asking, "resolve", nowhere)
            unknown = crowd.announcer(f"udp://me:{PASSKEY}@tracker.example:1/{PASSKEY}", port=1001, left=5)
            tasks.create_task(unknown.run())
            await until(lambda: len(crowd.messages) == 2)
            assert crowd.messages == [
                f"tracker 127.0.0.1:{port}: cannot connect",
                "tracker tracker.example:1: no such host",
            ]
            await refused.stop()
            await unknown.stop()

    asyncio.run(story())
