from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import NetworkError, NotFoundError
from shoal.fetch.patience import (
    DEFAULT_MOST_TRIES,
    FIRST_WAIT,
    JITTER,
    LONGEST_RETRY_AFTER,
    LONGEST_WAIT,
    PROGRESS,
    Patience,
)

BROKEN = NetworkError("the connection was closed", hint="try later")


def fail(patience: Patience, now: float, received: int = 0, retry_after: float | None = None) -> None:
    patience.on_failure(now, BROKEN, asked_at=now, received=received, retry_after=retry_after)


@given(st.integers(0, 1000))
def test_waits_double_with_jitter_until_the_tries_are_used_up(seed: int) -> None:
    patience = Patience(random.Random(seed))
    now = 1.0
    for number in range(DEFAULT_MOST_TRIES - 1):
        fail(patience, now)
        usual = min(FIRST_WAIT * 2**number, LONGEST_WAIT)
        assert usual * (1 - JITTER) <= patience.ready_at - now <= usual * (1 + JITTER)
        assert not patience.is_ready(now)
        now = patience.ready_at
        assert patience.is_ready(now)
    fail(patience, now)
    assert patience.gave_up is not None
    assert patience.gave_up.message == "the connection was closed (8 tries)"
    assert patience.gave_up.hint == "try later"
    assert not patience.is_ready(now + 1e6)


def test_two_that_fail_at_once_do_not_come_back_at_once() -> None:
    rng = random.Random(1)
    waits = set()
    for _ in range(20):
        patience = Patience(rng)
        fail(patience, 1.0)
        waits.add(patience.ready_at)
    assert len(waits) == 20


def test_connections_that_break_together_count_as_one_failure() -> None:
    patience = Patience(random.Random(1))
    for connection in range(16):
        patience.on_failure(10.0 + connection / 100, BROKEN, asked_at=1.0, received=0, retry_after=None)
    assert patience.failures == 1


def test_a_source_that_brings_something_may_fail_for_ever() -> None:
    patience = Patience(random.Random(1))
    for number in range(100):
        fail(patience, 1.0 + number, received=PROGRESS)
    assert patience.gave_up is None
    assert patience.failures == 1


def test_a_source_that_brings_next_to_nothing_may_not() -> None:
    patience = Patience(random.Random(1))
    for number in range(DEFAULT_MOST_TRIES):
        fail(patience, 1.0 + number, received=PROGRESS - 1)
    assert patience.gave_up is not None


@given(st.floats(0.0, LONGEST_RETRY_AFTER))
def test_retry_after_is_obeyed(seconds: float) -> None:
    patience = Patience(random.Random(1))
    fail(patience, 100.0, retry_after=seconds)
    assert patience.ready_at >= 100.0 + seconds
    fail(patience, 101.0, retry_after=0.0)
    assert patience.ready_at >= 100.0 + seconds, "a later word does not shorten it"


def test_a_source_that_wants_to_be_asked_tomorrow_is_given_up_and_says_so() -> None:
    patience = Patience(random.Random(1))
    fail(patience, 100.0, retry_after=86400.0)
    assert patience.gave_up is not None
    assert patience.gave_up.message == "asks to come back in 24 h 00 min"


def test_the_first_reason_stays() -> None:
    patience = Patience(random.Random(1))
    patience.give_up(NotFoundError("answered 404 Not Found"))
    patience.give_up(BROKEN)
    assert isinstance(patience.gave_up, NotFoundError)


@pytest.mark.parametrize("tries", [1, 3])
def test_as_many_tries_as_one_asks_for(tries: int) -> None:
    patience = Patience(random.Random(1), most_tries=tries)
    for number in range(tries):
        assert patience.gave_up is None
        fail(patience, 1.0 + number)
    assert patience.gave_up is not None
