"""The scenes of the labs of URLs, and the time in which nobody can play one: pure.

A host's rate is that of its link to the origin, in bits a second. The bound of a scene is when all links together could
have carried the file once: an integral where rates change, and a link counts no longer once its host is out.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

CHANGE_EVERY = 3.0  # seconds: some runs of two seconds are under way, and were cut for another rate
SPREAD = 10  # between the slowest link and the fastest
KILLED_IN_A_CROWD = 10  # one in so many; at least one

Step = tuple[float, float]  # (seconds since the start, bits a second of all links together from then on)


@dataclass(frozen=True, slots=True)
class Scene:
    """The first `requesters` hosts want the file, the others help. In the middle the `struck` hosts get a signal."""

    name: str
    rates: tuple[int, ...]  # at the start
    requesters: int = 1
    is_changing: bool = False
    struck: tuple[int, ...] = ()
    blow: signal.Signals = signal.SIGKILL
    program: str = "shoal"

    @property
    def survivors(self) -> list[int]:
        """Those requesters that are to have the file at the end."""
        return [number for number in range(self.requesters) if number not in self.struck]


def pool_scenes(members: int, rate: int) -> list[Scene]:
    """In the order in which they are played."""
    equal = (rate,) * members
    last = (members - 1,)
    slow_first = tuple(rate // SPREAD if number % 2 == 0 else rate for number in range(members))
    return [
        Scene("equal", equal),
        Scene("uneven", slow_first),
        Scene("changing", equal, is_changing=True),
        Scene("killed", equal, struck=last),
        Scene("frozen", equal, struck=last, blow=signal.SIGSTOP),
        Scene("alone", equal[:1]),
        Scene("aria2", equal[:1], program="aria2"),
    ]


def crowd_scenes(members: int, rate: int) -> list[Scene]:
    equal = (rate,) * members
    count = max(1, members // KILLED_IN_A_CROWD)
    struck = tuple(range(members - count, members))
    return [
        Scene("together", equal, requesters=members),
        Scene("killed", equal, requesters=members, struck=struck),
    ]


def drawn_rates(rng: random.Random, members: int, rate: int) -> list[int]:
    """Each between `rate` and a tenth of it, every ratio alike."""
    return [round(rate * SPREAD ** -rng.random()) for _ in range(members)]


def bound_of(size: int, steps: Sequence[Step]) -> float:
    """The second in which `size` bytes are through. The last step goes on for ever, so it must carry something."""
    left = size * 8.0
    for (begin, rate), (end, _) in pairwise(steps):
        if rate * (end - begin) >= left:
            return begin + left / rate
        left -= rate * (end - begin)
    begin, rate = steps[-1]
    return begin + left / rate


def steps_without(rates: Sequence[int], struck: Sequence[int], struck_at: float) -> list[Step]:
    """Those of a scene in which some hosts are out from `struck_at` on."""
    left = sum(rate for number, rate in enumerate(rates) if number not in struck)
    return [(0.0, float(sum(rates))), (struck_at, float(left))]
