"""Scenarios: swarms worth telling of, by name, each true for every seed and with a bound that nothing can beat.

`prepare("seed_8", seed=1)` sets one up; `run()` it, and `outcome()` says what it came to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from shoal.swarm.tactics import Tactics
from shoal.testing.scenarios import plain, troubled
from shoal.testing.scenarios.outcome import Group, Outcome, measure
from shoal.testing.scenarios.story import LINK, Member, Size, Story
from shoal.testing.simulation import Recorder
from shoal.units import KIB

__all__ = ["QUICK", "SCENARIOS", "Group", "Member", "Outcome", "Play", "Scenario", "Size", "Story", "prepare"]

QUICK_LINK = LINK / 4  # slower, so that a small file takes seconds and not round trips
QUICK = Size(6, 64, 64 * KIB, QUICK_LINK)


@dataclass(frozen=True, slots=True)
class Scenario:
    build: Callable[[Story], None]
    size: Size
    quick: Size = QUICK  # for tests: a second or so each

    @property
    def title(self) -> str:
        return (self.build.__doc__ or "").strip()


LAB = Size(8, 256)  # 64 MiB: as the real lab has it, so that the two can be compared
SCENARIOS = {
    "seed_8": Scenario(plain.equal, LAB),
    "seed_64": Scenario(plain.equal, Size(64, 512), Size(20, 64, 64 * KIB, QUICK_LINK)),
    "seed_1000": Scenario(
        plain.equal, Size(1000, 128, 64 * KIB, LINK / 8), Size(40, 32, 64 * KIB, QUICK_LINK)
    ),
    "unequal": Scenario(plain.unequal, LAB),
    "flash_crowd": Scenario(plain.flash_crowd, Size(50, 256), Size(20, 64, 64 * KIB, QUICK_LINK)),
    "one_by_one": Scenario(plain.one_by_one, LAB),
    "seed_leaves": Scenario(troubled.seed_leaves, LAB),
    "churn": Scenario(troubled.churn, Size(20, 256, link=LINK / 4), Size(8, 64, 64 * KIB, LINK / 32)),
    "slow_peer": Scenario(troubled.slow_peer, LAB),
    "slow_seed": Scenario(troubled.slow_seed, Size(2, 256), Size(2, 64, 64 * KIB, QUICK_LINK)),
    "free_rider": Scenario(troubled.free_rider, LAB),
    "partial_holders": Scenario(troubled.partial_holders, LAB),
    "half_standard": Scenario(troubled.half_standard, LAB),
}


@dataclass(slots=True)
class Play:
    """One performance: `run` it, then ask for the `outcome`."""

    name: str
    story: Story
    wall_seconds: float = 0.0

    def run(self) -> None:
        """Raises `TimeoutError` if it does not end; the story can be looked at all the same."""
        began_at = time.perf_counter()
        try:
            self.story.run()
        finally:
            self.wall_seconds = time.perf_counter() - began_at

    def outcome(self) -> Outcome:
        return measure(self.story, self.name, self.wall_seconds)


def prepare(
    name: str,
    seed: int,
    *,
    is_quick: bool = False,
    tactics: Tactics = Tactics(),  # noqa: B008  frozen
    recorder: Recorder | None = None,
) -> Play:
    """A scenario before its first event. `recorder` hears all of it."""
    scenario = SCENARIOS[name]
    story = Story(seed, scenario.quick if is_quick else scenario.size, tactics)
    story.net.recorder = recorder
    scenario.build(story)
    return Play(name, story)
