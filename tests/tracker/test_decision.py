from __future__ import annotations

import random

import pytest

from shoal.protocol.tracker.messages import (
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeEntry,
    ScrapeResponse,
    TrackerFailure,
)
from shoal.tracker.decision import MAX_NUMWANT, Policy, answer_announce, answer_scrape, plan_visit
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.store import Presence

HASH = b"h" * 20
HOST = bytes([192, 0, 2, 7])
HOST_V6 = bytes.fromhex("20010db8000000000000000000000007")


def request(**changes: object) -> AnnounceRequest:
    fields = {"info_hash": HASH, "peer_id": b"p" * 20, "port": 6881, "left": 10, **changes}
    return AnnounceRequest(**fields)  # type: ignore[arg-type]


def new_store(**limits: int) -> MemoryStore:
    return MemoryStore(1000.0, random.Random(1), **limits)


def answer(store: MemoryStore, policy: Policy, host: bytes = HOST, **changes: object) -> AnnounceResponse:
    answered = answer_announce(request(**changes), host, store, policy, 0.0, random.Random(1))
    assert isinstance(answered, AnnounceResponse)
    return answered


@pytest.mark.parametrize(
    ("changes", "presence"),
    [
        ({"left": 1}, Presence.LEECHING),
        ({"left": 0}, Presence.SEEDING),
        ({"left": 0, "event": Event.COMPLETED}, Presence.SEEDING),
        ({"left": 1, "event": Event.STOPPED}, Presence.GONE),
        ({"left": 1, "port": 0}, Presence.LOOKING),
        ({"port": 0, "event": Event.STOPPED}, Presence.GONE),
    ],
)
def test_a_request_tells_what_its_sender_is(changes: dict[str, object], presence: Presence) -> None:
    assert plan_visit(request(**changes), HOST).presence is presence


@pytest.mark.parametrize(("numwant", "wanted"), [(None, 50), (0, 0), (7, 7), (10**6, MAX_NUMWANT)])
def test_the_wish_for_peers_is_bounded(numwant: int | None, wanted: int) -> None:
    assert plan_visit(request(numwant=numwant), HOST).wanted_count == wanted


def test_a_peer_is_known_by_the_address_of_its_socket() -> None:
    store = new_store()
    answer(store, Policy(), host=HOST, port=0x1234)
    answer(store, Policy(), host=HOST_V6, port=0x5678)
    told = answer(store, Policy(), host=bytes([192, 0, 2, 8]))
    assert (told.peers_v4, told.peers_v6) == (HOST + b"\x12\x34", HOST_V6 + b"\x56\x78")
    assert told.external_ip == bytes([192, 0, 2, 8])


def test_intervals_differ_a_little_from_peer_to_peer() -> None:
    store, policy, rng = new_store(), Policy(interval=1000), random.Random(2)
    intervals = []
    for _ in range(200):
        answered = answer_announce(request(), HOST, store, policy, 0.0, rng)
        assert isinstance(answered, AnnounceResponse) and answered.interval is not None
        assert answered.min_interval == 50
        intervals.append(answered.interval)
    assert 900 <= min(intervals) < 950 and 1050 < max(intervals) <= 1100


def test_a_peer_that_keeps_to_its_interval_is_never_forgotten() -> None:
    policy = Policy(interval=100)
    assert policy.peer_lifetime >= 2 * 110


def test_a_torrent_that_is_not_listed_is_refused() -> None:
    store, policy = new_store(), Policy(only={b"x" * 20})
    refusal = answer_announce(request(), HOST, store, policy, 0.0, random.Random(1))
    assert refusal == TrackerFailure("this tracker does not serve that torrent")
    assert store.counts().swarms == 0
    answer(store, policy, info_hash=b"x" * 20)
    assert answer_scrape([HASH, b"x" * 20], store, policy) == ScrapeResponse(
        {b"x" * 20: ScrapeEntry(0, 1, 0)}
    )


def test_a_full_tracker_says_so_and_when_to_come_back() -> None:
    refusal = answer_announce(request(), HOST, new_store(max_peers=0), Policy(), 0.0, random.Random(1))
    assert refusal == TrackerFailure("this tracker is full", retry_in=600)


def test_a_scrape_of_everything_is_refused() -> None:
    assert answer_scrape([], new_store(), Policy()) == TrackerFailure("name the info hashes to scrape")


def test_swarms_that_do_not_exist_are_left_out_of_a_scrape() -> None:
    assert answer_scrape([HASH], new_store(), Policy()) == ScrapeResponse({})
