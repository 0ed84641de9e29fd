"""How many bytes may pass: never more than the rate, the burst and the overdraft together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.net.bucket import Bucket

RATES = st.integers(1000, 10**9)
PAUSES = st.floats(0.0, 3.0)


@given(RATES, st.lists(st.tuples(PAUSES, st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=40))
def test_no_stretch_of_time_sees_more_than_its_rate_a_burst_and_an_overdraft(
    rate: int, steps: list[tuple[float, float, bool]]
) -> None:
    bucket = Bucket(rate, 0.0)
    now = 0.0
    taken: list[tuple[float, int]] = []
    for pause, part, borrows in steps:
        now += pause
        most = bucket.level(now) + (bucket.overdraft if borrows else 0.0)
        count = max(0, int(most * part))
        bucket.take(count)
        taken.append((now, count))
    for first in range(len(taken)):
        passed = 0
        for at, count in taken[first:]:
            passed += count
            seconds = at - taken[first][0]
            assert passed <= rate * seconds * (1 + 1e-9) + bucket.burst + bucket.overdraft + 1


@given(RATES, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_what_is_waited_for_is_there_when_it_was_said_to_be(rate: int, part: float, wanted: float) -> None:
    bucket = Bucket(rate, 0.0)
    bucket.take(int(bucket.level(1.0) * part))
    level = bucket.burst * wanted
    after = 1.0 + bucket.seconds_until(level, 1.0)
    assert bucket.level(after) == pytest.approx(max(level, bucket.level(1.0)), abs=1e-3)


def test_it_begins_empty_and_saves_up_no_more_than_a_burst() -> None:
    bucket = Bucket(1000, 5.0)
    assert bucket.level(5.0) == 0
    assert bucket.level(5.05) == pytest.approx(50)
    assert bucket.level(60.0) == 100


def test_a_low_rate_still_saves_up_enough_for_one_portion() -> None:
    assert Bucket(1000, 0.0, least_burst=1024).level(10.0) == 1024
