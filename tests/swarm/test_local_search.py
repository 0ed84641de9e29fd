"""When a swarm is called in the local network, and who of those that are heard is worth an attempt."""

from __future__ import annotations

import random

from shoal.protocol.local_discovery import Announcement
from shoal.swarm.local_search import (
    FORGOTTEN_AFTER,
    INTERVAL,
    JITTER,
    MOST_PEERS,
    MOST_PER_SOURCE,
    MOST_SOURCES,
    TOLD_AGAIN_AFTER,
    LocalSearch,
)

ONE, OTHER = b"1" * 20, b"2" * 20


def search() -> LocalSearch:
    made = LocalSearch("ours", random.Random(1))
    made.join(ONE, 0.0)
    return made


def call(port: int = 1, *info_hashes: bytes, cookie: str = "theirs") -> Announcement:
    return Announcement("", port, info_hashes or (ONE,), cookie)


def calls_until(end: float, made: LocalSearch) -> list[float]:
    """When it calls, left alone."""
    times = []
    while (deadline := made.next_deadline()) is not None and deadline <= end:
        assert made.take_due(deadline) == [ONE]
        times.append(deadline)
    return times


def test_it_calls_at_once_and_twice_more_and_then_every_five_minutes() -> None:
    first, second, third, *later = calls_until(3000, search())
    assert (first, second, third) == (0, 1, 5)
    gaps = [after - before for before, after in zip([third, *later], later, strict=False)]
    assert len(gaps) >= 8
    assert all(INTERVAL * (1 - JITTER) <= gap <= INTERVAL * (1 + JITTER) for gap in gaps)
    assert len(set(gaps)) > 1


def test_nothing_is_due_of_a_swarm_that_was_left_or_joined_twice() -> None:
    made = search()
    made.take_due(0)
    made.join(ONE, 0.5)
    assert made.take_due(0.5) == []
    made.leave(ONE)
    made.leave(OTHER)
    assert made.next_deadline() is None


def test_a_new_voice_is_told_and_answered_at_once() -> None:
    made = search()
    calls_until(100, made)
    assert made.on_heard(call(7), "10.0.0.7", 100) == [(ONE, ("10.0.0.7", 7))]
    assert made.take_due(100) == [ONE]


def test_a_known_voice_is_told_again_after_a_while_and_not_answered() -> None:
    made = search()
    calls_until(100, made)
    made.on_heard(call(), "10.0.0.7", 100)
    made.take_due(100)
    assert made.on_heard(call(), "10.0.0.7", 101) == []
    assert made.on_heard(call(), "10.0.0.7", 100 + TOLD_AGAIN_AFTER) != []
    assert made.take_due(102 + TOLD_AGAIN_AFTER) == []


def test_whoever_was_started_anew_at_an_old_address_is_new() -> None:
    made = search()
    calls_until(100, made)
    made.on_heard(call(cookie="a"), "10.0.0.7", 100)
    made.take_due(100)
    assert made.on_heard(call(cookie="b"), "10.0.0.7", 110) != []
    assert made.take_due(110) == [ONE]


def test_however_many_call_the_answer_is_one_a_second() -> None:
    made = search()
    calls_until(100, made)
    answers = 0
    for number in range(200):
        now = 100 + number / 50
        made.on_heard(call(1 + number), "10.0.0.7", now)
        answers += len(made.take_due(now))
    assert answers == 4


def test_two_that_answer_each_other_come_to_rest() -> None:
    left, right = LocalSearch("l", random.Random(1)), LocalSearch("r", random.Random(2))
    left.join(ONE, 0)
    right.join(ONE, 50)
    calls = 0
    deadlines = [0.0]
    while deadlines and (now := min(deadlines)) < 200:
        for us, them, port in ((left, right, 1), (right, left, 2)):
            if us.take_due(now):
                calls += 1
                if now >= 50:
                    them.on_heard(call(port, cookie=us.cookie), "10.0.0.1", now)
        deadlines = [one for us in (left, right) if (one := us.next_deadline()) is not None]
    assert calls == 3 + 3 + 1


def test_only_swarms_we_are_in_are_told_and_never_our_own_voice() -> None:
    made = search()
    assert made.on_heard(call(1, OTHER), "10.0.0.7", 0) == []
    assert made.on_heard(call(1, OTHER, ONE), "10.0.0.7", 0) == [(ONE, ("10.0.0.7", 1))]
    assert made.on_heard(call(2, cookie="ours"), "10.0.0.7", 0) == []


def test_no_more_peers_are_told_than_are_remembered_and_the_silent_make_room() -> None:
    made = search()
    told = [made.on_heard(call(1 + number), "10.0.0.7", 0) for number in range(2 * MOST_PEERS)]
    assert sum(map(bool, told)) == MOST_PEERS
    assert made.on_heard(call(9999), "10.0.0.8", FORGOTTEN_AFTER) == []
    assert made.on_heard(call(9999), "10.0.0.8", FORGOTTEN_AFTER + 1) != []


def test_one_source_is_read_so_often_a_second_and_no_more() -> None:
    made = search()
    assert sum(made.admits("10.0.0.7", 5.5) for _ in range(100)) == MOST_PER_SOURCE
    assert made.admits("10.0.0.8", 5.9)
    assert made.admits("10.0.0.7", 6.0)


def test_a_flood_of_many_sources_takes_no_memory() -> None:
    made = search()
    assert sum(made.admits(str(number), 5.5) for number in range(3000)) == MOST_SOURCES
