"""The plan of a download that others take part in: what they bring is withheld, and runs are offered one by one."""

from __future__ import annotations

from shoal.fetch.claims import BLOCK, Run, Stop, StopReason
from shoal.fetch.pieces import SHORTEST_PIECE
from shoal.fetch.plan import Plan
from shoal.units import KIB, MIB

from .test_plan import fetch, started

PIECE = SHORTEST_PIECE


def own_left(plan: Plan) -> int:
    """Bytes that are left and not withheld."""
    return plan.demand(1.0).waiting + sum(run.end - run.begin for _, run in plan.claimed())


def test_what_others_bring_is_nobody_s_to_fetch_until_they_do_not() -> None:
    plan = Plan(8 * PIECE, first_fetchers=2)
    plan.withhold(0, plan.length)
    assert not plan.is_complete
    assert own_left(plan) == 0
    assert not plan.wants_another_fetcher(1.0)
    assert plan.next_run(1, 1.0) is None
    plan.offer(2 * PIECE, 4 * PIECE)
    assert own_left(plan) == 2 * PIECE
    assert plan.next_run(1, 1.0) == Run(2 * PIECE, 4 * PIECE)
    assert not plan.wants_another_fetcher(1.0), "a run of a pool is not cut between our own connections"


def test_two_runs_that_were_offered_are_two_requests() -> None:
    plan = Plan(8 * PIECE, first_fetchers=2)
    plan.withhold(0, plan.length)
    plan.offer(0, 2 * PIECE)
    plan.offer(2 * PIECE, 5 * PIECE)
    assert started(plan, 2) == [Run(0, 2 * PIECE), Run(2 * PIECE, 5 * PIECE)]


def test_a_claim_is_cut_where_others_bring_the_rest_and_keeps_what_came() -> None:
    plan = Plan(8 * PIECE)
    plan.next_run(1, 1.0)
    fetch(plan, 1, PIECE + BLOCK, 1.1)
    plan.withhold(0, 2 * PIECE)
    assert plan.tick(1.2) == [Stop(1, StopReason.TAKEN)]
    assert own_left(plan) == 6 * PIECE
    assert plan.bytes_left == 7 * PIECE - BLOCK
    plan.on_ended(1, 1.2, ok=True)
    assert plan.next_run(1, 1.2) == Run(2 * PIECE, 8 * PIECE)
    plan.withhold(5 * PIECE, 6 * PIECE)
    assert plan.end_of(1) == 5 * PIECE
    plan.offer(0, plan.length)
    assert own_left(plan) == plan.bytes_left


def test_a_fetcher_that_asked_for_more_goes_on_into_what_is_offered_behind_it() -> None:
    plan = Plan(8 * PIECE)
    plan.next_run(1, 1.0)
    plan.withhold(2 * PIECE, 8 * PIECE)
    plan.offer(2 * PIECE, 3 * PIECE)
    assert plan.end_of(1) == 3 * PIECE
    assert fetch(plan, 1, 3 * PIECE, 1.1) == [0, 1, 2]
    plan.on_ended(1, 1.1, ok=True)
    plan.offer(3 * PIECE, 4 * PIECE)
    assert plan.next_run(1, 1.1) == Run(3 * PIECE, 4 * PIECE)
    plan.offer(4 * PIECE, 5 * PIECE)
    assert plan.end_of(1) == 4 * PIECE, "it did not ask for that"


def test_a_withheld_piece_that_came_is_here_and_one_that_was_wrong_is_to_be_fetched() -> None:
    plan = Plan(2 * PIECE)
    plan.withhold(0, 2 * PIECE)
    plan.on_piece(0)
    plan.on_piece(1)
    assert plan.is_complete
    plan.lose(PIECE, 2 * PIECE)
    assert own_left(plan) == plan.bytes_left == PIECE
    assert plan.next_run(1, 1.0) == Run(PIECE, 2 * PIECE)


def test_a_demand_says_how_many_runs_could_be_begun_and_at_what_fetchers_are() -> None:
    plan = Plan(64 * PIECE, first_fetchers=2)
    plan.withhold(0, plan.length)
    assert plan.demand(1.0).idle == 2
    plan.offer(4 * PIECE, 8 * PIECE)
    assert plan.demand(1.0).waiting == 4 * PIECE
    plan.next_run(1, 1.0)
    demand = plan.demand(1.0)
    assert (demand.idle, demand.waiting, demand.begun_bits) == (1, 0, 1 << 4)
    for tick in range(1, 11):
        fetch(plan, 1, 6 * BLOCK, 1.0 + tick / 10)
    assert plan.demand(2.0).begun_bits == 1 << 7
    assert plan.demand(2.0).idle == 2, "it ends within the time that a look takes"


def test_fewer_fetchers_may_run_from_now_on_and_then_more() -> None:
    plan = Plan(64 * MIB, most_fetchers=4, first_fetchers=4)
    started(plan, 4)
    plan.limit(2)
    assert len(plan.tick(1.1)) == 2
    for stop in plan.tick(1.1):
        plan.on_ended(stop.fetcher, 1.1, ok=True)
        assert plan.next_run(stop.fetcher, 1.1) is None
    plan.limit(6)
    for tick in range(1, 60):
        now = 1.1 + tick / 10
        for number, _ in list(plan.claimed()):
            fetch(plan, number, min(100 * KIB, plan.end_of(number) - plan.position_of(number)), now)
        plan.tick(now)
    assert plan.target > 2, "it tries whether more bring more"


def test_who_is_too_many_goes_at_the_end_of_its_run() -> None:
    """To break it off costs what is on its way; the run is short, for it was offered."""
    plan = Plan(64 * PIECE, first_fetchers=2)
    plan.withhold(0, plan.length)
    plan.offer(0, 2 * PIECE)
    plan.offer(8 * PIECE, 10 * PIECE)
    started(plan, 2)
    plan.limit(1)
    assert plan.tick(1.1) == []
    fetch(plan, 2, 2 * PIECE, 1.2)
    plan.on_ended(2, 1.2, ok=True)
    plan.offer(20 * PIECE, 22 * PIECE)
    assert plan.next_run(2, 1.2) is None


def test_a_fetcher_whose_run_is_whole_keeps_its_place_until_its_transfer_is_over() -> None:
    """Else another connection would be made for what this one asks for a moment later."""
    plan = Plan(64 * PIECE, first_fetchers=2)
    plan.withhold(0, plan.length)
    plan.offer(0, 2 * PIECE)
    plan.offer(8 * PIECE, 10 * PIECE)
    plan.offer(20 * PIECE, 22 * PIECE)
    started(plan, 2)
    fetch(plan, 1, 2 * PIECE, 1.1)
    assert not plan.wants_another_fetcher(1.1)
    plan.on_ended(1, 1.1, ok=True)
    assert plan.next_run(1, 1.1) == Run(20 * PIECE, 22 * PIECE)


def test_all_that_was_asked_for_shows_in_the_demand() -> None:
    plan = Plan(64 * PIECE, first_fetchers=2)
    plan.withhold(0, plan.length)
    plan.offer(PIECE, 3 * PIECE)
    plan.offer(8 * PIECE, 10 * PIECE)
    plan.offer(20 * PIECE, 22 * PIECE)
    started(plan, 2)
    demand = plan.demand(1.1)
    assert demand.begun_bits == 1 << 1 | 1 << 8
    assert demand.asked_bits == 0b11 << 1 | 0b11 << 8
    assert demand.waiting == 2 * PIECE
