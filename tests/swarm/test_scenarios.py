"""Every scenario of `shoal.testing.scenarios`, in its quick size, is a story that ends well for every seed.

The limits are generous: what the swarm achieves is measured by `./dev bench sim`, and here only a break is found.
"""

from __future__ import annotations

import pytest

from shoal.swarm.tactics import Tactics
from shoal.testing.scenarios import SCENARIOS, Outcome, Play, prepare

from .invariants import check_swarm
from .replaying import replayed

SEEDS = range(3)
MOST_RATIO = 3.0  # times the bound, for the last
MOST_WAIT = 6.0  # times what the own link needs, for whoever waits longest; there are uplinks of a tenth
MOST_IN_VAIN = 0.25  # of what is of use: the quick stories are short, and most of them is beginning and end


def played(scenario: str, seed: int, tactics: Tactics = Tactics()) -> tuple[Play, Outcome]:  # noqa: B008  frozen
    play = prepare(scenario, seed, is_quick=True, tactics=tactics)
    play.run()
    return play, play.outcome()


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seed", SEEDS)
def test_everybody_who_stays_gets_everything_in_bounded_time_and_bytes(scenario: str, seed: int) -> None:
    with replayed(scenario, seed):
        play, outcome = played(scenario, seed)
        story = play.story
        staying = [member for member in story.members if member.is_awaited and member.left_at is None]
        assert staying
        assert all(member.host.is_complete for member in staying)
        assert outcome.finisher_count >= len(staying)
        assert 1 - 1e-9 <= outcome.last_ratio < MOST_RATIO
        assert 1 - 1e-9 <= outcome.longest_wait < MOST_WAIT
        assert outcome.duplicates < MOST_IN_VAIN
        assert 0 < outcome.fairness <= 1 + 1e-9
        assert 0 < outcome.uplink_use <= 1
        for member in story.members:
            check_swarm(member.host.swarm)
            assert not member.host.faults


@pytest.mark.parametrize("seed", SEEDS)
def test_every_piece_leaves_the_only_seed(seed: int) -> None:
    for scenario in ("seed_8", "seed_leaves", "one_by_one"):
        with replayed(scenario, seed):
            assert played(scenario, seed)[1].seed_upload >= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_leechers_are_replaced(seed: int) -> None:
    with replayed("churn", seed):
        play, _ = played("churn", seed)
        killed = [member for member in play.story.members if member.left_at is not None]
        came_late = [member for member in play.story.members if member.joined_at > 0]
        assert killed
        assert 0 < len(came_late) <= len(killed)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_seed_that_leaves_is_gone_before_the_end_and_the_pieces_stay(seed: int) -> None:
    with replayed("seed_leaves", seed):
        play, _ = played("seed_leaves", seed)
        seed_member = play.story.members[0]
        assert seed_member.host.has_left
        assert seed_member.left_at is not None
        assert seed_member.left_at < play.story.seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_free_rider_sends_nothing(seed: int) -> None:
    with replayed("free_rider", seed):
        play, outcome = played("free_rider", seed)
        (rider,) = [member for member in play.story.members if member.group == "free rider"]
        assert rider.host.sent_bytes == 0
        assert {group.name for group in outcome.groups} == {"free rider", "leechers"}


@pytest.mark.parametrize("idea", Tactics.names())
def test_a_swarm_without_one_of_the_ideas_still_ends(idea: str) -> None:
    with replayed(f"--tactics-off {idea} seed_8", 0):
        _, outcome = played("seed_8", 0, Tactics(**{idea: False}))
        assert outcome.last_ratio < MOST_RATIO


def test_what_fails_says_how_to_replay_it() -> None:
    with pytest.raises(AssertionError) as caught, replayed("churn", 17):
        raise AssertionError("too slow")
    assert caught.value.__notes__ == ["replay: ./dev sim --seed 17 --quick churn"]
