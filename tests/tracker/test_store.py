"""What every peer store must pass, in this process or in another. The fixture `make_store` gives one of each kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.protocol.tracker.messages import ScrapeEntry
from shoal.tracker.scopes import Scope
from shoal.tracker.store import Presence, StoreCounts, SwarmView, Trouble, Visit

from .conftest import StoreMaker
from .stores import HASH, LIFETIME, OTHER_HASH, AskedStore, gone, leeching, records, seeding, told, v4, v6

# -- who is told of whom ------------------------------------------------------------------------------


def test_a_leecher_hears_of_seeds_and_leechers_but_not_of_itself(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    store.visit(leeching(v4(2)), 0)
    for _ in range(2):
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


def test_two_ports_of_one_host_are_two_peers(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(leeching(v4(1)), 0)
    other_port = v4(1)[:4] + b"\0\1"
    assert store.visit(leeching(other_port), 0) == SwarmView(incomplete=2, peers_v4=v4(1))


def test_both_families_are_told_the_own_one_first(make_store: StoreMaker) -> None:
    store = make_store()
    for number in range(3):
        store.visit(leeching(v4(number)), 0)
        store.visit(leeching(v6(number)), 0)
    to_v4 = store.visit(leeching(v4(9), wanted=4), 0)
    assert len(records(to_v4.peers_v4)) == 3 and len(records(to_v4.peers_v6, 18)) == 1
    to_v6 = store.visit(leeching(v6(9), wanted=4), 0)
    assert len(records(to_v6.peers_v6, 18)) == 3 and len(records(to_v6.peers_v4)) == 1


def test_nobody_is_told_of_peers_that_only_nearer_ones_can_reach(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(leeching(v4(1, 127), scope=Scope.LOOPBACK), 0)
    store.visit(leeching(v4(1, 10), scope=Scope.PRIVATE), 0)
    assert store.visit(leeching(v4(1, 9)), 0) == SwarmView(incomplete=3)
    to_private = store.visit(leeching(v4(2, 10), scope=Scope.PRIVATE), 0)
    assert set(told(to_private)) == {v4(1, 10), v4(1, 9)}
    to_loopback = store.visit(leeching(v4(2, 127), scope=Scope.LOOPBACK), 0)
    assert set(told(to_loopback)) == {v4(1, 127), v4(1, 10), v4(2, 10), v4(1, 9)}


def test_the_nearest_come_first(make_store: StoreMaker) -> None:
    store = make_store()
    for number in range(20):
        store.visit(leeching(v4(number, 9)), 0)
        store.visit(leeching(v4(number, 10), scope=Scope.PRIVATE), 0)
    view = store.visit(leeching(v4(99, 10), 21, scope=Scope.PRIVATE), 0)
    assert Counter(record[0] for record in told(view)) == {10: 20, 9: 1}


def test_no_more_than_wanted_is_told(make_store: StoreMaker) -> None:
    store = make_store()
    for number in range(100):
        store.visit((seeding if number % 3 else leeching)(v4(number)), 0)
    for wanted in (0, 1, 7, 50, 99, 100, 1000):
        view = store.visit(leeching(v4(0), wanted), 0)
        assert len(told(view)) == len(set(told(view))) == min(wanted, 99)
        assert v4(0) not in told(view)


def test_one_seed_is_found_among_many_leechers(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(500)), 0)
    for number in range(200):
        store.visit(leeching(v4(number), 0), 0)
    assert all(v4(500) in told(store.visit(leeching(v4(number), 5), 0)) for number in range(20))


def test_who_cannot_be_dialled_may_look_but_is_not_listed(make_store: StoreMaker) -> None:
    store = make_store()
    looking = Visit(HASH, v4(9), Presence.LOOKING, wanted_count=50)
    assert store.visit(looking, 0) == SwarmView()
    assert store.count(0) == StoreCounts(0, 0, 0)
    store.visit(seeding(v4(1)), 0)
    assert store.visit(looking, 0) == SwarmView(complete=1, peers_v4=v4(1))
    assert store.count(0) == StoreCounts(1, 1, 0)


@pytest.mark.parametrize("size", [20, 200])
def test_everybody_is_told_of_about_equally_often(make_store: StoreMaker, size: int) -> None:
    store = make_store()
    for number in range(2 * size):
        store.visit(leeching(v4(number), 0), 0)
    for number in range(0, 2 * size, 2):
        store.visit(gone(v4(number)), 0)
    counts: Counter[bytes] = Counter()
    for _ in range(2000):
        counts.update(told(store.visit(seeding(v4(999), size // 4), 0)))
    assert len(counts) == size
    assert min(counts.values()) > 350 and max(counts.values()) < 650  # 500 each, and seven times the spread


def test_nobody_is_told_more_often_for_where_it_stands_beside_the_asker(make_store: StoreMaker) -> None:
    store = make_store()
    for number in range(6):
        store.visit(leeching(v4(number)), 0)
    counts: Counter[bytes] = Counter()
    for _ in range(3000):
        counts.update(told(store.visit(leeching(v4(0), 1), 0)))
    assert sorted(counts) == [v4(number) for number in range(1, 6)]
    assert min(counts.values()) > 450 and max(counts.values()) < 750  # 600 each


# -- coming and going ---------------------------------------------------------------------------------


def test_a_peer_that_finishes_is_a_seed_from_then_on(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(leeching(v4(1)), 0)
    view = store.visit(seeding(v4(1), completed=True), 1)
    assert (view.complete, view.incomplete) == (1, 0)
    assert store.scrape([HASH], 1) == {HASH: ScrapeEntry(complete=1, incomplete=0, downloaded=1)}
    view = store.visit(leeching(v4(1)), 2)
    assert (view.complete, view.incomplete) == (0, 1)


def test_who_says_completed_twice_is_counted_once(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(leeching(v4(1)), 0)
    for _ in range(3):
        store.visit(seeding(v4(1), completed=True), 1)
    assert store.scrape([HASH], 1) == {HASH: ScrapeEntry(1, 0, 1)}


def test_who_completes_but_still_lacks_something_is_not_counted(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(Visit(HASH, v4(1), Presence.LEECHING, has_completed=True), 0)
    assert store.scrape([HASH], 0) == {HASH: ScrapeEntry(0, 1, 0)}


def test_who_says_goodbye_is_forgotten_at_once(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    store.visit(leeching(v4(2)), 0)
    assert store.visit(gone(v4(1)), 1) == SwarmView()
    assert store.visit(leeching(v4(2)), 1).peers_v4 == b""
    store.visit(gone(v4(7)), 1)
    assert store.count(1) == StoreCounts(1, 0, 1)


def test_a_swarm_without_peers_does_not_exist(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1), completed=True), 0)
    store.visit(gone(v4(1)), 1)
    assert store.count(1) == StoreCounts(swarms=0, seeds=0, leechers=0)
    assert store.scrape([HASH], 1) == {}
    store.visit(gone(v4(1)), 2)
    assert store.count(2) == StoreCounts(0, 0, 0)
    store.visit(seeding(v4(1)), 3)
    assert store.scrape([HASH], 3) == {HASH: ScrapeEntry(1, 0, 0)}


def test_the_silent_are_forgotten_and_the_others_are_not(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    store.visit(seeding(v4(2)), 0)
    for now in range(10, 400, 10):
        view = store.visit(leeching(v4(2)), now)
        assert (view.complete == 1) == (now <= LIFETIME)
        store.wait_count(StoreCounts(1, int(now <= LIFETIME), 1), now)
    assert [peer.record for peer in store.list_peers(10, 390)] == [v4(2)]
    store.wait_count(StoreCounts(0, 0, 0), 390 + LIFETIME * 1.02)


def test_the_silent_are_not_told_even_if_nobody_has_kept_house(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(seeding(v4(1)), 0)
    late = LIFETIME * 1.02
    assert store.scrape([HASH], late) == {}
    assert store.list_peers(10, late) == []
    assert store.visit(leeching(v4(2)), late) == SwarmView(incomplete=1)


def test_who_returns_after_being_forgotten_is_new(make_store: StoreMaker) -> None:
    store = make_store()
    store.visit(leeching(v4(1)), 0)
    store.expire(1000)
    store.visit(leeching(v4(1)), 1000)
    store.wait_count(StoreCounts(swarms=1, seeds=0, leechers=1), 1001)


# -- limits and sums ----------------------------------------------------------------------------------


def test_a_full_store_serves_those_who_are_here_and_refuses_more(make_store: StoreMaker) -> None:
    store = make_store(max_swarms=1, max_peers=2)
    store.visit(seeding(v4(1)), 0)
    assert store.try_visit(seeding(v4(1), info_hash=OTHER_HASH), 0) is Trouble.FULL
    store.visit(seeding(v4(2)), 0)
    assert store.try_visit(seeding(v4(3)), 0) is Trouble.FULL
    assert store.visit(leeching(v4(2)), 0).complete == 1
    assert store.visit(Visit(HASH, v4(4), Presence.LOOKING, wanted_count=9), 0).complete == 1
    store.visit(gone(v4(1)), 0)
    store.visit(seeding(v4(3)), 0)
    assert store.count(0) == StoreCounts(1, 1, 1)


def test_a_full_store_has_room_again_when_the_silent_are_forgotten(make_store: StoreMaker) -> None:
    store = make_store(max_swarms=1)
    store.visit(seeding(v4(1)), 0)
    assert store.try_visit(seeding(v4(1), info_hash=OTHER_HASH), 1) is Trouble.FULL
    late = LIFETIME * 1.02
    store.wait_count(StoreCounts(0, 0, 0), late)
    store.visit(seeding(v4(1), info_hash=OTHER_HASH), late)


def test_a_scrape_tells_of_the_swarms_that_exist(make_store: StoreMaker) -> None:
    store = make_store()
    assert store.scrape([HASH, OTHER_HASH], 0) == {}
    store.visit(leeching(v4(1)), 0)
    store.visit(seeding(v6(1)), 0)
    assert store.scrape([OTHER_HASH, HASH, HASH], 0) == {HASH: ScrapeEntry(1, 1, 0)}
    assert store.scrape([], 0) == {}


def test_a_list_has_as_many_as_were_asked_for(make_store: StoreMaker) -> None:
    store = make_store()
    for number in range(30):
        store.visit(seeding(v4(number), info_hash=bytes([number % 3]) * 20), 0)
    for most in (0, 1, 5, 29, 30, 31):
        listed = store.list_peers(most, 0)
        assert len(listed) == len(set(listed)) == min(most, 30)
    swarms = [peer.info_hash for peer in store.list_peers(30, 0)]
    assert swarms == sorted(swarms, key=swarms.index)  # swarm by swarm


# -- everything together ------------------------------------------------------------------------------

FIRST_BYTES = {Scope.PUBLIC: (9, 0x20), Scope.PRIVATE: (10, 0xFD), Scope.LOOPBACK: (127, 0)}  # IPv4, IPv6


@dataclass(frozen=True)
class Step:
    """Somebody comes by, so many seconds after the one before."""

    info_hash: bytes
    scope: Scope
    number: int
    is_v6: bool
    presence: Presence
    has_completed: bool
    wanted: int
    pause: int

    @property
    def visit(self) -> Visit:
        first = FIRST_BYTES[self.scope][self.is_v6]
        record = v6(self.number, first) if self.is_v6 else v4(self.number, first)
        if self.presence is Presence.LOOKING:
            record = record[:-2] + b"\0\0"
        return Visit(self.info_hash, record, self.presence, self.has_completed, self.wanted, self.scope)


STEP = st.builds(
    Step,
    info_hash=st.sampled_from([HASH, OTHER_HASH]),
    scope=st.sampled_from(Scope),
    number=st.integers(0, 5),
    is_v6=st.booleans(),
    presence=st.sampled_from([*[Presence.SEEDING, Presence.LEECHING] * 3, Presence.GONE, Presence.LOOKING]),
    has_completed=st.booleans(),
    wanted=st.integers(0, 7),
    pause=st.sampled_from([0] * 19 + [50, 100, 500]),  # no sum of them is near the lifetime
)
STEPS = st.lists(STEP, max_size=20) | st.lists(STEP, min_size=60, max_size=120)


@dataclass
class Model:
    """A store as anybody would write it first."""

    peers: dict[tuple[bytes, bytes], tuple[bool, Scope, int]] = field(default_factory=dict)
    completed: Counter[bytes] = field(default_factory=Counter)

    def forget_silent(self, now: int) -> None:
        self.peers = {peer: state for peer, state in self.peers.items() if now - state[2] <= LIFETIME}
        self._forget_empty()

    def apply(self, visit: Visit, now: int) -> None:
        peer = visit.info_hash, visit.record
        was_seed = self.peers.get(peer, (False,))[0]
        if visit.presence is Presence.GONE:
            self.peers.pop(peer, None)
        elif visit.presence is not Presence.LOOKING:
            is_seed = visit.presence is Presence.SEEDING
            self.peers[peer] = is_seed, visit.scope, now
            self.completed[visit.info_hash] += visit.has_completed and is_seed and not was_seed
        self._forget_empty()

    def sizes(self, info_hash: bytes) -> tuple[int, int]:
        roles = [is_seed for (swarm, _), (is_seed, _, _) in self.peers.items() if swarm == info_hash]
        return sum(roles), len(roles) - sum(roles)

    def sections_for(self, visit: Visit) -> list[dict[bytes, bool]]:
        """Whom the visitor may be told of, nearest first; and whether each is a seed."""
        order = [
            (scope, length)
            for scope in sorted(Scope, reverse=True)
            if scope <= visit.scope
            for length in sorted((6, 18), key=lambda length: length != len(visit.record))
        ]
        sections: dict[tuple[Scope, int], dict[bytes, bool]] = {key: {} for key in order}
        for (swarm, record), (is_seed, scope, _) in self.peers.items():
            may_be_told = swarm == visit.info_hash and record != visit.record and scope <= visit.scope
            if may_be_told and not (is_seed and visit.presence is Presence.SEEDING):
                sections[scope, len(record)][record] = is_seed
        return list(sections.values())

    def _forget_empty(self) -> None:
        swarms = {swarm for swarm, _ in self.peers}
        for swarm in set(self.completed) - swarms:
            del self.completed[swarm]


def check_view(view: SwarmView, visit: Visit, model: Model) -> None:
    if visit.presence is Presence.GONE:
        assert view == SwarmView()
        return
    assert (view.complete, view.incomplete) == model.sizes(visit.info_hash)
    named, wanted = told(view), visit.wanted_count
    assert len(named) == len(set(named))
    for section in model.sections_for(visit):
        of_section = [record for record in named if record in section]
        assert len(of_section) == min(wanted, len(section))
        if of_section and any(section.values()):
            assert any(section[record] for record in of_section)
        wanted -= len(of_section)
        named = [record for record in named if record not in section]
    assert named == []


def check_sums(store: AskedStore, model: Model, now: int) -> None:
    listed = {(peer.info_hash, peer.record): peer.is_seed for peer in store.list_peers(1000, now)}
    assert listed == {peer: is_seed for peer, (is_seed, _, _) in model.peers.items()}
    swarms = {swarm for swarm, _ in model.peers}
    entries = {swarm: ScrapeEntry(*model.sizes(swarm), model.completed[swarm]) for swarm in swarms}
    assert store.scrape([HASH, OTHER_HASH], now) == entries
    seeds = sum(listed.values())
    store.wait_count(StoreCounts(len(swarms), seeds, len(listed) - seeds), now)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, seed=st.integers(0, 100))
def test_a_store_agrees_with_a_plain_dictionary(make_store: StoreMaker, steps: list[Step], seed: int) -> None:
    store, model, now = make_store(seed), Model(), 0
    for step in steps:
        now += step.pause
        model.forget_silent(now)
        model.apply(step.visit, now)
        check_view(store.visit(step.visit, now), step.visit, model)
    check_sums(store, model, now + 1)
