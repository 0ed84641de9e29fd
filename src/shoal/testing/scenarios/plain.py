"""Swarms in which nothing goes wrong: how many there are, how fast, and when they come."""

from __future__ import annotations

from shoal.testing.scenarios.story import Story

UNEQUAL = 10  # times as fast
CROWD_SECONDS = 3.0  # in which all of a crowd arrive
ARRIVALS_A_FILE = 4  # who come one by one: so many while the file takes to pass one link


def equal(story: Story) -> None:
    """One seed and leechers with equal links, all there from the start."""
    story.net.meet([story.add_seed(), *story.add_leechers()])


def unequal(story: Story) -> None:
    """Downlinks are alike; every other leecher has a tenth of the uplink."""
    seed = story.add_seed()
    leechers = []
    for number in range(1, story.size.leechers + 1):
        kind, up = ("fast", story.size.link) if number % 2 else ("slow", story.size.link / UNEQUAL)
        leechers.append(story.add(f"{kind} {number}", group=kind, up=up))
    story.net.meet([seed, *leechers])


def flash_crowd(story: Story) -> None:
    """A seed that has been there, and everybody else within seconds."""
    story.net.meet([story.add_seed()])
    for number in range(1, story.size.leechers + 1):
        at = story.net.rng.uniform(0, CROWD_SECONDS)
        story.expect(at, lambda number=number: _join(story, number))  # type: ignore[misc]


def one_by_one(story: Story) -> None:
    """A leecher at a time, while those before it are still at it."""
    story.net.meet([story.add_seed()])
    pause = story.size.bytes / story.size.link / ARRIVALS_A_FILE
    for number in range(1, story.size.leechers + 1):
        story.expect((number - 1) * pause, lambda number=number: _join(story, number))  # type: ignore[misc]


def _join(story: Story, number: int) -> None:
    story.net.join(story.add(f"leecher {number}"))
