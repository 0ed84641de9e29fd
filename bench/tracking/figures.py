"""What was measured, as numbers, a table, and whether it is what we want."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.tracking.population import Population
from bench.tracking.prober import Prober
from bench.tracking.servers import Server
from bench.tracking.udp_load import Load

UDP, KEPT, CLOSED = "UDP", "HTTP keep-alive", "HTTP close"
OURS, MARK = "shoal", "opentracker"
LEAST = {UDP: 0.75, KEPT: 2.0, CLOSED: 0.6}  # of opentracker's announces, over HTTP of those it closes
GOAL = {UDP: 1.0}
BUSY = 0.9  # of a core: a server that used less could have done more, had the generator asked it
MARK_DOOR = {UDP: UDP, KEPT: CLOSED, CLOSED: CLOSED}  # what of opentracker's a door is compared with


@dataclass(frozen=True, slots=True)
class Taken:
    """One round of one case."""

    load: Load
    cpu_seconds: float  # of the server


@dataclass(slots=True)
class Case:
    """One row: who is asked, how, and what came of it."""

    door: str
    server: Server
    load: Callable[[int, Population, float], Load]
    prober: Prober | None = None  # of a sink nothing true is expected
    taken: list[Taken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the rounds of a case: announces a second, and what they took."""

    population: Population
    door: str
    name: str
    median: float
    slowest: float
    fastest: float
    cpu_share: float  # of a core, by the server
    cpu_each: float  # seconds of the server's an announce
    answer_bytes: float
    lost: int


def figures_of(case: Case, population: Population) -> Figures:
    rates = [taken.load.rate for taken in case.taken]
    answered = max(1, sum(taken.load.answered for taken in case.taken))
    cpu_seconds = sum(taken.cpu_seconds for taken in case.taken)
    return Figures(
        population,
        case.door,
        case.server.name,
        statistics.median(rates),
        min(rates),
        max(rates),
        cpu_share=cpu_seconds / sum(taken.load.seconds for taken in case.taken),
        cpu_each=cpu_seconds / answered,
        answer_bytes=sum(taken.load.answer_bytes for taken in case.taken) / answered,
        lost=sum(taken.load.lost for taken in case.taken),
    )


def table(figures: Sequence[Figures]) -> str:
    """A row a case. `sink` is as fast as anybody could be with this generator on this machine."""
    heads = ("announces/s", "min", "max", "x opentr.", "server cpu", "us each", "bytes", "lost")
    lines = [" " * 28 + "".join(f"{head:>12}" for head in heads)]
    for one in figures:
        compared = ratio(figures, one)
        lines.append(
            f"{one.door:16}{one.name:12}{one.median:12,.0f}{one.slowest:12,.0f}{one.fastest:12,.0f}"
            f"{'-' if compared is None else f'{compared:.2f}':>12}{one.cpu_share:12.2f}{one.cpu_each * 1e6:12.2f}"
            f"{one.answer_bytes:12.0f}{one.lost:12,}"
        )
    return "\n".join(lines)


def ratio(figures: Sequence[Figures], one: Figures) -> float | None:
    """Over opentracker's in the same run; None without it."""
    mark = mark_of(figures, one)
    return None if mark is None else one.median / mark.median


def mark_of(figures: Sequence[Figures], one: Figures) -> Figures | None:
    """What of opentracker's a row is compared with."""
    place = (MARK, MARK_DOOR[one.door], one.population)
    return next((other for other in figures if (other.name, other.door, other.population) == place), None)


def verdicts(figures: Sequence[Figures]) -> list[str]:
    """What we want to be true, each with whether it is; what was not measured is left out."""
    lines = []
    for one in figures:
        mark = mark_of(figures, one)
        if one.name != OURS or mark is None:
            continue
        compared = one.median / mark.median
        goal = f", the goal is {GOAL[one.door]:g}" if one.door in GOAL else ""
        idle = f"; opentracker used {mark.cpu_share:.2f} of its core" if mark.cpu_share < BUSY else ""
        lines.append(
            f"{'yes' if compared >= LEAST[one.door] else 'NO '}  {one.door}, {one.population}: "
            f"{compared:.2f} x opentracker; at least {LEAST[one.door]:g}{goal}{idle}"
        )
    return lines
