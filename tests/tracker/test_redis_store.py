"""What is particular to the store in Redis: it is shared, it keeps its own time, and its sums are put right."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from asyncio import Future
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
import redis

from shoal.errors import UsageError
from shoal.protocol.tracker.messages import ScrapeEntry
from shoal.tracker.redis_link import MAX_BATCH, MAX_UNDER_WAY, MAX_WAITING
from shoal.tracker.redis_store import RedisStore
from shoal.tracker.soon import known
from shoal.tracker.store import PeerStore, StoreCounts, SwarmView, Trouble, Visit

from .redis_server import RedisServer
from .stores import HASH, LIFETIME, LIMIT, OTHER_HASH, gone, leeching, records, seeding, v4

pytestmark = pytest.mark.usefixtures("patient")

PASSWORD = "op3n-s3sam3"


async def visited(store: PeerStore, visit: Visit, now: float = 0) -> SwarmView:
    view = await known(store.visit(visit, now))
    assert isinstance(view, SwarmView)
    return view


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT):
        while not await is_so():  # noqa: ASYNC110 - another process has no event for us
            await asyncio.sleep(0.02)


async def wait_count(store: PeerStore, expected: StoreCounts, now: float = 0) -> None:
    async def is_counted() -> bool:
        store.expire(now)
        return await known(store.count(now)) == expected

    await until(is_counted)


def calls_of(console: redis.Redis, command: str) -> int:
    return int(console.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


# -- shared -------------------------------------------------------------------------------------------


def test_two_stores_on_one_redis_share_their_swarms(redis_server: RedisServer) -> None:
    async def story() -> None:
        one, other = RedisStore(redis_server.url, LIFETIME), RedisStore(redis_server.url, LIFETIME)
        await visited(one, seeding(v4(1), completed=True))
        assert await visited(other, leeching(v4(2))) == SwarmView(1, 1, v4(1))
        assert await visited(one, seeding(v4(1))) == SwarmView(1, 1, v4(2))
        await visited(other, gone(v4(1)))
        assert await visited(one, leeching(v4(3))) == SwarmView(0, 2, v4(2))
        assert await known(other.scrape([HASH], 0)) == {HASH: ScrapeEntry(0, 2, 1)}
        assert await known(other.count(0)) == StoreCounts(1, 0, 2)
        await one.close()
        await other.close()

    asyncio.run(story())


def test_many_trackers_at_once_agree_in_the_end(redis_server: RedisServer) -> None:
    async def story() -> None:
        stores = [RedisStore(redis_server.url, LIFETIME) for _ in range(5)]

        async def use(number: int) -> None:
            store = stores[number % 5]
            for info_hash in (HASH, OTHER_HASH):
                await visited(store, leeching(v4(number), info_hash=info_hash))
                await visited(stores[(number + 1) % 5], seeding(v4(number), info_hash=info_hash))
            if number % 3 == 0:
                await visited(store, gone(v4(number)))

        await asyncio.gather(*(use(number) for number in range(300)))
        for store in stores:
            assert await known(store.count(0)) == StoreCounts(2, 500, 0)
            assert (await visited(store, leeching(v4(999), 1000))).complete == 200
            await visited(store, gone(v4(999)))
            await store.close()

    asyncio.run(story())


def test_a_database_of_its_own_may_be_named(redis_server: RedisServer) -> None:
    async def story() -> None:
        one, other = (RedisStore(f"{redis_server.url}/{number}", LIFETIME) for number in (0, 3))
        await visited(one, leeching(v4(1)))
        assert await visited(other, leeching(v4(2))) == SwarmView(0, 1)
        await one.close()
        await other.close()

    asyncio.run(story())


# -- calls --------------------------------------------------------------------------------------------


def test_questions_of_one_turn_are_one_call_and_answered_each_with_its_own(redis_server: RedisServer) -> None:
    async def story() -> None:
        store = RedisStore(redis_server.url, LIFETIME)
        hashes = [bytes([number]) * 20 for number in range(100)]
        await visited(store, leeching(v4(0)))
        with redis_server.console() as console:
            before = calls_of(console, "evalsha")
            answers = [
                store.visit(leeching(v4(n), info_hash=info_hash), 0) for n, info_hash in enumerate(hashes)
            ]
            scraped = store.scrape([hashes[3], b"x" * 20, hashes[4]], 0)
            again = [store.visit(leeching(v4(500), info_hash=info_hash), 0) for info_hash in hashes]
            assert [await known(answer) for answer in answers] == [SwarmView(0, 1)] * 100
            assert await known(scraped) == {hash_: ScrapeEntry(0, 1, 0) for hash_ in (hashes[3], hashes[4])}
            assert [await known(answer) for answer in again] == [SwarmView(0, 2, v4(n)) for n in range(100)]
            assert calls_of(console, "evalsha") - before == 1
        await store.close()

    asyncio.run(story())


def test_more_than_can_wait_is_away_at_once_and_the_others_are_answered(redis_server: RedisServer) -> None:
    async def story() -> None:
        store = RedisStore(redis_server.url, LIFETIME)
        with redis_server.console() as console:
            before = calls_of(console, "evalsha")
        answers = [store.visit(leeching(v4(number), 5), 0) for number in range(MAX_WAITING + 100)]
        at_once = [answer for answer in answers if not isinstance(answer, Future)]
        assert at_once == [Trouble.AWAY] * 100
        views = [await known(answer) for answer in answers[:MAX_WAITING]]
        told = Counter(len(records(view.peers_v4)) for view in views if isinstance(view, SwarmView))
        assert told == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: MAX_WAITING - 5}  # calls may overtake each other
        with redis_server.console() as console:

            async def have_the_others_gone() -> bool:
                return bool(console.info("clients")["connected_clients"] <= MAX_UNDER_WAY + 1)

            await until(have_the_others_gone)
            assert calls_of(console, "evalsha") - before >= MAX_WAITING / MAX_BATCH
        await store.close()

    asyncio.run(story())


def test_a_long_scrape_is_answered_whole(redis_server: RedisServer) -> None:
    async def story() -> None:
        store = RedisStore(redis_server.url, LIFETIME)
        hashes = [number.to_bytes(20, "big") for number in range(MAX_BATCH * 3)]
        for info_hash in hashes[:3]:
            await visited(store, seeding(v4(1), info_hash=info_hash))
        assert await known(store.scrape(hashes, 0)) == {one: ScrapeEntry(1, 0, 0) for one in hashes[:3]}
        await store.close()

    asyncio.run(story())


# -- time and sums ------------------------------------------------------------------------------------


def test_it_is_the_clock_of_redis_that_counts(redis_server: RedisServer) -> None:
    async def story() -> None:
        ahead, behind = RedisStore(redis_server.url, LIFETIME), RedisStore(redis_server.url, LIFETIME)
        brief = RedisStore(redis_server.url, 2.0)
        await visited(ahead, leeching(v4(1)), now=1e9)
        assert await visited(behind, seeding(v4(2)), now=5) == SwarmView(1, 1, v4(1))
        started = time.monotonic()
        await visited(brief, leeching(v4(1)), now=1e9)

        async def is_forgotten() -> bool:
            return (await visited(ahead, seeding(v4(2)), now=1e9)).incomplete == 0

        await until(is_forgotten)
        assert time.monotonic() - started > 1.8
        await brief.close()
        await ahead.close()
        await behind.close()

    asyncio.run(story())


def test_redis_forgets_by_itself_what_nobody_asks_for(redis_server: RedisServer) -> None:
    async def story() -> None:
        store = RedisStore(redis_server.url, LIFETIME)
        for number in range(200):
            await visited(store, seeding(v4(number), completed=True))
        await visited(store, leeching(v4(1), info_hash=OTHER_HASH))
        await store.close()

    asyncio.run(story())
    with redis_server.console() as console:
        keys = console.keys()
        assert len(keys) == 6  # two swarms, a pool each, the list of swarms, the totals
        assert all(0 < console.ttl(key) < 4 * LIFETIME for key in keys)


def test_swarms_that_fell_silent_are_counted_out_slice_by_slice(redis_server: RedisServer) -> None:
    async def story() -> None:
        store = RedisStore(redis_server.url, LIFETIME, keeps_time=False)
        for number in range(250):  # three slices
            come = 100 if number % 5 == 0 else 0
            await visited(store, seeding(v4(1), info_hash=number.to_bytes(1, "big") * 20), come)
        assert await known(store.count(100)) == StoreCounts(250, 250, 0)
        late, seen = LIFETIME + 2, []
        while (count := await known(store.count(late))) != StoreCounts(50, 50, 0):
            seen.append(count)
            late += 1
            store.expire(late)
            assert late < LIFETIME + 50
        assert len(set(seen)) >= 3
        with redis_server.console() as console:
            assert console.zcard("shoal1:swarms") == 50 and len(console.keys()) == 50 * 2 + 2
        await store.close()

    asyncio.run(story())


def test_the_sums_stay_right_while_they_are_counted_anew(redis_server: RedisServer) -> None:
    """Swarms come, grow and go on either side of where the recount has come to."""

    async def story() -> None:
        store = RedisStore(redis_server.url, 10_000.0, keeps_time=False)
        for number in range(0, 250, 2):
            await visited(store, leeching(v4(1), info_hash=bytes([number]) * 20), 0)
        for now in range(1, 40):
            for number in (now * 7 % 250, now * 61 % 250, now * 101 % 250):
                info_hash = bytes([number]) * 20
                visits = (seeding(v4(now), info_hash=info_hash), gone(v4(1), info_hash=info_hash))
                await visited(store, visits[now % 2], now)
            store.expire(now)
            listed = await known(store.list_peers(1000, now))
            assert isinstance(listed, list)
            seeds, swarms = sum(peer.is_seed for peer in listed), len({peer.info_hash for peer in listed})
            assert await known(store.count(now)) == StoreCounts(swarms, seeds, len(listed) - seeds)
        await store.close()

    asyncio.run(story())


def test_what_redis_lost_is_counted_out(redis_server: RedisServer) -> None:
    async def story() -> None:
        store = RedisStore(redis_server.url, LIFETIME, keeps_time=False)
        for number in range(20):
            await visited(store, seeding(v4(number), info_hash=bytes([number]) * 20), 0)
        with redis_server.console() as console:
            lost = [key for key in console.scan_iter() if key[-1] < 5]
            assert console.delete(*lost) == 10
        await wait_count(store, StoreCounts(15, 15, 0), 10)
        await store.close()

    asyncio.run(story())


def test_a_recount_of_many_swarms_goes_on_by_itself_until_it_has_kept_its_pace(
    redis_server: RedisServer,
) -> None:
    async def story() -> None:
        store = RedisStore(redis_server.url, LIFETIME, keeps_time=False)
        hashes = [number.to_bytes(20, "big") for number in range(30_000)]  # 1,000 a second, in two steps
        for start in range(0, len(hashes), 3000):
            visits = [store.visit(leeching(v4(1), info_hash=one), 0) for one in hashes[start : start + 3000]]
            assert all([isinstance(await known(answer), SwarmView) for answer in visits])
        store.expire(100)
        with redis_server.console() as console:

            async def is_far_enough() -> bool:
                await known(store.count(100))
                return bool(console.hget("shoal1:totals", "cursor") == hashes[999])

            await until(is_far_enough)
        await store.close()

    asyncio.run(story())


def test_a_clock_that_is_set_back_does_not_end_the_recount(redis_server: RedisServer) -> None:
    async def story() -> None:
        store = RedisStore(redis_server.url, LIFETIME, keeps_time=False)
        await wait_count(store, StoreCounts(0, 0, 0), 5000)
        await visited(store, seeding(v4(1)), 0)
        with redis_server.console() as console:
            console.hset("shoal1:totals", "seeds", 77)
        await wait_count(store, StoreCounts(1, 1, 0), 10)
        await store.close()

    asyncio.run(story())


def test_one_turn_of_keeping_house_is_enough_for_all_trackers(redis_server: RedisServer) -> None:
    """However many keep house in a second, one slice of the recount is done."""

    async def story() -> None:
        stores = [RedisStore(redis_server.url, LIFETIME, keeps_time=False) for _ in range(4)]
        for number in range(250):
            await visited(stores[0], seeding(v4(1), info_hash=bytes([number]) * 20), 0)
        with redis_server.console() as console:
            for store in stores:
                store.expire(10)
                await known(store.count(10))
            assert console.hget("shoal1:totals", "cursor") == bytes([99]) * 20
        for store in stores:
            await store.close()

    asyncio.run(story())


# -- how it is made -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "memory",
        "http://somebody:" + PASSWORD + "@127.0.0.1/",
        "redis://:" + PASSWORD + "@127.0.0.1:many",
        "redis://:" + PASSWORD + "/x@127.0.0.1:6379",
        "redis://:" + PASSWORD + "@127.0.0.1:6379?colour=" + PASSWORD,
        "redis://:" + PASSWORD + "@127.0.0.1:6379?db=" + PASSWORD,
    ],
)
def test_a_url_that_leads_nowhere_is_a_wrong_option_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        RedisStore(url, LIFETIME)
    assert raised.value.message == "the URL of the store is none that leads to a Redis"
    assert PASSWORD not in raised.value.message + raised.value.hint
    assert raised.value.__cause__ is None and raised.value.__suppress_context__


def test_without_the_package_there_is_a_hint_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(UsageError) as raised:
        RedisStore("redis://127.0.0.1", LIFETIME)
    assert raised.value.hint == "pip install shoal[redis]"


def test_the_package_is_imported_only_when_such_a_store_is_made() -> None:
    script = "import sys; import shoal.tracker.redis_store, shoal.tracker.tracker; assert 'redis' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
