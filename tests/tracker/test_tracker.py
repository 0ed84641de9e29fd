"""A tracker without its doors: who is let in, what is counted, and that it can be replaced over a shared store."""

from __future__ import annotations

import asyncio
import random
from asyncio import Future

from shoal.protocol.tracker.messages import (
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeEntry,
    ScrapeResponse,
    TrackerFailure,
)
from shoal.tracker.decision import AWAY_WARNING, NO_KEY, NOT_SERVED, Policy
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.redis_store import RedisStore
from shoal.tracker.soon import Soon, known, later
from shoal.tracker.store import Entries, ListedPeer, StoreCounts, SwarmView, Trouble, Visit
from shoal.tracker.tracker import Counters, Tracker

from .redis_server import RedisServer
from .stores import HASH, OTHER_HASH, records

HOST = bytes([192, 0, 2, 7])
OTHER_HOST = bytes([192, 0, 2, 8])
EVERYBODY = Policy()
PEERS = 40


def request(**changes: object) -> AnnounceRequest:
    fields = {"info_hash": HASH, "peer_id": b"p" * 20, "port": 0x1AE1, "left": 10, **changes}
    return AnnounceRequest(**fields)  # type: ignore[arg-type]


class LateStore:
    """Answers when the test says so, and what it says."""

    def __init__(self) -> None:
        self.asked: list[Future[object]] = []

    def _ask(self) -> Future[object]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return self.asked[-1]

    def visit(self, visit: Visit, now: float) -> Soon[SwarmView | Trouble]:
        return self._ask()  # type: ignore[return-value]

    def scrape(self, info_hashes: list[bytes], now: float) -> Soon[Entries | Trouble]:
        return self._ask()  # type: ignore[return-value]

    def expire(self, now: float) -> None:
        raise AssertionError("nobody was to keep house")

    def count(self, now: float) -> Soon[StoreCounts | Trouble]:
        return Trouble.AWAY

    def list_peers(self, most: int, now: float) -> Soon[list[ListedPeer] | Trouble]:
        return Trouble.AWAY

    async def close(self) -> None:
        pass


def new_tracker(policy: Policy = EVERYBODY, **parts: object) -> Tracker:
    return Tracker(policy, rng=random.Random(1), clock=lambda: 0.0, **parts)  # type: ignore[arg-type]


async def told(answer: Soon[AnnounceResponse | TrackerFailure]) -> AnnounceResponse:
    """An answer that is no failure, whenever it comes."""
    response = await known(answer)
    assert isinstance(response, AnnounceResponse)
    return response


# -- with a store in this process ---------------------------------------------------------------------


def test_peers_of_one_swarm_hear_of_each_other_at_once() -> None:
    tracker = new_tracker()
    tracker.announce(request(left=0), HOST, b"", 0)
    response = tracker.announce(request(), OTHER_HOST, b"", 0)
    assert isinstance(response, AnnounceResponse)
    assert (response.complete, response.incomplete, response.peers_v4) == (1, 1, HOST + b"\x1a\xe1")
    assert response.external_ip == OTHER_HOST


def test_a_tracker_counts_what_it_is_asked() -> None:
    tracker = new_tracker(Policy(only={HASH}))
    tracker.announce(request(), HOST, b"", 0)
    assert tracker.announce(request(info_hash=OTHER_HASH), HOST, b"", 0) is NOT_SERVED
    tracker.scrape([HASH], b"", 0)
    tracker.scrape([], b"", 0)
    assert tracker.counters == Counters(announces=2, scrapes=2, refusals=2, store_errors=0)


def test_who_is_refused_is_not_listed() -> None:
    tracker = new_tracker(Policy(passkeys={b"k1": "anna"}))
    assert tracker.announce(request(), HOST, b"", 0) is NO_KEY
    assert tracker.store.count(0) == StoreCounts(0, 0, 0)
    tracker.announce(request(), HOST, b"k1", 0)
    assert tracker.store.count(0) == StoreCounts(1, 0, 1)


def test_a_full_store_is_a_refusal() -> None:
    tracker = new_tracker(store=MemoryStore(100.0, random.Random(1), max_peers=0))
    response = tracker.announce(request(), HOST, b"", 0)
    assert isinstance(response, TrackerFailure) and response.reason == "this tracker is full"
    assert tracker.counters == Counters(announces=1, refusals=1)


def test_whoever_keeps_the_accounts_is_told_of_those_who_were_let_in() -> None:
    told: list[tuple[int, bytes, str]] = []
    tracker = new_tracker(
        Policy(passkeys={b"k1": "anna"}, only={HASH}),
        on_announce=lambda request, host, owner: told.append((request.left, host, owner)),
    )
    tracker.announce(request(left=1), HOST, b"", 0)
    tracker.announce(request(left=2, info_hash=OTHER_HASH), HOST, b"k1", 0)
    tracker.announce(request(left=3), HOST, b"k1", 0)
    assert told == [(3, HOST, "anna")]


def test_a_tracker_without_keys_tells_of_nobodys() -> None:
    told: list[str] = []
    tracker = new_tracker(on_announce=lambda request, host, owner: told.append(owner))
    tracker.announce(request(), HOST, b"stray", 0)
    assert told == [""]


def test_a_scrape_tells_of_what_is_served() -> None:
    tracker = new_tracker(Policy(only={HASH}))
    tracker.announce(request(left=0), HOST, b"", 0)
    assert tracker.scrape([HASH, OTHER_HASH], b"", 0) == ScrapeResponse({HASH: ScrapeEntry(1, 0, 0)})
    assert tracker.scrape([OTHER_HASH], b"", 0) == ScrapeResponse({})


def test_a_scrape_of_everything_is_refused() -> None:
    assert new_tracker().scrape([], b"", 0) == TrackerFailure("name the info hashes to scrape")


def test_a_scrape_of_a_private_tracker_wants_a_key() -> None:
    tracker = new_tracker(Policy(passkeys={b"k1": "anna"}))
    assert tracker.scrape([HASH], b"", 0) is NO_KEY
    assert tracker.scrape([HASH], b"k1", 0) == ScrapeResponse({})


def test_keeping_house_forgets_who_is_silent() -> None:
    now = 0.0
    tracker = Tracker(Policy(interval=100), rng=random.Random(1), clock=lambda: now)
    tracker.announce(request(), HOST, b"", 0)
    now = 300.0
    tracker.keep_house()
    assert tracker.store.count(300) == StoreCounts(0, 0, 0)


# -- with a store that lives elsewhere ----------------------------------------------------------------


def test_an_answer_comes_when_the_store_has_one() -> None:
    async def story() -> None:
        store = LateStore()
        tracker = new_tracker(store=store)
        answer = tracker.announce(request(), HOST, b"", 0)
        assert isinstance(answer, Future) and not answer.done()
        store.asked[0].set_result(SwarmView(2, 3, b"peers!"))
        response = await told(answer)
        assert (response.complete, response.incomplete, response.peers_v4) == (2, 3, b"peers!")
        assert response.external_ip == HOST

    asyncio.run(story())


def test_a_store_that_is_away_is_counted_and_its_askers_are_answered() -> None:
    async def story() -> None:
        store = LateStore()
        tracker = new_tracker(store=store)
        announced, scraped = tracker.announce(request(), HOST, b"", 0), tracker.scrape([HASH], b"", 0)
        for asked in store.asked:
            asked.set_result(Trouble.AWAY)
        assert (await told(announced)).warning == AWAY_WARNING
        assert isinstance(scraped, Future)
        failure = await scraped
        assert isinstance(failure, TrackerFailure) and failure.reason == AWAY_WARNING
        assert tracker.counters == Counters(announces=1, scrapes=1, refusals=0, store_errors=2)

    asyncio.run(story())


def test_who_no_longer_waits_for_an_answer_troubles_nobody() -> None:
    async def story() -> None:
        first: Future[int] = asyncio.get_running_loop().create_future()
        second, third = later(first, str), later(first, str)
        second.cancel()
        first.set_result(7)
        assert await known(third) == "7" and second.cancelled()

    asyncio.run(story())


# -- a restart ----------------------------------------------------------------------------------------


def test_a_tracker_that_takes_the_place_of_another_knows_all_of_its_peers(
    redis_server: RedisServer,
) -> None:
    """Two trackers over one Redis; one is dropped without a word, and a new one made."""

    def new_shared() -> Tracker:
        policy = Policy()
        return new_tracker(policy, store=RedisStore(redis_server.url, policy.peer_lifetime))

    async def story() -> None:
        first, second = new_shared(), new_shared()
        for number in range(PEERS):
            tracker = first if number % 2 else second
            host = bytes([192, 0, 2, number])
            await told(tracker.announce(request(left=number % 4), host, b"", 0))
        await first.store.close()
        third = new_shared()
        for tracker in (second, third):
            response = await told(tracker.announce(request(numwant=100), bytes([192, 0, 2, 0]), b"", 0))
            listed = {record[3] for record in records(response.peers_v4)}
            assert listed == set(range(1, PEERS))
            assert (response.complete, response.incomplete) == (PEERS // 4 - 1, 31)
        stopped = request(event=Event.STOPPED, left=1)
        await told(third.announce(stopped, bytes([192, 0, 2, 1]), b"", 0))
        response = await told(second.announce(request(numwant=100), bytes([192, 0, 2, 0]), b"", 0))
        assert 1 not in {record[3] for record in records(response.peers_v4)}
        for tracker in (second, third):
            await tracker.store.close()

    asyncio.run(story())
