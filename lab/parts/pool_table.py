"""What scenes of a URL came to: a line a round, a row a scene, and what we want to be true of them. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from lab.parts.markdown import markdown_table, median_and_span, verdict
from lab.parts.nginx_origin import sent_bytes, sent_to, sent_twice
from lab.parts.pooling import Outcome
from lab.parts.swarm_table import FRAME, FRAME_PAYLOAD
from shoal.units import MIB

MOST_OF_BOUND = {"equal": 1.10, "uneven": 1.15, "changing": 1.15}
MOST_COST = 2.0  # seconds that a helper may cost that is killed or frozen
MOST_ORIGIN = {"together": 1.02, "killed": 1.10}  # over the file, in a crowd
UNDISTURBED = {
    "killed": "equal",
    "frozen": "equal",
}  # the same scene without the blow; in a crowd, "together"

HEADS = (
    "scene",
    "time, x bound",
    "seconds",
    "bound, s",
    "origin, frames",
    "origin, log",
    "twice, MiB",
    "requests",
    "LAN",
)


def explanation() -> str:
    return f"""\
Times run from the start of a requester's process to its end, the last one's where there are several, over the time in
which all links to the origin together could have carried the file once. "Origin" is what it sent, over the file:
"frames" as the links count, less the headers of full frames ({FRAME}/{FRAME_PAYLOAD}); "log" as its log counts, which
includes what was still in buffers where a response was broken off. "Twice" is what left it again, by its log; "LAN"
what members had from each other, over the file. The median of the rounds (least-most)."""


def origin_frames(outcome: Outcome) -> float:
    """Over the file, without the frames' headers."""
    return outcome.origin_frames * FRAME_PAYLOAD / FRAME / outcome.size


def origin_log(outcome: Outcome) -> float:
    return sent_bytes(outcome.answers) / outcome.size


def round_line(outcome: Outcome, number: int) -> str:
    """One scene of one round, for those who watch; with each host's share of what the origin sent."""
    shares = [100 * sent_to(outcome.answers, address) / outcome.size for address in outcome.addresses]
    return (
        f"{outcome.scene}, round {number}: {outcome.seconds:.2f} s, {outcome.seconds / outcome.bound:.3f} x "
        f"{outcome.bound:.2f} s; origin {origin_frames(outcome):.3f} x (log {origin_log(outcome):.3f}), "
        f"{sent_twice(outcome.answers) / MIB:.2f} MiB twice, {len(outcome.answers)} requests; "
        f"fetched by each: {' '.join(f'{share:.1f}' for share in shares)} %"
    )


def told_lines(outcome: Outcome) -> list[str]:
    """Each requester's own word of who gave it how much."""
    return [
        "  told: " + ", ".join(f"{name} {size / MIB:.1f} MiB" for name, size in sources.items())
        for sources in outcome.told
    ]


def table(outcomes: Sequence[Outcome]) -> str:
    """In Markdown, a row a scene."""
    names = dict.fromkeys(one.scene for one in outcomes)
    return markdown_table([HEADS, *(row([one for one in outcomes if one.scene == name]) for name in names)])


def row(rounds: Sequence[Outcome]) -> tuple[str, ...]:
    def column(value: Callable[[Outcome], float], digits: int) -> str:
        return median_and_span([value(one) for one in rounds], digits)

    return (
        rounds[0].scene,
        column(lambda one: one.seconds / one.bound, 3),
        column(lambda one: one.seconds, 2),
        f"{statistics.median(one.bound for one in rounds):.2f}",
        column(origin_frames, 3),
        column(origin_log, 3),
        column(lambda one: sent_twice(one.answers) / MIB, 1),
        column(lambda one: len(one.answers), 0),
        f"{statistics.median(one.lan_bytes / one.size for one in rounds):.2f}",
    )


def of_scene(outcomes: Sequence[Outcome], name: str, value: Callable[[Outcome], float]) -> float | None:
    """The median of the rounds; None where it was not played."""
    values = [value(one) for one in outcomes if one.scene == name]
    return statistics.median(values) if values else None


def pool_verdicts(outcomes: Sequence[Outcome]) -> list[str]:
    lines = []
    for name, most in MOST_OF_BOUND.items():
        ratio = of_scene(outcomes, name, lambda one: one.seconds / one.bound)
        if ratio is not None:
            lines.append(verdict(ratio <= most, f"{name}: {ratio:.3f} x the bound; at most {most:.2f}"))
    lines += [
        verdict(cost <= MOST_COST, f"{words}; at most {MOST_COST:g}")
        for cost, words in costs(outcomes, UNDISTURBED).values()
    ]
    return [*lines, *alone_lines(outcomes)]


def alone_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Without helpers nothing may be lost: as fast as aria2 on the same link."""
    ours, others = (of_scene(outcomes, name, lambda one: one.seconds) for name in ("alone", "aria2"))
    if ours is None or others is None:
        return []
    return [verdict(ours <= 1.1 * others, f"alone: {ours / others:.3f} x aria2's time; at most 1.10")]


def crowd_verdicts(outcomes: Sequence[Outcome]) -> list[str]:
    lines = []
    for name, most in MOST_ORIGIN.items():
        sent = of_scene(outcomes, name, origin_frames)
        if sent is not None:
            lines.append(
                verdict(sent <= most, f"{name}: the origin sent {sent:.3f} x the file; at most {most:.2f}")
            )
    return [*lines, *(f"     {words}" for _, words in costs(outcomes, {"killed": "together"}).values())]


def costs(outcomes: Sequence[Outcome], undisturbed: Mapping[str, str]) -> dict[str, tuple[float, str]]:
    """What each blow cost in seconds against the same scene without it, and that in words."""
    found = {}
    for name, without in undisturbed.items():
        struck, calm = (of_scene(outcomes, scene, lambda one: one.seconds) for scene in (name, without))
        bounds = [of_scene(outcomes, scene, lambda one: one.bound) for scene in (name, without)]
        if struck is None or calm is None or bounds[0] is None or bounds[1] is None:
            continue
        lost = bounds[0] - bounds[1]
        words = f"{name}: costs {struck - calm:.2f} s, of which the lost link alone is {lost:.2f} s"
        found[name] = (struck - calm, words)
    return found
