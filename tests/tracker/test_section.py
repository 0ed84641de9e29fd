"""Packed peers: a section agrees with a dictionary, stays in random order and tells fair samples."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.tracker.scopes import Scope
from shoal.tracker.section import (
    INDEXED_FROM,
    NOBODY,
    ONLY_LEECHERS,
    SEARCHED_UNTIL,
    TOLD_TO,
    Section,
    section_key,
)

from .stores import HASH, records, v4

# Records of few different bytes are found across the border of two others, too.
LOOKALIKES = st.lists(st.sampled_from(b"\0\1"), min_size=6, max_size=6).map(bytes)
ORDINARY = st.integers(0, 70).map(v4)
CHANGES = st.lists(st.tuples(LOOKALIKES, st.booleans(), st.booleans(), st.integers(0, 255)), max_size=60)
WAVES = st.lists(st.tuples(st.integers(0, 160), st.integers(0, 255)), min_size=1, max_size=8)
Model = dict[bytes, tuple[bool, int]]  # record -> whether it seeds, and its tick


def new_section(record_length: int = 6) -> Section:
    return Section(HASH, section_key(Scope.PUBLIC, record_length), 0, record_length)


def check(section: Section, model: Model) -> None:
    everybody = list(section)
    assert section.size == len(everybody) == len(model) <= section.room
    assert section.seed_count == sum(is_seed for is_seed, _ in model.values())
    for slot, (record, tick) in enumerate(zip(everybody, section.ticks, strict=True)):
        assert model[record] == (slot < section.seed_count, tick)
        assert section.find(record) == slot


@given(changes=CHANGES, seed=st.integers(0, 9))
def test_a_section_agrees_with_a_dictionary(changes: list[tuple[bytes, bool, bool, int]], seed: int) -> None:
    section, model, rng = new_section(), Model(), random.Random(seed)
    for record, is_added, is_seed, tick in changes:
        slot = section.find(record)
        assert (slot >= 0) == (record in model)
        if slot >= 0 and not is_added:
            section.remove(slot)
            del model[record]
        elif slot < 0:
            assert slot == -1
            assert section.add(record, is_seed, tick, rng) == section.find(record)
            model[record] = is_seed, tick
        check(section, model)


@given(waves=WAVES, seed=st.integers(0, 9))
def test_it_does_while_its_index_comes_and_goes(waves: list[tuple[int, int]], seed: int) -> None:
    """Each wave fills it up to a size or empties it down to it, past both borders of the index."""
    section, model, rng = new_section(18), Model(), random.Random(seed)
    fresh = iter(range(10_000))
    for size, tick in waves:
        while len(model) < size:
            record, is_seed = bytes(12) + v4(next(fresh)), rng.random() < 0.3
            section.add(record, is_seed, tick, rng)
            model[record] = is_seed, tick
        while len(model) > size:
            record = rng.choice(list(model))
            section.remove(section.find(record))
            del model[record]
        check(section, model)
        assert section.find(bytes(18)) == -1
        assert section.room <= 4 * size + 4
        if size > INDEXED_FROM:
            assert section._index is not None
        if size < SEARCHED_UNTIL:
            assert section._index is None


@given(
    seeds=st.integers(0, 40),
    leechers=st.integers(1, 40),
    count=st.integers(0, 85),
    own=st.integers(-1, 39),
    seed=st.integers(0, 9),
)
def test_a_sample_is_of_different_peers_and_as_large_as_can_be(
    seeds: int, leechers: int, count: int, own: int, seed: int
) -> None:
    section, rng = section_of(seeds, leechers), random.Random(seed)
    own_slot = NOBODY if own < 0 else seeds + min(own, leechers - 1)
    others = {record for slot, record in enumerate(section) if slot != own_slot}
    sample = records(section.sample(count, own_slot, rng))
    assert set(sample) <= others and len(sample) == len(set(sample)) == min(count, len(others))


@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize(("seeds", "own"), [(10, NOBODY), (0, NOBODY), (0, 0), (0, 4), (0, 9)])
def test_every_slot_is_told_equally_often(seeds: int, own: int, count: int) -> None:
    """Of ten seeds, or ten leechers of whom one may be the asker."""
    rng, section = random.Random(3), section_of(seeds, 10 - seeds)
    told: Counter[bytes] = Counter()
    for _ in range(5000):
        told.update(records(section.sample(count, own, rng)))
    others = 10 if own == NOBODY else 9
    assert len(told) == others
    expected = 5000 * count / others
    assert all(abs(times - expected) < 6 * expected**0.5 for times in told.values())


@pytest.mark.parametrize("is_seed", [True, False])
def test_every_order_is_equally_likely(is_seed: bool) -> None:
    """After some of each role have come and gone: any run is a fair sample only then."""
    rng = random.Random(4)
    orders: Counter[tuple[bytes, ...]] = Counter()
    for _ in range(6000):
        section = new_section()
        for number in range(6):
            section.add(v4(number), is_seed, 0, rng)
            section.add(v4(1000 + number), not is_seed, 0, rng)
        for number in (1, 1003, 4, 1001, 0, 1005):
            section.remove(section.find(v4(number)))
        section.add(v4(9), is_seed, 0, rng)
        orders[tuple(record for record in section if record < v4(1000))] += 1
    assert len(orders) == 24
    assert min(orders.values()) > 150 and max(orders.values()) < 350  # 250 each


def section_of(seeds: int, leechers: int) -> Section:
    section, rng = new_section(), random.Random(1)
    for number in range(max(seeds, leechers)):
        if number < seeds:
            section.add(v4(number), True, 0, rng)
        if number < leechers:
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


def test_a_visitor_is_told_of_its_own_section_first_and_of_none_that_is_nearer() -> None:
    assert TOLD_TO[section_key(0, 6)] == (section_key(0, 6), section_key(0, 18))
    assert TOLD_TO[section_key(1, 18)] == tuple(
        section_key(scope, length) for scope in (1, 0) for length in (18, 6)
    )
    assert all(order[0] == key for key, order in TOLD_TO.items()) and len(TOLD_TO[section_key(2, 6)]) == 6
