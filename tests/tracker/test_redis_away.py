"""A Redis that is away, hangs, starts again, forgets, or wants a password: everybody is answered, and it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator

import pytest

from shoal.protocol.tracker.messages import ScrapeEntry
from shoal.tracker import redis_link
from shoal.tracker.redis_link import MAX_WAITING
from shoal.tracker.redis_store import RedisStore
from shoal.tracker.soon import known
from shoal.tracker.store import StoreCounts, SwarmView, Trouble

from ..peers.processes import Pen, free_port
from ..peers.programs import HOST
from .redis_server import RedisServer
from .stores import HASH, LIFETIME, OTHER_HASH, gone, leeching, seeding, v4
from .test_redis_store import PASSWORD, until, visited

pytestmark = pytest.mark.usefixtures("patient")

A_MOMENT = 0.3  # seconds, for an answer that never comes


@contextlib.asynccontextmanager
async def store_on(url: str) -> AsyncIterator[tuple[RedisStore, list[str]]]:
    """A store, and the lines it says of its Redis."""
    said: list[str] = []
    store = RedisStore(url, LIFETIME, on_change=said.append)
    try:
        yield store, said
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def impostor(answer: bytes) -> AsyncIterator[str]:
    """Listens where a Redis should, and gives the same answer to everything; the URL."""
    writers: list[StreamWriter] = []

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                writer.write(answer)

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"redis://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()


async def visit(store: RedisStore) -> SwarmView | Trouble:
    return await known(store.visit(leeching(v4(1)), 0))


@contextlib.contextmanager
def impatience() -> Iterator[None]:
    """Nobody who is asked meanwhile answers, or need do so in time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_link, "ANSWER_SECONDS", A_MOMENT)
        yield


def is_away_at_once(store: RedisStore) -> bool:
    """Whether nobody is asked and nothing is waited for."""
    return store.visit(leeching(v4(1)), 0) is Trouble.AWAY


async def wait_back(store: RedisStore) -> None:
    async def is_back() -> bool:
        return isinstance(await known(store.visit(gone(v4(9999)), 0)), SwarmView)

    await until(is_back)


# -- away ---------------------------------------------------------------------------------------------


def test_while_nothing_listens_every_question_is_away_at_once() -> None:
    async def story() -> None:
        port = free_port()
        async with store_on(f"redis://{HOST}:{port}") as (store, said):
            assert await visit(store) is Trouble.AWAY
            assert is_away_at_once(store)
            assert await known(store.scrape([HASH], 0)) is Trouble.AWAY
            assert await known(store.count(0)) is Trouble.AWAY
            assert await known(store.list_peers(5, 0)) is Trouble.AWAY
            store.expire(0)
            assert said == [f"redis at {HOST}:{port} is away: it cannot be reached"]

    asyncio.run(story())


def test_one_that_accepts_and_never_answers_is_waited_for_once() -> None:
    async def story() -> None:
        async with impostor(b"") as url, store_on(url) as (store, said):
            with impatience():
                crowd = [store.visit(leeching(v4(number)), 0) for number in range(MAX_WAITING * 2)]
            answers = [await known(answer) for answer in crowd]
            assert set(answers) == {Trouble.AWAY}
            assert is_away_at_once(store)
            assert said == [f"{url.replace('://', ' at ')} is away: it does not answer"]

    asyncio.run(story())


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR no\r\n", b":1\r\n", b"*-7\r\n\xff"]
)
def test_one_that_talks_nonsense_is_as_good_as_away(answer: bytes) -> None:
    async def story() -> None:
        async with impostor(answer) as url, store_on(url) as (store, said):
            with impatience():
                for _ in range(5):
                    assert await visit(store) is Trouble.AWAY
            assert len(said) == 1

    asyncio.run(story())


def test_closing_answers_those_who_still_wait() -> None:
    async def story() -> None:
        async with impostor(b"") as url:
            store = RedisStore(url, LIFETIME)
            answers = [store.visit(leeching(v4(number)), 0) for number in range(1000)]
            await asyncio.sleep(0)
            await store.close()
            assert [await known(answer) for answer in answers] == [Trouble.AWAY] * 1000
            assert store.visit(leeching(v4(1)), 0) is Trouble.AWAY

    asyncio.run(story())


# -- and back -----------------------------------------------------------------------------------------


def test_after_kill_9_and_a_restart_nothing_is_lost(pen: Pen) -> None:
    server = RedisServer(pen, "--appendonly", "yes", "--appendfsync", "always")

    async def story() -> None:
        async with store_on(server.url) as (store, said):
            for number in range(50):
                await visited(store, leeching(v4(number)))
            await visited(store, seeding(v4(50), completed=True))
            server.kill()
            assert await visit(store) is Trouble.AWAY
            assert is_away_at_once(store)
            server.start()
            await wait_back(store)
            view = await visited(store, seeding(v4(50), 100))
            assert (view.complete, view.incomplete, len(view.peers_v4)) == (1, 50, 50 * 6)
            assert await known(store.scrape([HASH], 0)) == {HASH: ScrapeEntry(1, 50, 1)}
            assert await known(store.count(0)) == StoreCounts(1, 1, 50)
            away, back = said
            assert away.startswith(f"redis at {HOST}:{server.port} is away: ")
            assert back == f"redis at {HOST}:{server.port} is back"

    asyncio.run(story())


def test_questions_under_way_when_it_dies_are_answered(pen: Pen) -> None:
    server = RedisServer(pen)

    async def story() -> None:
        async with store_on(server.url) as (store, _):
            assert await known(store.count(0)) == StoreCounts(0, 0, 0)
            server.running.process.send_signal(signal.SIGSTOP)
            answers = [store.visit(leeching(v4(number)), 0) for number in range(3000)]
            await asyncio.sleep(0)
            server.kill()
            assert {await known(answer) for answer in answers} == {Trouble.AWAY}
            server.start()
            await wait_back(store)
            assert (await visited(store, leeching(v4(1)))).incomplete == 1

    asyncio.run(story())


def test_one_that_hangs_for_a_while_is_away_and_comes_back(pen: Pen) -> None:
    server = RedisServer(pen)

    async def story() -> None:
        async with store_on(server.url) as (store, said):
            await visited(store, leeching(v4(1)))
            server.running.process.send_signal(signal.SIGSTOP)
            try:
                with impatience():
                    assert await visit(store) is Trouble.AWAY
                assert is_away_at_once(store)
            finally:
                server.running.process.send_signal(signal.SIGCONT)
            await wait_back(store)
            assert (await visited(store, leeching(v4(2)))).peers_v4 == v4(1)
            assert [line.split(" is ")[1] for line in said] == ["away: it does not answer", "back"]

    asyncio.run(story())


@pytest.mark.parametrize("trouble", ["SCRIPT FLUSH", "FLUSHALL", "CLIENT KILL TYPE normal"])
def test_what_others_do_to_it_is_lived_through(redis_server: RedisServer, trouble: str) -> None:
    async def story() -> None:
        async with store_on(redis_server.url) as (store, said):
            await visited(store, leeching(v4(1)))
            with redis_server.console() as console:
                console.execute_command(*trouble.split())
            if "KILL" in trouble:
                await wait_back(store)
            view = await visited(store, leeching(v4(2)))
            assert view.peers_v4 == (b"" if trouble == "FLUSHALL" else v4(1))
            assert await known(store.count(0)) == StoreCounts(1, 0, view.incomplete)
            if trouble != "CLIENT KILL TYPE normal":
                assert said == []

    asyncio.run(story())


def test_one_without_memory_serves_those_who_are_here_and_is_full_for_others(pen: Pen) -> None:
    server = RedisServer(pen)

    async def story() -> None:
        async with store_on(server.url) as (store, said):
            for number in (1, 2):
                await visited(store, leeching(v4(number)))
            with server.console() as console:
                console.config_set("maxmemory", "1")
                assert await known(store.visit(leeching(v4(3)), 0)) is Trouble.FULL
                assert await known(store.visit(leeching(v4(1), info_hash=OTHER_HASH), 0)) is Trouble.FULL
                assert await visited(store, seeding(v4(1))) == SwarmView(1, 1, v4(2))
                store.expire(0)
                await visited(store, gone(v4(2)))
                assert await known(store.count(0)) == StoreCounts(1, 1, 0)
                console.config_set("maxmemory", "0")
            assert await visited(store, leeching(v4(3))) == SwarmView(1, 1, v4(1))
            assert said == []

    asyncio.run(story())


def test_a_replica_that_takes_no_changes_is_away(pen: Pen) -> None:
    server = RedisServer(pen, "--replicaof", HOST, str(free_port()))

    async def story() -> None:
        async with store_on(server.url) as (store, said):
            assert await known(store.visit(leeching(v4(1)), 0)) is Trouble.AWAY
            assert said[0].endswith("it is a replica, which takes no changes")

    asyncio.run(story())


# -- secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "credentials", [":wr0ng-" + PASSWORD, "somebody:wr0ng-" + PASSWORD, ""], ids=["password", "user", "none"]
)
def test_a_wrong_password_is_told_without_it(
    pen: Pen, credentials: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(pen, "--requirepass", PASSWORD)
    caplog.set_level(logging.DEBUG)

    async def story() -> None:
        async with store_on(f"redis://{credentials}@{HOST}:{server.port}") as (store, said):
            assert await known(store.visit(leeching(v4(1)), 0)) is Trouble.AWAY
            reason = "it refuses the user name or the password"
            assert said == [f"redis at {HOST}:{server.port} is away: {reason}"]
            assert "wr0ng" not in caplog.text

    asyncio.run(story())


def test_the_right_password_is_let_in(pen: Pen) -> None:
    server = RedisServer(pen, "--requirepass", PASSWORD)

    async def story() -> None:
        async with store_on(f"redis://:{PASSWORD}@{HOST}:{server.port}") as (store, said):
            assert await visited(store, leeching(v4(1))) == SwarmView(0, 1)
            assert said == []

    asyncio.run(story())
