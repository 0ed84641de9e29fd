"""Which bytes left the origin twice: first in which answer, and then in which other one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.parts.nginx_origin import Answer
from shoal.units import MIB


@dataclass(frozen=True, slots=True)
class Repeat:
    """So many bytes of `again` had been asked for by `first`, which may have sent them later."""

    size: int
    first: Answer
    again: Answer


def repeats(answers: Sequence[Answer]) -> list[Repeat]:
    """The largest first. Their sizes add up to what was sent twice."""
    owned: list[tuple[int, int, Answer]] = []  # (begin, end) without overlap, and whose they were first
    found: list[Repeat] = []
    for again in sorted(answers, key=lambda one: one.asked_at):
        begin, end = again.begin, again.begin + again.body
        fresh = begin
        for low, high, first in sorted(owned, key=lambda one: one[0]):
            if low < end and begin < high:
                found.append(Repeat(min(high, end) - max(low, begin), first, again))
                if fresh < low:
                    owned.append((fresh, low, again))
                fresh = high
        if fresh < end:
            owned.append((fresh, end, again))
    return sorted(found, key=lambda one: -one.size)


def repeat_lines(answers: Sequence[Answer], most: int) -> list[str]:
    """`"  2.86 MiB at 209.25: 10.77.0.5 in 9.2-11.1 s, again 10.77.0.3 in 9.7-10.8 s"`, from the first request on."""
    began_at = min((answer.asked_at for answer in answers), default=0.0)

    def told(answer: Answer) -> str:
        return f"{answer.client} in {answer.asked_at - began_at:.1f}-{answer.ended_at - began_at:.1f} s"

    return [
        f"  {one.size / MIB:.2f} MiB at {max(one.first.begin, one.again.begin) / MIB:.2f}: "
        f"{told(one.first)}, again {told(one.again)}"
        for one in repeats(answers)[:most]
    ]
