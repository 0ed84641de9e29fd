"""What every peer store must pass. Another store joins by another parameter of the `make_store` fixture."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.tracker.messages import ScrapeEntry
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.store import PeerStore, Presence, StoreCounts, StoreFullError, SwarmView, Visit

LIFETIME = 160.0
HASH = b"h" * 20
OTHER_HASH = b"o" * 20

StoreMaker = Callable[..., PeerStore]


def make_memory_store(seed: int = 1, **limits: int) -> PeerStore:
    return MemoryStore(LIFETIME, random.Random(seed), **limits)


@pytest.fixture(params=[make_memory_store], ids=["memory"])
def make_store(request: pytest.FixtureRequest) -> StoreMaker:
    maker: StoreMaker = request.param
    return maker


def v4(number: int) -> bytes:
    return bytes([10, 0, number >> 8, number & 255]) + b"\x1a\xe1"


def v6(number: int) -> bytes:
    return b"\xfd" + bytes(14) + bytes([number]) + b"\x1a\xe1"


def seeding(record: bytes, wanted: int = 50, *, completed: bool = False, info_hash: bytes = HASH) -> Visit:
    return Visit(info_hash, record, Presence.SEEDING, completed, wanted)


def leeching(record: bytes, wanted: int = 50, *, info_hash: bytes = HASH) -> Visit:
    return Visit(info_hash, record, Presence.LEECHING, False, wanted)


def gone(record: bytes) -> Visit:
    return Visit(HASH, record, Presence.GONE)


def records(packed: bytes, length: int = 6) -> list[bytes]:
    assert len(packed) % length == 0
    return [packed[start : start + length] for start in range(0, len(packed), length)]


def test_a_leecher_hears_of_seeds_and_leechers_but_not_of_itself(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    store.visit(leeching(v4(2)), 0)
    view = store.visit(leeching(v4(3)), 0)
    assert sorted(records(view.peers_v4)) == [v4(1), v4(2)]
    assert (view.complete, view.incomplete) == (1, 2)


def test_a_seed_hears_of_leechers_only(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    store.visit(leeching(v4(2)), 0)
    assert store.visit(seeding(v4(3)), 0) == SwarmView(complete=2, incomplete=1, peers_v4=v4(2))


def test_swarms_know_nothing_of_one_another(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1), info_hash=OTHER_HASH), 0)
    assert store.visit(leeching(v4(2)), 0) == SwarmView(incomplete=1)


def test_both_families_are_told_the_own_one_first(make_store: StoreMaker) -> None:
    store = make_store()
    for number in range(3):
        store.visit(leeching(v4(number)), 0)
        store.visit(leeching(v6(number)), 0)
    to_v4 = store.visit(leeching(v4(9), wanted=4), 0)
    assert len(records(to_v4.peers_v4)) == 3 and len(records(to_v4.peers_v6, 18)) == 1
    to_v6 = store.visit(leeching(v6(9), wanted=4), 0)
    assert len(records(to_v6.peers_v6, 18)) == 3 and len(records(to_v6.peers_v4)) == 1


def test_a_peer_that_finishes_is_a_seed_from_then_on(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(leeching(v4(1)), 0)
    view = store.visit(seeding(v4(1), completed=True), 1)
    assert (view.complete, view.incomplete) == (1, 0)
    assert store.scrape([HASH]) == {HASH: ScrapeEntry(complete=1, incomplete=0, downloaded=1)}


def test_who_says_completed_twice_is_counted_once(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(leeching(v4(1)), 0)
    for _ in range(3):
        store.visit(seeding(v4(1), completed=True), 1)
    assert store.scrape([HASH])[HASH].downloaded == 1


def test_who_says_goodbye_is_forgotten_at_once(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    store.visit(leeching(v4(2)), 0)
    assert store.visit(gone(v4(1)), 1) == SwarmView()
    assert store.visit(leeching(v4(2)), 1).peers_v4 == b""
    store.visit(gone(v4(7)), 1)


def test_a_swarm_without_peers_does_not_exist(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    store.visit(gone(v4(1)), 1)
    assert store.counts() == StoreCounts(swarms=0, seeds=0, leechers=0)
    assert store.scrape([HASH]) == {}
    store.visit(gone(v4(1)), 2)
    assert store.counts().swarms == 0


def test_who_cannot_be_dialled_may_look_but_is_not_listed(make_store: StoreMaker) -> None:
    store = make_store()
    looking = Visit(HASH, v4(9), Presence.LOOKING, wanted_count=50)
    assert store.visit(looking, 0) == SwarmView()
    assert store.counts().swarms == 0
    store.visit(seeding(v4(1)), 0)
    assert store.visit(looking, 0) == SwarmView(complete=1, peers_v4=v4(1))


def test_the_silent_are_forgotten_and_the_others_are_not(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    store.visit(seeding(v4(2)), 0)
    for now in range(10, 400, 10):
        store.visit(leeching(v4(2)), now)
        store.expire(now)
        if now <= LIFETIME:
            assert store.counts().swarms == 1 and store.counts().seeds == 1
    assert [peer.record for peer in store.peers()] == [v4(2)]
    store.expire(390 + LIFETIME * 1.2)
    assert store.counts() == StoreCounts(0, 0, 0)


def test_who_returns_after_being_forgotten_is_new(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(leeching(v4(1)), 0)
    store.expire(1000)
    store.visit(leeching(v4(1)), 1000)
    store.expire(1001)
    assert store.counts() == StoreCounts(swarms=1, seeds=0, leechers=1)


def test_no_more_than_wanted_is_told(make_store: StoreMaker) -> None:
    store = make_store()
    for number in range(100):
        store.visit((seeding if number % 3 else leeching)(v4(number)), 0)
    for wanted in (0, 1, 7, 50, 99, 100, 1000):
        view = store.visit(leeching(v4(0), wanted), 0)
        told = records(view.peers_v4)
        assert len(told) == len(set(told)) == min(wanted, 99)
        assert v4(0) not in told


def test_everybody_is_told_of_about_equally_often(make_store: StoreMaker) -> None:
    store = make_store()
    for number in range(40):
        store.visit(leeching(v4(number)), 0)
    for number in range(0, 40, 2):
        store.visit(gone(v4(number)), 0)
    told: Counter[bytes] = Counter()
    for _ in range(2000):
        told.update(records(store.visit(seeding(v4(99), 5), 0).peers_v4))
    assert len(told) == 20
    assert min(told.values()) > 350 and max(told.values()) < 650


def test_a_full_store_serves_those_who_are_here_and_refuses_more(make_store: StoreMaker) -> None:
    store = make_store(max_swarms=1, max_peers=2)
    store.visit(seeding(v4(1)), 0)
    with pytest.raises(StoreFullError):
        store.visit(seeding(v4(1), info_hash=OTHER_HASH), 0)
    store.visit(seeding(v4(2)), 0)
    with pytest.raises(StoreFullError):
        store.visit(seeding(v4(3)), 0)
    assert store.visit(leeching(v4(2)), 0).complete == 1
    store.visit(gone(v4(1)), 0)
    store.visit(seeding(v4(3)), 0)


steps = st.lists(
    st.tuples(
        st.sampled_from([HASH, OTHER_HASH]),
        st.builds(v4, st.integers(0, 7)) | st.builds(v6, st.integers(0, 7)),
        st.sampled_from([Presence.SEEDING, Presence.LEECHING, Presence.GONE]),
        st.integers(0, 5),
    ),
    max_size=120,
)


@given(steps=steps, seed=st.integers(0, 100))
def test_a_store_agrees_with_a_plain_dictionary(
    steps: list[tuple[bytes, bytes, Presence, int]], seed: int
) -> None:
    store = make_memory_store(seed)
    model: dict[tuple[bytes, bytes], bool] = {}
    for info_hash, record, presence, wanted in steps:
        view = store.visit(Visit(info_hash, record, presence, wanted_count=wanted), 0)
        if presence is Presence.GONE:
            model.pop((info_hash, record), None)
            continue
        is_seed = model[info_hash, record] = presence is Presence.SEEDING
        others = {
            peer for (swarm, peer), seeds in model.items()
            if swarm == info_hash and peer != record and not (seeds and is_seed)
        }  # fmt: skip
        told = records(view.peers_v4) + records(view.peers_v6, 18)
        assert set(told) <= others and len(told) == len(set(told)) == min(wanted, len(others))
    assert {(peer.info_hash, peer.record): peer.is_seed for peer in store.peers()} == model
    seeds = sum(model.values())
    assert store.counts() == StoreCounts(len({swarm for swarm, _ in model}), seeds, len(model) - seeds)
