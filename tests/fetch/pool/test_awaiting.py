"""How long the origin is left alone while helpers say what they have kept."""

from __future__ import annotations

import random

import pytest

from shoal.fetch.pool.awaiting import ANSWERS_WITHIN, COMES_WITHIN, LITTLE, LONGEST, MEETS_WITHIN, Awaiting
from shoal.units import MIB

FILE = 100 * MIB
LOOK = 0.05  # seconds


def nobody(helper: bytes) -> bool:
    return False


def waited(awaiting: Awaiting, seconds: float, left: int = FILE) -> float:
    """So long, looked at from second 7 on."""
    looks = round(seconds / LOOK)
    return LOOK * sum(awaiting.is_waiting(left, nobody, 7.0 + look * LOOK) for look in range(looks))


def alone() -> Awaiting:
    return Awaiting(7.0, lambda: False)


def test_where_nobody_was_met_nothing_is_waited_for() -> None:
    assert waited(alone(), 5.0) == 0


def test_who_is_there_and_did_not_say_what_it_is_is_waited_for_a_moment() -> None:
    assert 0 < waited(Awaiting(7.0, lambda: True), 5.0) < MEETS_WITHIN + 1.5 * LOOK


def test_a_helper_that_does_not_answer_is_waited_for_no_longer() -> None:
    awaiting = alone()
    awaiting.on_asked(b"helper", 7.0)
    assert 0 < waited(awaiting, 5.0) < ANSWERS_WITHIN + 1.5 * LOOK


def test_a_helper_that_has_nothing_is_not_waited_for() -> None:
    awaiting = alone()
    awaiting.on_asked(b"helper", 7.0)
    awaiting.on_answer(b"helper", 7.0, is_any=False)
    assert waited(awaiting, 5.0) == 0


def test_a_helper_that_says_it_has_some_and_never_comes_is_waited_for_no_longer() -> None:
    awaiting = alone()
    awaiting.on_asked(b"helper", 7.0)
    awaiting.on_answer(b"helper", 7.0, is_any=True)
    assert 0 < waited(awaiting, 5.0) < COMES_WITHIN + 1.5 * LOOK


def test_it_is_over_as_soon_as_a_helper_told_what_it_has() -> None:
    awaiting = alone()
    awaiting.on_asked(b"helper", 7.0)
    awaiting.on_answer(b"helper", 7.0, is_any=True)
    assert awaiting.is_waiting(FILE, nobody, 7.0)
    assert not awaiting.is_waiting(FILE, lambda helper: helper == b"helper", 7.1)


def test_who_was_not_asked_is_not_waited_for_whatever_it_says() -> None:
    awaiting = alone()
    awaiting.on_answer(b"somebody", 7.0, is_any=True)
    assert waited(awaiting, 5.0) == 0


def test_for_a_little_nobody_is_waited_for() -> None:
    awaiting = alone()
    awaiting.on_asked(b"helper", 7.0)
    assert waited(awaiting, 5.0, LITTLE) == 0


@pytest.mark.parametrize("seed", range(20))
def test_whatever_helpers_say_and_when_the_origin_is_asked_soon(seed: int) -> None:
    rng = random.Random(seed)
    awaiting = Awaiting(7.0, lambda: True)
    names = [b"%d" % number for number in range(8)]
    seconds = 0.0
    for look in range(400):
        now = 7.0 + look * LOOK
        if rng.random() < 0.5:
            awaiting.on_asked(rng.choice(names), now)
        if rng.random() < 0.5:
            awaiting.on_answer(rng.choice(names), now, is_any=rng.random() < 0.8)
        if rng.random() < 0.1:
            awaiting.on_gone(rng.choice(names))
        seconds += LOOK * awaiting.is_waiting(FILE, nobody, now)
    assert seconds <= LONGEST + 2 * LOOK
