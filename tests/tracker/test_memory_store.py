"""What is particular to the store in this process: that nobody is forgotten too early and nothing is left behind."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.tracker.memory_store import MAX_SWARMS_A_TIME, WHEEL_STEPS, MemoryStore
from shoal.tracker.section import chain
from shoal.tracker.store import StoreCounts

from .stores import HASH, LIFETIME, gone, leeching, seeding, v4

TICK = LIFETIME / WHEEL_STEPS


def new_store(**limits: int) -> MemoryStore:
    return MemoryStore(LIFETIME, random.Random(1), **limits)


def check_wheel(store: MemoryStore) -> None:
    """Every section stands in one bucket, which is not younger than any of its peers; nothing else is there."""
    waiting = [section for bucket in store._wheel.values() for section in bucket]
    here = {section for first in store._swarms.values() for section in chain(first)}
    assert len(waiting) == len(here) and set(waiting) == here
    for tick, bucket in store._wheel.items():
        for section in bucket:
            assert section.wheel_tick == tick
            assert section.ticks
            ages = [(store._now_tick - came) & 0xFF for came in section.ticks]
            assert max(ages) <= min(store._now_tick - tick, WHEEL_STEPS)
    assert len(store._wheel) <= WHEEL_STEPS + 1


def test_who_keeps_coming_lives_for_ever() -> None:
    store = new_store()
    for number in range(10_000):
        store.visit(seeding(v4(1)), number * 7.3)
        if number % 20 == 0:
            store.visit(leeching(v4(2)), number * 7.3)  # 146 s apart
        assert store.count(number * 7.3) == StoreCounts(1, 1, 1)
    check_wheel(store)


def test_who_is_silent_for_exactly_a_lifetime_is_still_here() -> None:
    for start in (0.0, 0.7, 1.59, 12345.6):
        store = new_store()
        store.visit(seeding(v4(1)), start)
        assert store.count(start + LIFETIME) == StoreCounts(1, 1, 0)
        assert store.count(start + LIFETIME + 2 * TICK) == StoreCounts(0, 0, 0)


@pytest.mark.parametrize("gap", [1.02, 2.55, 2.56, 2.57, 5.12, 10**6])
def test_after_a_long_idle_gap_only_the_new_are_here(gap: float) -> None:
    """Ticks are kept in a byte each: who came 256 of them ago may not pass for somebody new."""
    store = new_store()
    for number in range(50):
        store.visit(leeching(v4(number)), number)
    late = 50 + LIFETIME * gap
    view = store.visit(leeching(v4(99)), late)
    assert view == store.visit(leeching(v4(99)), late)
    assert store.count(late) == StoreCounts(1, 0, 1)
    assert [peer.record for peer in store.list_peers(10, late)] == [v4(99)]
    check_wheel(store)


def test_a_flood_of_starts_and_stops_leaves_nothing_behind() -> None:
    store = new_store()
    store.visit(seeding(v4(1)), 0)

    def flood(now: float) -> None:
        for number in range(5000):
            info_hash = number.to_bytes(20, "big")
            store.visit(leeching(v4(2), info_hash=info_hash), now)
            store.visit(leeching(v4(3), info_hash=info_hash), now)
            store.visit(gone(v4(3), info_hash=info_hash), now)
            store.visit(gone(v4(2), info_hash=info_hash), now)
            store.visit(leeching(v4(4)), now)
            store.visit(gone(v4(4)), now)

    flood(1)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for step in range(5):
            flood(2 + step * 3 * TICK)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert store.count(30) == StoreCounts(1, 1, 0)
    check_wheel(store)
    assert grown < 20_000  # bytes, after 25,000 swarms; one that stays costs 350


def test_a_flood_that_never_stops_is_forgotten_when_its_time_is_over() -> None:
    store = new_store()
    for number in range(5000):
        store.visit(leeching(v4(2), info_hash=number.to_bytes(20, "big")), number / 100)
    check_wheel(store)
    store.expire(50 + LIFETIME * 1.02)
    assert store.count(50 + LIFETIME * 1.02) == StoreCounts(0, 0, 0)
    assert not store._wheel


def test_a_swarm_of_which_half_falls_silent_at_once_keeps_the_other_half() -> None:
    store = new_store()
    for number in range(20_000):
        store.visit((seeding if number % 3 else leeching)(v4(number), 0), 0)
    for number in range(0, 20_000, 2):
        store.visit((seeding if number % 3 else leeching)(v4(number), 0), 100)
    store.expire(LIFETIME * 1.02)
    left = {peer.record for peer in store.list_peers(30_000, LIFETIME * 1.02)}
    assert left == {v4(number) for number in range(0, 20_000, 2)}
    check_wheel(store)


GAPS = st.sampled_from([0.0, 0.1, TICK, 10.0, 40.0, LIFETIME, LIFETIME + TICK, 255 * TICK, 256 * TICK, 1e6])
VISITS = st.lists(st.tuples(GAPS, st.integers(0, 3), st.integers(0, 5), st.integers(0, 3)), max_size=80)


@given(visits=VISITS)
def test_whatever_comes_and_goes_the_wheel_holds_each_swarm_once(
    visits: list[tuple[float, int, int, int]],
) -> None:
    store, now = new_store(), 0.0
    came: dict[tuple[bytes, bytes], float] = {}
    for gap, swarm, number, kind in visits:
        now += gap
        info_hash, record = HASH[1:] + bytes([swarm]), v4(number)
        make = (gone, leeching, seeding, seeding)[kind]
        store.visit(make(record, info_hash=info_hash), now)
        came.pop((info_hash, record), None)
        if make is not gone:
            came[info_hash, record] = now
        check_wheel(store)
    here = {(peer.info_hash, peer.record) for peer in store.list_peers(1000, now)}
    assert {peer for peer, at in came.items() if now - at <= LIFETIME} <= here
    assert here <= {peer for peer, at in came.items() if now - at <= LIFETIME + TICK}


@pytest.mark.parametrize("pause", [1.01, 2.56, 2.6, 10.0])  # lifetimes; a byte of ticks is 2.56
def test_who_comes_after_a_machine_was_stopped_is_not_forgotten_with_those_before(pause: float) -> None:
    count = 2 * MAX_SWARMS_A_TIME + 1  # more than are looked at at once
    store, now = new_store(), LIFETIME * (1 + pause) + TICK
    for number in range(count):
        store.visit(leeching(v4(1), info_hash=number.to_bytes(20, "big")), LIFETIME)
    store.visit(leeching(v4(2), info_hash=bytes(20)), now)
    for step in range(4):
        store.expire(now + step * TICK)
    assert store.count(now + 4 * TICK) == StoreCounts(1, 0, 1)
    check_wheel(store)
