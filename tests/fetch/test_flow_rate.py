"""The rate of a download: of all fetchers together, and only of the time in which there was anything to fetch."""

from __future__ import annotations

import pytest

from shoal.fetch.flow_rate import FlowRate
from shoal.fetch.plan import Plan
from shoal.units import KIB, MIB

from .test_plan import fetch


def flowing(flow: FlowRate, begin: float, end: float, rate: float) -> None:
    ticks = round((end - begin) * 20)
    for tick in range(1, ticks + 1):
        flow.add(int(rate / 20), begin + tick / 20)


def test_nothing_is_known_before_the_first_byte() -> None:
    flow = FlowRate()
    flow.work(1.0)
    assert flow.rate(5.0) == 0.0


def test_the_wait_for_the_first_byte_does_not_count() -> None:
    flow = FlowRate()
    flow.work(0.0)
    flowing(flow, 3.0, 4.0, MIB)
    assert flow.rate(4.0) == pytest.approx(MIB, rel=0.1)


def test_who_rests_is_not_slow_when_there_is_work_again() -> None:
    flow = FlowRate()
    flow.work(0.0)
    flowing(flow, 0.0, 3.0, MIB)
    flow.rest(3.0)
    assert flow.rate(60.0) == pytest.approx(MIB, rel=0.1)
    flow.work(60.0)
    flowing(flow, 60.0, 60.5, MIB)
    assert flow.rate(60.5) == pytest.approx(MIB, rel=0.1)


def test_who_has_a_run_and_gets_nothing_is_slow() -> None:
    flow = FlowRate()
    flow.work(0.0)
    flowing(flow, 0.0, 3.0, MIB)
    assert flow.rate(6.0) < 0.6 * MIB
    assert flow.rate(9.0) == 0.0


def test_the_rate_of_a_plan_stays_when_one_fetcher_goes_and_another_comes() -> None:
    """The sum of the meters of those who run would halve: the line is one's share and a beginner's nothing."""
    plan = Plan(64 * MIB, first_fetchers=2)
    for number in (1, 2):
        plan.next_run(number, 1.0)
    for tick in range(1, 61):
        for number in (1, 2):
            fetch(plan, number, 50 * KIB, 1.0 + tick / 20)
    before = plan.rate(4.0)
    plan.on_ended(2, 4.0, ok=False)
    plan.next_run(3, 4.0)
    fetch(plan, 3, 50 * KIB, 4.05)
    assert plan.rate(4.05) == pytest.approx(before, rel=0.1)
    assert plan.demand(4.05).rate == plan.rate(4.05)
