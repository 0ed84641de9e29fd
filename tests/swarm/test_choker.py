"""Who may download from us: fairness, stability between rounds, and no idle slot."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.swarm.choker import (
    RECHOKE_INTERVAL,
    ROUNDS_A_TURN,
    Candidate,
    Choker,
    Decision,
    choose_unchoked,
)

SEED_TURN = ROUNDS_A_TURN * RECHOKE_INTERVAL

NOW = 1000.0


def peer(key: str, **facts: object) -> Candidate[str]:
    """An interested peer of long standing that neither gives nor takes."""
    plain: Candidate[str] = Candidate(
        key=key,
        is_interested=True,
        upload_rate=0.0,
        download_rate=0.0,
        is_unchoked=False,
        unchoked_at=None,
        is_snubbed=False,
        joined_at=0.0,
        has_everything=False,
    )
    return replace(plain, **facts)  # type: ignore[arg-type]


def choose(
    candidates: list[Candidate[str]],
    *,
    slots: int,
    is_seeding: bool = False,
    optimistic: str | None = None,
    keep: tuple[str, ...] = (),
    seed: int = 0,
) -> Decision[str]:
    return choose_unchoked(
        candidates,
        slots=slots,
        is_seeding=is_seeding,
        optimistic=optimistic,
        keep=keep,
        now=NOW,
        rng=random.Random(seed),
    )


def givers(count: int) -> list[Candidate[str]]:
    """`p1` gives least, `p<count>` most."""
    return [peer(f"p{number}", download_rate=number * 1000.0) for number in range(1, count + 1)]


class TestEveryMode:
    @pytest.mark.parametrize("is_seeding", [False, True])
    def test_few_interested_peers_are_all_unchoked(self, is_seeding: bool) -> None:
        decision = choose(givers(4), slots=4, is_seeding=is_seeding)
        assert decision == Decision(frozenset({"p1", "p2", "p3", "p4"}), None)

    def test_a_peer_that_has_everything_gets_no_slot(self) -> None:
        assert choose([peer("seed", has_everything=True), peer("a")], slots=4).unchoked == {"a"}

    def test_idle_slots_go_to_peers_that_are_not_interested_yet(self) -> None:
        idle = [peer(f"idle{number}", is_interested=False) for number in range(3)]
        decision = choose([*idle, peer("a")], slots=3)
        assert "a" in decision.unchoked
        assert len(decision.unchoked) == 3

    def test_peers_that_are_not_interested_take_no_slot_from_those_that_are(self) -> None:
        idle = [peer(f"idle{number}", is_interested=False, download_rate=9e9) for number in range(9)]
        assert choose([*idle, *givers(3)], slots=3).unchoked == {"p1", "p2", "p3"}

    def test_idle_slots_stay_with_the_peers_that_have_them(self) -> None:
        unchoked = [peer(f"in{number}", is_interested=False, is_unchoked=True) for number in range(2)]
        others = [peer(f"out{number}", is_interested=False, download_rate=5.0) for number in range(5)]
        assert all(
            choose([*others, *unchoked], slots=2, seed=seed).unchoked == {"in0", "in1"} for seed in range(20)
        )

    @pytest.mark.parametrize("is_seeding", [False, True])
    def test_without_slots_everybody_is_choked(self, is_seeding: bool) -> None:
        assert choose(givers(3), slots=0, is_seeding=is_seeding).unchoked == frozenset()

    def test_without_peers_nobody_is_unchoked(self) -> None:
        assert choose([], slots=4) == Decision(frozenset(), None)


class TestLeeching:
    def test_those_who_give_most_are_unchoked_and_one_is_optimistic(self) -> None:
        decision = choose(givers(10), slots=4)
        assert {"p10", "p9", "p8"} < decision.unchoked
        assert len(decision.unchoked) == 4
        assert decision.optimistic in decision.unchoked - {"p10", "p9", "p8"}

    def test_a_snubbed_peer_comes_last_whatever_it_gave_before(self) -> None:
        snubber = peer("snubber", download_rate=9e9, is_snubbed=True)
        decision = choose([snubber, *givers(4)], slots=3)
        assert decision.unchoked - {decision.optimistic} == {"p4", "p3"}

    def test_the_optimistic_peer_keeps_its_slot_for_its_time(self) -> None:
        assert all(
            choose(givers(10), slots=4, optimistic="p1", seed=seed).optimistic == "p1" for seed in range(20)
        )

    def test_an_optimistic_peer_that_earns_a_slot_makes_room_for_another(self) -> None:
        decision = choose(givers(10), slots=4, optimistic="p10")
        assert decision.optimistic not in {"p10", "p9", "p8"}
        assert {"p10", "p9", "p8"} < decision.unchoked

    def test_a_single_slot_goes_to_merit(self) -> None:
        assert choose(givers(5), slots=1) == Decision(frozenset({"p5"}), None)

    def test_a_new_peer_is_three_times_as_likely_to_be_optimistic(self) -> None:
        strangers = [peer(f"old{number}") for number in range(3)] + [peer("new", joined_at=NOW - 1)]
        candidates = [*strangers, peer("best", download_rate=1.0)]
        drawn = Counter(choose(candidates, slots=2, seed=seed).optimistic for seed in range(2000))
        assert 0.45 < drawn["new"] / 2000 < 0.55  # 3 of 3 + 1 + 1 + 1

    def test_between_rounds_nobody_loses_a_slot_to_a_better_peer(self) -> None:
        """Every slot is in use, none of them as the optimistic one; a ninth peer must wait."""
        present = [replace(one, is_unchoked=True) for one in givers(4)]
        better = peer("better", download_rate=9e9)
        for seed in range(20):
            decision = choose([*present, better], slots=4, keep=("p1", "p2", "p3", "p4"), seed=seed)
            assert decision.unchoked == {"p1", "p2", "p3", "p4"}

    def test_between_rounds_a_free_slot_goes_to_the_best_of_those_waiting(self) -> None:
        decision = choose(givers(6), slots=4, optimistic="p1", keep=("p1", "p3", "p4"))
        assert decision == Decision(frozenset({"p1", "p3", "p4", "p6"}), "p1")

    def test_fewer_slots_are_taken_from_the_least_of_those_kept(self) -> None:
        decision = choose(givers(4), slots=3, keep=("p1", "p2", "p3", "p4"))
        assert {"p4", "p3"} < decision.unchoked
        assert len(decision.unchoked) == 3


class TestSeeding:
    def test_a_turn_that_has_begun_is_not_cut_short(self) -> None:
        begun = [peer(f"in{n}", is_unchoked=True, unchoked_at=NOW - SEED_TURN + 1) for n in range(3)]
        assert choose([*begun, peer("waiting")], slots=3, is_seeding=True).unchoked == {"in0", "in1", "in2"}

    def test_after_its_turn_a_peer_that_takes_nothing_makes_room(self) -> None:
        over = peer("over", is_unchoked=True, unchoked_at=NOW - SEED_TURN)
        assert choose([over, peer("waiting")], slots=1, is_seeding=True).unchoked == {"waiting"}

    def test_the_fastest_takers_stay_and_the_others_go_round(self) -> None:
        over = [
            peer(f"in{n}", is_unchoked=True, unchoked_at=NOW - 2 * SEED_TURN, upload_rate=n + 1.0)
            for n in range(4)
        ]
        waiting = [peer(f"out{n}", unchoked_at=NOW - 5 * SEED_TURN) for n in range(4)]
        unchoked = choose([*over, *waiting], slots=4, is_seeding=True).unchoked
        assert {"in3", "in2"} < unchoked
        assert not unchoked & {"in0", "in1"}

    def test_who_was_served_longest_ago_is_served_next(self) -> None:
        waiting = [peer(f"p{n}", unchoked_at=float(n)) for n in range(4)] + [peer("never")]
        assert choose(waiting, slots=2, is_seeding=True).unchoked == {"never", "p0"}

    def test_a_turn_at_time_zero_counts_as_a_turn(self) -> None:
        waiting = [peer("zero", unchoked_at=0.0), peer("never")]
        assert choose(waiting, slots=1, is_seeding=True).unchoked == {"never"}


class Story:
    """A torrent's peers on virtual time: who is unchoked since when follows from the decisions."""

    def __init__(self, peers: list[Candidate[str]], *, slots: int, is_seeding: bool, seed: int) -> None:
        self.peers = {one.key: one for one in peers}
        self.slots = slots
        self.is_seeding = is_seeding
        self.rng = random.Random(seed)
        self.now = 0.0
        self.choker = Choker[str](0.0)

    def decide(self) -> Decision[str]:
        decision = self.choker.decide(
            list(self.peers.values()),
            slots=self.slots,
            is_seeding=self.is_seeding,
            now=self.now,
            rng=self.rng,
        )
        for key, one in self.peers.items():
            is_new_turn = key in decision.unchoked and not one.is_unchoked
            self.peers[key] = replace(
                one,
                is_unchoked=key in decision.unchoked,
                unchoked_at=self.now if is_new_turn else one.unchoked_at,
            )
        return decision

    def next_round(self) -> Decision[str]:
        self.now = max(self.now, self.choker.next_deadline())
        return self.decide()


class TestRounds:
    @given(seed=st.integers(0, 2**32), count=st.integers(9, 30), slots=st.integers(2, 8))
    def test_a_seed_lets_nobody_starve(self, seed: int, count: int, slots: int) -> None:
        peers = [peer(f"p{n}", upload_rate=float(n)) for n in range(count)]
        story = Story(peers, slots=slots, is_seeding=True, seed=seed)
        turns_needed = -(-count // (slots - slots // 2)) + 1
        served: set[str] = set()
        while story.now <= turns_needed * SEED_TURN:
            served |= story.next_round().unchoked
        assert served == set(story.peers), f"{seed=}"

    @given(seed=st.integers(0, 2**32))
    def test_every_stranger_is_optimistic_sooner_or_later(self, seed: int) -> None:
        story = Story(
            [*givers(3), *(peer(f"stranger{n}") for n in range(5))], slots=4, is_seeding=False, seed=seed
        )
        tried = {story.next_round().optimistic for _ in range(300)}
        assert tried >= {f"stranger{n}" for n in range(5)}, f"{seed=}"

    def test_the_optimistic_peer_changes_only_every_third_round(self) -> None:
        story = Story([peer(f"p{n}") for n in range(50)], slots=2, is_seeding=False, seed=1)
        by_round = [(story.next_round().optimistic, story.now) for _ in range(30)]
        changes = [now for (before, _), (after, now) in itertools.pairwise(by_round) if before != after]
        assert len(changes) > 5
        assert all(now % (ROUNDS_A_TURN * RECHOKE_INTERVAL) == 0 for now in changes)

    @given(seed=st.integers(0, 2**32), slots=st.integers(1, 8), is_seeding=st.booleans())
    def test_between_rounds_asking_again_changes_nothing(
        self, seed: int, slots: int, is_seeding: bool
    ) -> None:
        story = Story(givers(12), slots=slots, is_seeding=is_seeding, seed=seed)
        first = story.next_round()
        for step in range(1, 10):
            story.now = step * RECHOKE_INTERVAL / 10
            assert story.decide() == first, f"{seed=}"

    @given(seed=st.integers(0, 2**32), slots=st.integers(1, 6), is_seeding=st.booleans())
    def test_a_slot_that_falls_free_is_filled_at_once(self, seed: int, slots: int, is_seeding: bool) -> None:
        story = Story(givers(12), slots=slots, is_seeding=is_seeding, seed=seed)
        before = story.next_round()
        leaver = story.rng.choice(sorted(before.unchoked))
        del story.peers[leaver]
        story.now += 1.0
        after = story.decide()
        assert len(after.unchoked) == slots
        assert before.unchoked - {leaver} < after.unchoked or slots == 1

    def test_a_better_peer_gets_its_slot_at_the_next_round(self) -> None:
        story = Story(givers(10), slots=4, is_seeding=False, seed=3)
        story.next_round()
        story.peers["better"] = peer("better", download_rate=9e9)
        story.now += 1.0
        assert "better" not in story.decide().unchoked
        assert "better" in story.next_round().unchoked
        assert story.now == RECHOKE_INTERVAL


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 20),
    slots=st.integers(0, 10),
    is_seeding=st.booleans(),
)
def test_slots_are_never_passed_and_never_idle_while_somebody_wants_one(
    seed: int, count: int, slots: int, is_seeding: bool
) -> None:
    rng = random.Random(seed)
    peers = [
        peer(
            f"p{number}",
            is_interested=rng.random() < 0.7,
            has_everything=rng.random() < 0.2,
            is_unchoked=rng.random() < 0.5,
            unchoked_at=rng.choice([None, NOW - 100 * rng.random()]),
            is_snubbed=rng.random() < 0.2,
            upload_rate=rng.choice([0.0, rng.random()]),
            download_rate=rng.choice([0.0, rng.random()]),
        )
        for number in range(count)
    ]
    keys = [one.key for one in peers]
    keep = tuple(one.key for one in peers if one.is_unchoked) if rng.random() < 0.5 else ()
    optimistic = rng.choice([None, *keys, "gone"])
    decision = choose(peers, slots=slots, is_seeding=is_seeding, optimistic=optimistic, keep=keep, seed=seed)

    wanting = {one.key for one in peers if one.is_interested and not one.has_everything}
    assert len(decision.unchoked) <= slots
    assert len(decision.unchoked & wanting) == min(slots, len(wanting))
    assert not any(one.has_everything and one.key in decision.unchoked for one in peers)
    assert decision.optimistic is None or decision.optimistic in decision.unchoked
