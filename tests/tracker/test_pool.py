"""Packed peers: a pool agrees with a dictionary, stays in random order and tells fair samples."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.tracker.pool import INDEXED_FROM, SEARCHED_UNTIL, Pool
from shoal.tracker.section import NOBODY, ONLY_LEECHERS, TOLD_TO, Section, section_key

from .stores import records, v4

# Records of few different bytes are found across the border of two others, too.
LOOKALIKES = st.lists(st.sampled_from(b"\0\1"), min_size=6, max_size=6).map(bytes)
ORDINARY = st.integers(0, 70).map(v4)
CHANGES = st.lists(st.tuples(LOOKALIKES, st.booleans(), st.integers(0, 255)), max_size=60)
WAVES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=12)


def check(pool: Pool, model: dict[bytes, int]) -> None:
    assert len(pool) == len(model)
    assert dict(zip(pool, pool.ticks, strict=True)) == model
    for slot, record in enumerate(pool):
        assert pool.find(record) == slot


@given(changes=CHANGES, seed=st.integers(0, 9))
def test_a_pool_agrees_with_a_dictionary(changes: list[tuple[bytes, bool, int]], seed: int) -> None:
    pool, model, rng = Pool(6), {}, random.Random(seed)
    for record, is_added, tick in changes:
        slot = pool.find(record)
        assert (slot >= 0) == (record in model)
        if slot >= 0 and not is_added:
            pool.remove(slot)
            del model[record]
        elif slot < 0:
            assert pool.find(record) == -1
            assert pool.add(record, tick, rng) == pool.find(record)
            model[record] = tick
        check(pool, model)


@given(waves=WAVES, seed=st.integers(0, 9))
def test_it_does_while_its_index_comes_and_goes(waves: list[tuple[int, int]], seed: int) -> None:
    """Each wave fills it up to a size or empties it down to it, past both borders of the index."""
    pool, model, rng = Pool(18), {}, random.Random(seed)
    fresh = iter(range(10_000))
    for size, tick in waves:
        while len(model) < size:
            record = bytes(12) + v4(next(fresh))
            pool.add(record, tick, rng)
            model[record] = tick
        while len(model) > size:
            record = rng.choice(list(model))
            pool.remove(pool.find(record))
            del model[record]
        check(pool, model)
        assert pool.find(bytes(18)) == -1
        if size > INDEXED_FROM:
            assert pool._index is not None
        if size < SEARCHED_UNTIL:
            assert pool._index is None


@given(size=st.integers(1, 40), count=st.integers(0, 45), own=st.integers(-1, 39), seed=st.integers(0, 9))
def test_a_sample_is_of_different_peers_and_as_large_as_can_be(
    size: int, count: int, own: int, seed: int
) -> None:
    rng = random.Random(seed)
    pool = Pool(6)
    for number in range(size):
        pool.add(v4(number), 0, rng)
    own = min(own, size - 1)
    others = {record for slot, record in enumerate(pool) if slot != own}
    sample = records(pool.sample(count, own, rng))
    assert set(sample) <= others and len(sample) == len(set(sample)) == min(count, len(others))


@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("own", [NOBODY, 0, 4, 9])
def test_every_slot_is_told_equally_often(own: int, count: int) -> None:
    rng = random.Random(3)
    pool = Pool(6)
    for number in range(10):
        pool.add(v4(number), 0, rng)
    told: Counter[bytes] = Counter()
    for _ in range(5000):
        told.update(records(pool.sample(count, own, rng)))
    others = 10 if own == NOBODY else 9
    assert len(told) == others
    expected = 5000 * count / others
    assert all(abs(times - expected) < 6 * expected**0.5 for times in told.values())


def test_every_order_is_equally_likely() -> None:
    """After some have come and gone: any run is a fair sample only then."""
    rng = random.Random(4)
    orders: Counter[tuple[bytes, ...]] = Counter()
    for _ in range(6000):
        pool = Pool(6)
        for number in range(6):
            pool.add(v4(number), 0, rng)
        for number in (1, 4, 0):
            pool.remove(pool.find(v4(number)))
        pool.add(v4(9), 0, rng)
        orders[tuple(pool)] += 1
    assert len(orders) == 24
    assert min(orders.values()) > 150 and max(orders.values()) < 350  # 250 each


# -- sections -----------------------------------------------------------------------------------------


def section_of(seeds: int, leechers: int) -> Section:
    section, rng = Section(6), random.Random(1)
    for number in range(seeds):
        section.add(v4(number), True, 0, rng)
    for number in range(leechers):
        section.add(v4(1000 + number), False, 0, rng)
    return section


@given(seeds=st.integers(0, 20), leechers=st.integers(0, 20), count=st.integers(0, 45), is_seed=st.booleans())
def test_a_section_tells_seeds_and_leechers_in_their_proportion(
    seeds: int, leechers: int, count: int, is_seed: bool
) -> None:
    section = section_of(seeds, leechers)
    asker = ONLY_LEECHERS if is_seed else NOBODY
    sample = records(section.sample(count, asker, random.Random(1)))
    from_seeds = sum(record < v4(1000) for record in sample)
    others = leechers if is_seed else seeds + leechers
    assert len(sample) == len(set(sample)) == min(count, others)
    if is_seed:
        assert from_seeds == 0
    elif 0 < count < others:
        assert 0 <= from_seeds - count * seeds / others < 1


def test_a_section_without_peers_of_a_role_keeps_nothing_for_it() -> None:
    section = section_of(1, 1)
    section.remove(0, True)
    assert section.seeds is None and [is_seed for _, is_seed in section.pools] == [False]
    section.remove(0, False)
    assert list(section.pools) == []


def test_a_visitor_is_told_of_its_own_section_first_and_of_none_that_is_nearer() -> None:
    assert TOLD_TO[section_key(0, 6)] == (section_key(0, 6), section_key(0, 18))
    assert TOLD_TO[section_key(1, 18)] == tuple(
        section_key(scope, length) for scope in (1, 0) for length in (18, 6)
    )
    assert all(order[0] == key for key, order in TOLD_TO.items()) and len(TOLD_TO[section_key(2, 6)]) == 6
