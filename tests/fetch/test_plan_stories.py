"""Whole downloads on virtual time. A story holds for every seed; the name of a test that fails has the seed.

The bound of a download is F / sum of rates. Its last byte may come later by one short run: what is not worth a request
of its own (0.2 s, or four waits for a first byte), the wait itself, and the time it takes to look (0.1 s).
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.fetch.claims import Stop, StopReason
from shoal.fetch.plan import DOUBLED_MOST, SHORTEST_TAIL, WAITS_A_TAIL, Plan
from shoal.formats.bitfield import all_bits
from shoal.testing.origin import Outcome, SimulatedDownload, SimulatedOrigin, covered
from shoal.units import GIB, KIB, MIB

SEEDS = range(10)
LOOKS = 0.1


def short_run(origin: SimulatedOrigin) -> float:
    return max(SHORTEST_TAIL, WAITS_A_TAIL * 1.2 * origin.latency) + 2.4 * origin.latency + LOOKS


def download(
    plan: Plan, origin: SimulatedOrigin, seed: int = 0, tick: float = 0.01
) -> tuple[Outcome, SimulatedDownload]:
    """Run it, and see that every byte came, and none twice but at the very end."""
    missing = plan.bytes_left
    had = plan.have_bits
    story = SimulatedDownload(plan, origin, seed=seed, tick=tick)
    outcome = story.run()
    assert covered(story.rows) == missing
    assert plan.have_bits == all_bits(plan.piece_count)
    assert sorted(story.whole) == [piece for piece in range(plan.piece_count) if not had >> piece & 1]
    assert story.twice <= outcome.most_running * DOUBLED_MOST
    return outcome, story


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_byte_comes_within_a_short_run_of_the_bound_whatever_the_rates(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(2, 16)
    rates = [rng.choice([0.3, 1.0, 3.0]) * MIB for _ in range(count)]
    origin = SimulatedOrigin(
        each=lambda fetcher, _: rates[(fetcher - 1) % count], latency=rng.uniform(0.01, 0.2)
    )
    length = rng.randint(20, 300) * MIB + rng.randint(0, MIB)
    plan = Plan(length, most_fetchers=count, first_fetchers=count)
    outcome, _ = download(plan, origin, seed)
    assert outcome.seconds <= 1.02 * length / sum(rates) + short_run(origin)


@pytest.mark.parametrize("seed", SEEDS)
def test_rates_that_change_ten_to_one_cost_a_tenth_at_most(seed: int) -> None:
    turn = random.Random(seed).uniform(2.0, 8.0)

    def rate(fetcher: int, seconds: float) -> float:
        return (10 if (int(seconds / turn) + fetcher) % 2 else 1) * MIB

    origin = SimulatedOrigin(each=rate)
    outcome, _ = download(Plan(GIB, most_fetchers=8, first_fetchers=8), origin, seed)
    assert outcome.seconds <= 1.1 * GIB / (44 * MIB)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_crawling_connection_does_not_hold_up_the_end(seed: int) -> None:
    crawls = 1 + seed % 8
    origin = SimulatedOrigin(each=lambda fetcher, _: 20 * KIB if fetcher == crawls else 5 * MIB)
    outcome, _ = download(Plan(256 * MIB, most_fetchers=8, first_fetchers=8), origin, seed)
    assert outcome.seconds <= 1.02 * 256 / 35 + short_run(origin)


@pytest.mark.parametrize("seed", SEEDS)
def test_connections_that_freeze_cost_their_share_of_the_time_until_it_is_noticed(seed: int) -> None:
    frozen = 1 + seed % 8
    origin = SimulatedOrigin(
        each=5 * MIB, is_silent=lambda request, seconds: request == frozen and seconds > 3
    )
    plan = Plan(256 * MIB, most_fetchers=8, first_fetchers=8)
    outcome, _ = download(plan, origin, seed)
    assert StopReason.STALLED in outcome.reasons
    assert outcome.seconds <= 1.02 * 256 / 40 + 2.5 / 8 + short_run(origin)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_connection_that_freezes_at_the_very_end_costs_less_than_a_stall(seed: int) -> None:
    """Its last bytes are fetched by another as well: nobody waits the two seconds it takes to be sure."""
    origin = SimulatedOrigin(each=5 * MIB, is_silent=lambda request, seconds: request == 2 and seconds > 6.5)
    outcome, _ = download(Plan(256 * MIB + seed * 100 * KIB, most_fetchers=8, first_fetchers=8), origin, seed)
    assert outcome.seconds <= 256 / 40 + 1.0 + short_run(origin)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_interruption_of_the_whole_line_ends_no_run(seed: int) -> None:
    origin = SimulatedOrigin(each=5 * MIB, is_silent=lambda _, seconds: 2 < seconds < 2 + seed % 8)
    outcome, _ = download(Plan(256 * MIB, most_fetchers=8, first_fetchers=8), origin, seed)
    assert outcome.reasons <= {StopReason.TAKEN}


@pytest.mark.parametrize("seed", SEEDS)
def test_where_each_connection_is_limited_all_that_may_be_are_running_within_a_second_and_a_half(
    seed: int,
) -> None:
    origin = SimulatedOrigin(each=MIB)
    outcome, _ = download(Plan(256 * MIB, most_fetchers=16), origin, seed)
    assert outcome.running_at(1.5) == 16
    assert outcome.most_running == 16
    assert outcome.seconds <= 16 + 1.0 + short_run(origin)


@pytest.mark.parametrize("every", [0.5, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_sends_now_and_then_shows_its_limit_by_its_first_pause(seed: int, every: float) -> None:
    """As nginx does with `limit_rate`; and what is for a second or half of it comes at once."""
    origin = SimulatedOrigin(each=4 * MIB, sends_every=every, total=GIB, latency=0.002)
    outcome, _ = download(Plan(128 * MIB, most_fetchers=16), origin, seed)
    assert outcome.running_at(0.4) == 16
    assert outcome.seconds <= 128 / 64 + 0.4


@pytest.mark.parametrize("seed", SEEDS)
def test_with_a_limit_of_each_connection_all_are_running_within_half_a_second_on_a_short_way(
    seed: int,
) -> None:
    origin = SimulatedOrigin(each=4 * MIB, latency=0.005)
    outcome, _ = download(Plan(128 * MIB, most_fetchers=16), origin, seed)
    assert outcome.running_at(0.7) == 16
    assert outcome.seconds <= 128 / 64 + 0.7 + short_run(origin)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_sends_a_second_in_advance_deceives_nobody(seed: int) -> None:
    origin = SimulatedOrigin(each=2 * MIB, burst=1.0, total=GIB, latency=0.005)
    outcome, _ = download(Plan(512 * MIB, most_fetchers=16), origin, seed)
    assert outcome.running_at(3.0) == 16
    assert outcome.seconds <= 512 / 32 + 2.0


@pytest.mark.parametrize("seed", SEEDS)
def test_where_more_connections_add_nothing_there_is_soon_one_again(seed: int) -> None:
    outcome, story = download(Plan(GIB), SimulatedOrigin(total=20 * MIB), seed)
    assert StopReason.SURPLUS in outcome.reasons
    spent = sum(
        (after - since) * (count - 1)
        for (since, count), (after, _) in zip(outcome.running, outcome.running[1:], strict=False)
        if after < outcome.seconds - 1
    )
    assert spent / outcome.seconds < 0.6, "fetchers that add nothing, as a mean over the download"
    assert outcome.seconds <= 1.01 * 1024 / 20 + short_run(story.origin)


@pytest.mark.parametrize("seed", SEEDS)
def test_connections_that_begin_slowly_are_not_taken_for_a_gain_for_long(seed: int) -> None:
    origin = SimulatedOrigin(total=20 * MIB, latency=0.1, first_rate=140 * KIB)
    outcome, _ = download(Plan(GIB), origin, seed)
    assert outcome.running_at(20.0) <= 2
    assert outcome.seconds <= 1.01 * 1024 / 20 + 1.0 + short_run(origin)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_those_that_add_nothing_the_slowest_goes(seed: int) -> None:
    origin = SimulatedOrigin(each=lambda fetcher, _: 20 * KIB if fetcher == 1 else GIB, total=20 * MIB)
    outcome, _ = download(Plan(GIB), origin, seed)
    assert Stop(1, StopReason.SURPLUS) in outcome.stops


@pytest.mark.parametrize("seed", SEEDS)
def test_as_many_fetchers_stay_as_fill_the_line(seed: int) -> None:
    outcome, _ = download(Plan(2 * GIB), SimulatedOrigin(each=20 * MIB, total=100 * MIB), seed)
    assert 4 <= outcome.running_at(12.0) <= 6
    assert outcome.seconds <= 1.05 * 2048 / 100 + 1.5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_refuses_more_is_left_at_what_it_stands(seed: int) -> None:
    origin = SimulatedOrigin(each=5 * MIB, most_connections=5)
    outcome, _ = download(Plan(GIB), origin, seed)
    assert outcome.most_running == 5
    assert 1 <= outcome.refusals <= 4, "in most of a minute"
    assert outcome.seconds <= 1.02 * 1024 / 25 + 1.5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gib_in_a_second_is_left_to_one_connection(seed: int) -> None:
    origin = SimulatedOrigin(total=GIB, latency=0.002)
    outcome, _ = download(Plan(GIB), origin, seed, tick=0.002)
    assert outcome.requests == 1
    assert outcome.seconds <= 1.05


@pytest.mark.parametrize("seed", SEEDS)
def test_half_a_gib_a_second_is_doubled_in_time_where_more_connections_bring_it(seed: int) -> None:
    origin = SimulatedOrigin(each=256 * MIB, total=GIB, latency=0.002)
    outcome, _ = download(Plan(GIB), origin, seed, tick=0.002)
    assert outcome.seconds <= 2.2, "four seconds with one, one with four from the start"


@pytest.mark.parametrize("seed", SEEDS)
def test_eight_fetchers_make_few_requests_for_a_gib(seed: int) -> None:
    rng = random.Random(seed)
    rates = [rng.uniform(1, 10) * MIB for _ in range(8)]
    origin = SimulatedOrigin(each=lambda fetcher, _: rates[(fetcher - 1) % 8])
    outcome, _ = download(Plan(GIB, most_fetchers=8, first_fetchers=8), origin, seed)
    assert outcome.requests <= 64


@settings(max_examples=60)
@given(st.data())
def test_any_download_is_resumed_from_any_pieces(data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 40 * MIB))
    plan = Plan(length)
    have_bits = data.draw(st.integers(0, all_bits(plan.piece_count)))
    most = data.draw(st.integers(1, 9))
    each = data.draw(st.sampled_from([200 * KIB, 2 * MIB, 50 * MIB]))
    refuses_above = data.draw(st.integers(1, 9))
    origin = SimulatedOrigin(each=each, latency=0.03, most_connections=refuses_above)
    plan = Plan(length, have_bits, most_fetchers=most, first_fetchers=data.draw(st.integers(1, most)))
    outcome, _ = download(plan, origin, data.draw(st.integers(0, 9)))
    assert outcome.most_running <= min(most, refuses_above)
