from __future__ import annotations

import itertools
import math
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.tracker.messages import Event
from shoal.protocol.tracker.urls import is_http
from shoal.swarm.tiers import (
    BACKOFF_JITTER,
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    LONGEST_INTERVAL,
    SHORTEST_INTERVAL,
    AnnounceAction,
    AnnounceSchedule,
)

A, B, C = "http://a/announce", "http://b/announce", "http://c/announce"


def schedule_of(*tiers: list[str], seed: int = 1) -> AnnounceSchedule:
    return AnnounceSchedule(tiers, random.Random(seed), is_supported=is_http)


def asked(schedule: AnnounceSchedule, now: float) -> AnnounceAction:
    action = schedule.next_action(now)
    assert action is not None, f"nothing is asked at {now}"
    return action


def test_the_first_announce_says_started_and_the_next_says_nothing() -> None:
    schedule = schedule_of([A])
    assert asked(schedule, 0) == AnnounceAction(A, Event.STARTED, 50)
    assert schedule.next_action(0) is None
    schedule.on_response(A, 1, interval=600)
    assert schedule.next_deadline() == 601
    assert schedule.next_action(600) is None
    assert asked(schedule, 601) == AnnounceAction(A, None, 50)


def test_the_next_tier_is_asked_only_when_the_whole_tier_has_failed() -> None:
    schedule = schedule_of([A, B], [C])
    first = asked(schedule, 0)
    schedule.on_failure(first.url, 0)
    second = asked(schedule, 0)
    assert {first.url, second.url} == {A, B}
    schedule.on_failure(second.url, 0)
    assert asked(schedule, 0) == AnnounceAction(C, Event.STARTED, 50)


def test_a_tier_that_comes_back_is_asked_before_the_lower_one() -> None:
    schedule = schedule_of([A], [C])
    asked(schedule, 0)
    schedule.on_failure(A, 0)
    asked(schedule, 0)
    schedule.on_response(C, 0, interval=100)
    assert asked(schedule, 100).url == A
    schedule.on_response(A, 100, interval=100)
    assert asked(schedule, 200).url == A


def test_a_tracker_that_works_moves_to_the_front_of_its_tier() -> None:
    schedule = schedule_of([A, B, C])
    failing = asked(schedule, 0).url
    schedule.on_failure(failing, 0)
    working = asked(schedule, 0).url
    schedule.on_response(working, 0, interval=5000)
    assert asked(schedule, 5000) == AnnounceAction(working, None, 50)


def test_tiers_are_shuffled_so_that_the_load_spreads() -> None:
    first = Counter(asked(schedule_of([A, B, C], seed=seed), 0).url for seed in range(300))
    assert set(first) == {A, B, C}
    assert min(first.values()) > 60


def test_a_failing_tracker_is_asked_ever_more_rarely() -> None:
    schedule = schedule_of([A])
    now, waits = 0.0, []
    for _ in range(15):
        asked(schedule, now)
        schedule.on_failure(A, now)
        deadline = schedule.next_deadline()
        assert deadline is not None
        waits.append(deadline - now)
        assert schedule.next_action(now + waits[-1] * 0.99) is None
        now = deadline
    assert abs(waits[0] - FIRST_BACKOFF) <= FIRST_BACKOFF * BACKOFF_JITTER
    assert abs(waits[-1] - LONGEST_BACKOFF) <= LONGEST_BACKOFF * BACKOFF_JITTER
    assert all(later > earlier for earlier, later in itertools.pairwise(waits[:8]))
    assert len(set(waits)) == len(waits)


def test_an_answer_ends_the_backoff() -> None:
    schedule = schedule_of([A])
    for now in (0.0, 10.0, 30.0):
        asked(schedule, now)
        schedule.on_failure(A, now)
    asked(schedule, 100)
    schedule.on_response(A, 100, interval=60)
    asked(schedule, 160)
    schedule.on_failure(A, 160)
    deadline = schedule.next_deadline()
    assert deadline is not None and deadline - 160 <= FIRST_BACKOFF * (1 + BACKOFF_JITTER)


def test_a_tracker_that_says_when_to_retry_is_obeyed() -> None:
    schedule = schedule_of([A])
    asked(schedule, 0)
    schedule.on_failure(A, 0, retry_in=900)
    assert schedule.next_deadline() == 900


def test_a_tracker_that_says_never_is_not_asked_again() -> None:
    schedule = schedule_of([A], [B])
    asked(schedule, 0)
    schedule.on_failure(A, 0, retry_in=math.inf)
    assert asked(schedule, 0).url == B
    schedule.on_failure(B, 0, retry_in=math.inf)
    assert schedule.next_deadline() is None
    assert schedule.next_action(1e9) is None


def test_intervals_have_a_floor_and_a_ceiling() -> None:
    for named, kept in ((0, SHORTEST_INTERVAL), (2**31, LONGEST_INTERVAL), (None, 1800)):
        schedule = schedule_of([A])
        asked(schedule, 0)
        schedule.on_response(A, 0, interval=named)
        assert schedule.next_deadline() == kept


def test_a_min_interval_above_the_interval_wins() -> None:
    schedule = schedule_of([A])
    asked(schedule, 0)
    schedule.on_response(A, 0, interval=60, min_interval=300)
    assert schedule.next_deadline() == 300


def test_wanted_peers_hasten_the_announce_but_not_beyond_the_min_interval() -> None:
    schedule = schedule_of([A])
    asked(schedule, 0)
    schedule.on_response(A, 0, interval=1800, min_interval=30)
    schedule.on_peers_wanted()
    assert schedule.next_action(29) is None
    assert schedule.next_deadline() == 30
    assert asked(schedule, 30).url == A
    schedule.on_response(A, 30, interval=1800, min_interval=30)
    assert schedule.next_deadline() == 1830


def test_wanted_peers_do_not_turn_to_the_others_of_a_tier_that_works() -> None:
    schedule = schedule_of([A, B], [C])
    working = asked(schedule, 0).url
    schedule.on_response(working, 0, interval=1800, min_interval=30)
    schedule.on_peers_wanted()
    assert schedule.next_action(10) is None
    assert asked(schedule, 30).url == working


def test_completed_is_told_at_once_and_once() -> None:
    schedule = schedule_of([A])
    asked(schedule, 0)
    schedule.on_response(A, 0, interval=1800, min_interval=900)
    schedule.on_completed()
    assert schedule.next_deadline() == -math.inf
    assert asked(schedule, 10) == AnnounceAction(A, Event.COMPLETED, 50)
    schedule.on_response(A, 10, interval=1800)
    assert asked(schedule, 1810).event is None


def test_completed_goes_to_every_tracker_that_heard_started_and_to_no_other() -> None:
    schedule = schedule_of([A], [B], [C])
    asked(schedule, 0)
    schedule.on_response(A, 0, interval=100)
    asked(schedule, 100)
    schedule.on_failure(A, 100)
    asked(schedule, 100)
    schedule.on_response(B, 100, interval=100)
    schedule.on_completed()
    told = {asked(schedule, 150).url, asked(schedule, 150).url}
    assert told == {A, B}
    assert schedule.next_action(150) is None


def test_completed_while_started_is_under_way_is_told_after_it() -> None:
    schedule = schedule_of([A])
    asked(schedule, 0)
    schedule.on_completed()
    assert schedule.next_action(1) is None
    schedule.on_response(A, 2, interval=1800)
    assert asked(schedule, 2).event is Event.COMPLETED


def test_completed_is_told_again_until_it_was_heard() -> None:
    schedule = schedule_of([A])
    asked(schedule, 0)
    schedule.on_response(A, 0, interval=1800)
    schedule.on_completed()
    asked(schedule, 1)
    schedule.on_failure(A, 1)
    deadline = schedule.next_deadline()
    assert deadline is not None and deadline < 10
    assert asked(schedule, deadline).event is Event.COMPLETED


def test_who_never_heard_started_hears_started_and_not_completed() -> None:
    schedule = schedule_of([A])
    asked(schedule, 0)
    schedule.on_completed()
    schedule.on_failure(A, 0)
    assert asked(schedule, 100).event is Event.STARTED
    schedule.on_response(A, 100, interval=1800)
    assert schedule.next_action(101) is None


def test_stopped_goes_to_those_that_may_have_heard_started() -> None:
    schedule = schedule_of([A], [B], [C])
    assert schedule.stop_actions() == []
    asked(schedule, 0)
    schedule.on_failure(A, 0)
    asked(schedule, 0)
    assert schedule.stop_actions() == [AnnounceAction(B, Event.STOPPED, 0)]
    schedule.on_response(B, 0)
    assert schedule.stop_actions() == [AnnounceAction(B, Event.STOPPED, 0)]


def test_a_scheme_that_is_not_spoken_is_set_aside_and_skipped() -> None:
    schedule = schedule_of(["udp://a:1"], ["wss://b", C])
    assert schedule.unsupported == ("udp://a:1", "wss://b")
    assert asked(schedule, 0).url == C


def test_no_trackers_at_all_is_nothing_to_do() -> None:
    for schedule in (schedule_of(), schedule_of([]), schedule_of(["udp://a:1"])):
        assert schedule.next_action(0) is None
        assert schedule.next_deadline() is None
        assert schedule.stop_actions() == []


def test_a_tracker_named_twice_is_one_tracker() -> None:
    schedule = schedule_of([A, A], [A])
    asked(schedule, 0)
    schedule.on_failure(A, 0)
    assert schedule.next_action(0) is None


@given(
    tiers=st.lists(st.lists(st.sampled_from([A, B, C, "udp://x:1"]), max_size=4), max_size=3),
    seed=st.integers(0, 1000),
    steps=st.lists(st.tuples(st.sampled_from("adfwc"), st.floats(0, 2000)), max_size=60),
)
def test_whatever_happens_the_schedule_keeps_its_promises(
    tiers: list[list[str]], seed: int, steps: list[tuple[str, float]]
) -> None:
    schedule = AnnounceSchedule(tiers, random.Random(seed), is_supported=is_http)
    now, under_way, started = 0.0, [], set()
    for step, amount in steps:
        now += amount if step == "a" else 0
        action = schedule.next_action(now)
        if action is not None:
            assert action.url not in under_way, "asked twice at once"
            assert (action.event is Event.STARTED) == (action.url not in started)
            under_way.append(action.url)
        elif not under_way:
            deadline = schedule.next_deadline()
            assert deadline is None or deadline > now, "idle though something is due"
        if step == "w":
            schedule.on_peers_wanted()
        elif step == "c":
            schedule.on_completed()
        elif under_way and step == "d":
            started.add(under_way[0])
            schedule.on_response(under_way.pop(0), now, interval=amount)
        elif under_way and step == "f":
            schedule.on_failure(under_way.pop(0), now)
    assert {action.url for action in schedule.stop_actions()} == started | set(under_way)
