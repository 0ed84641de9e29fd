"""What a story came to, as figures that can be compared between sizes, links and swarms.

Times are counted from the story's beginning and divided by its bound. Where some come late, that says little of the
others; so **waits** are told too: from a leecher's own coming, over what its own downlink needs for what it lacked.
**Fairness** is Jain's index, (sum x)^2 / (n sum
x^2), of how long each leecher's uplink worked for the others (bytes sent over its rate): 1 if all carried the same for
what their links are, 1/n if one carried everything. It is of work and not of completion times, because these are told
by the median and the last already: it shows a swarm that is fast on the back of a few.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.testing.bounds import Bound
from shoal.testing.scenarios.story import Member, Story


@dataclass(frozen=True, slots=True)
class Group:
    """Those of one kind, where a story has several."""

    name: str
    median_ratio: float | None  # None if fewer than half of them came to have everything
    mean_share: float  # of the file, at the end


@dataclass(frozen=True, slots=True)
class Outcome:
    scenario: str
    seed: int
    bound: Bound
    median_ratio: float  # the time of the median of those waited for, over the bound
    last_ratio: float
    median_wait: float
    longest_wait: float
    seed_upload: float  # over the file's size; of all seeds together
    duplicates: float  # bytes that came in vain, over bytes that were of use
    fairness: float
    uplink_use: float  # the share of all uplinks, while they were there, that carried blocks
    groups: tuple[Group, ...]
    finisher_count: int
    virtual_seconds: float
    wall_seconds: float


def measure(story: Story, scenario: str, wall_seconds: float) -> Outcome:
    """Of a story that is over."""
    bound = story.bound()
    times = [_time_of(story, member) for member in story.finishers]
    waits = [_wait_of(story, member) for member in story.finishers]
    useful, wasted = _bytes_received(story)
    seeds = [member for member in story.members if member.had == story.all_pieces]
    return Outcome(
        scenario=scenario,
        seed=story.seed,
        bound=bound,
        median_ratio=statistics.median(times) / bound.seconds,
        last_ratio=times[-1] / bound.seconds,
        median_wait=statistics.median(waits),
        longest_wait=max(waits),
        seed_upload=sum(member.host.sent_bytes for member in seeds) / story.size.bytes,
        duplicates=wasted / useful,
        fairness=jain_index([member.host.sent_bytes / member.host.up for member in _workers(story)]),
        uplink_use=sum(member.host.sent_bytes for member in story.members) / _could_send(story),
        groups=_groups(story, bound.seconds),
        finisher_count=len(times),
        virtual_seconds=story.seconds,
        wall_seconds=wall_seconds,
    )


def jain_index(values: Sequence[float]) -> float:
    """1 if all are equal (or nothing), 1 / n if one has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def wasted_bytes(member: Member) -> int:
    return member.host.wasted_bytes + sum(pipe.peer.wasted for pipe in member.host.pipes.values())


def _time_of(story: Story, member: Member) -> float:
    at = story.completed_at(member)
    assert at is not None, f"{member.host.name} is no finisher"
    return at


def _wait_of(story: Story, member: Member) -> float:
    lacked = story.missing_bytes(member)
    return (_time_of(story, member) - member.joined_at) / (lacked / member.host.down)


def _workers(story: Story) -> list[Member]:
    """Leechers who were there to the end and meant to help; of one kind, for late comers have less time to."""
    return [member for member in story.members if member.is_awaited and member.left_at is None]


def _bytes_received(story: Story) -> tuple[int, int]:
    """Of use, and in vain."""
    received = sum(member.host.received_bytes for member in story.members)
    wasted = sum(map(wasted_bytes, story.members))
    return max(received - wasted, 1), wasted


def _could_send(story: Story) -> float:
    ends = [story.seconds if member.left_at is None else member.left_at for member in story.members]
    return sum(
        member.host.up * (end - member.joined_at) for member, end in zip(story.members, ends, strict=True)
    )


def _groups(story: Story, bound: float) -> tuple[Group, ...]:
    names = dict.fromkeys(member.group for member in story.members if member.had != story.all_pieces)
    return tuple(_group(story, name, bound) for name in names) if len(names) > 1 else ()


def _group(story: Story, name: str, bound: float) -> Group:
    members = [member for member in story.members if member.group == name]
    times = sorted(at for member in members if (at := story.completed_at(member)) is not None)
    half = (len(members) - 1) // 2
    have = [member.host.swarm.pieces.have.bit_count() / story.size.pieces for member in members]
    return Group(name, times[half] / bound if len(times) > half else None, statistics.fmean(have))
