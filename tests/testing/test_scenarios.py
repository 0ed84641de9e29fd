"""A story's parts: its bound, the figures of its outcome, and the same seed telling the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.testing.scenarios import SCENARIOS, Size, Story, prepare
from shoal.testing.scenarios.outcome import jain_index
from shoal.testing.scenarios.story import LINK

SMALL = Size(3, 10, 16384, 16384.0)  # a piece a second


def test_the_bound_of_the_lab_is_the_file_over_the_link_and_three_pieces_more() -> None:
    play = prepare("seed_8", 0)
    bound = play.story.bound()
    size = SCENARIOS["seed_8"].size
    assert bound.fluid == pytest.approx(size.bytes / LINK) == pytest.approx(13.42, abs=0.01)
    assert bound.pieces == pytest.approx((size.pieces + 3) * size.piece_length / LINK)


def test_the_bound_counts_from_the_coming_of_the_first_who_wants_anything() -> None:
    story = Story(0, SMALL)
    story.net.meet([story.add_seed()])
    story.expect(5.0, lambda: story.net.join(story.add("late")))
    story.run()
    assert story.bound().fluid == pytest.approx(15)
    assert story.bound().pieces == pytest.approx(15)


def test_what_only_a_slow_holder_has_bounds_all() -> None:
    story = Story(0, SMALL)
    half = 0b11111
    story.add("slow", have=half, up=1638.4)
    story.add("fast", have=half << 5)
    assert story.bound().fluid == pytest.approx(50)
    assert story.bound().pieces == 0  # it speaks of one seed


def test_who_is_not_waited_for_needs_nothing() -> None:
    story = Story(0, SMALL)
    story.add_seed()
    story.add("stranger", down=1.0, is_awaited=False)
    story.add("leecher")
    assert story.bound().seconds == pytest.approx(10)


def test_a_story_that_never_ends_is_a_timeout_that_names_the_seed() -> None:
    story = Story(23, SMALL)
    story.add("alone")
    with pytest.raises(TimeoutError, match="seed 23"):
        story.run()


def test_the_same_seed_has_the_same_outcome_and_another_has_not() -> None:
    def outcome(seed: int) -> tuple[float, ...]:
        play = prepare("half_standard", seed, is_quick=True)
        play.run()
        told = play.outcome()
        return told.median_ratio, told.last_ratio, told.seed_upload, told.duplicates, told.fairness

    assert outcome(1) == outcome(1) != outcome(2)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=20), st.floats(0.01, 100))
def test_fairness_is_between_one_and_one_nth_whatever_the_unit(values: list[float], unit: float) -> None:
    index = jain_index(values)
    assert 1 / len(values) - 1e-9 <= index <= 1 + 1e-9
    assert jain_index([value * unit for value in values]) == pytest.approx(index)


def test_fairness_of_equals_is_one_and_of_a_single_worker_one_nth() -> None:
    assert jain_index([3.0, 3.0, 3.0]) == jain_index([0.0, 0.0]) == 1
    assert jain_index([0.0, 0.0, 5.0, 0.0]) == 0.25
