"""What swarms came to: a row for each kind of leecher in each, and what we want to be true of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from lab.parts.markdown import markdown_table, median_and_span, verdict
from lab.parts.spreading import Scene, Spread, Swarm

FRAME = 1514  # bytes of an Ethernet frame, as the shapers charge it
FRAME_PAYLOAD = 1448  # what TCP carries in one, with timestamps
MARK = "libtorrent"  # the swarm that the mixed ones are compared with

MOST_OF_BOUND = 1.25  # the last leecher's time over F/u
MOST_SEED_SENT = 1.10  # over F


@dataclass(frozen=True, slots=True)
class Figures:
    """The leechers of one client in one swarm, over all rounds; times in seconds."""

    medians: tuple[float, ...]
    lasts: tuple[float, ...]
    seed_frames: float  # over the payload, without the frames' headers
    seed_payload: float | None  # over the payload, as the clients tell


def group_name(swarm: str, client: str) -> str:
    return swarm if swarm == client else f"{swarm}: {client}"


def figures_of(spreads: Sequence[Spread], size: int) -> dict[str, Figures]:
    """By group: all leechers of a pure swarm, and each client's of a mixed one."""
    figures: dict[str, Figures] = {}
    for swarm in dict.fromkeys(one.swarm for one in spreads):
        of_this = [one for one in spreads if one.swarm == swarm]
        frames = statistics.median(one.seed_frames for one in of_this) * FRAME_PAYLOAD / FRAME / size
        told = [one.seed_payload for one in of_this if one.seed_payload is not None]
        payload = statistics.median(told) / size if told else None
        for client in dict.fromkeys(arrival.client for arrival in of_this[0].arrivals):
            times = [[each.seconds for each in one.arrivals if each.client == client] for one in of_this]
            figures[group_name(swarm, client)] = Figures(
                tuple(map(statistics.median, times)), tuple(map(max, times)), frames, payload
            )
    return figures


def explanation(scene: Scene) -> str:
    return f"""\
Times run from the start of a leecher's process to its own word that it has everything, over F/u = {scene.bound:.2f} s,
which no swarm can beat: the median of the rounds (least-most). "Seed sent, frames" is what its link let through, over
F, less the headers of full frames ({FRAME}/{FRAME_PAYLOAD}): messages and acknowledgements are in it. "Seed sent,
payload" is what the clients tell, where they do: libtorrent what its seed handed out, ours what leechers received."""


def table(figures: Mapping[str, Figures], scene: Scene) -> str:
    """In Markdown."""
    rows = [
        (
            "leechers of",
            "median leecher",
            "last leecher",
            f"last, x {MARK}",
            "seed sent, frames",
            "seed sent, payload",
        ),
        *(row(name, of_this, figures, scene) for name, of_this in figures.items()),
    ]
    return markdown_table(rows)


def row(name: str, of_this: Figures, figures: Mapping[str, Figures], scene: Scene) -> tuple[str, ...]:
    mark = figures.get(MARK)
    ratio = statistics.median(of_this.lasts) / statistics.median(mark.lasts) if mark else None
    return (
        name,
        over_bound(of_this.medians, scene.bound),
        over_bound(of_this.lasts, scene.bound),
        "-" if ratio is None else f"{ratio:.2f}",
        f"{of_this.seed_frames:.2f}",
        "-" if of_this.seed_payload is None else f"{of_this.seed_payload:.3f}",
    )


def over_bound(seconds: Sequence[float], bound: float) -> str:
    return median_and_span([each / bound for each in seconds])


def verdicts(figures: Mapping[str, Figures], swarms: Sequence[Swarm], scene: Scene) -> list[str]:
    """What we want to be true, each with whether it is; what was not measured is left out."""
    lines: list[str] = []

    def judge(is_so: bool, what: str) -> None:
        lines.append(verdict(is_so, what))

    ours, mark = figures.get("shoal"), figures.get(MARK)
    if ours:
        last = statistics.median(ours.lasts) / scene.bound
        judge(last <= MOST_OF_BOUND, f"our last leecher at {last:.2f} x F/u; at most {MOST_OF_BOUND}")
        sent = ours.seed_frames if ours.seed_payload is None else ours.seed_payload
        judge(sent <= MOST_SEED_SENT, f"our seed sent {sent:.2f} x F; at most {MOST_SEED_SENT}")
    for swarm in swarms if mark else ():
        if len(set(swarm.leechers)) > 1:
            for client in dict.fromkeys(swarm.leechers):
                judge_mixed(group_name(swarm.name, client), figures, judge)
    return lines


def judge_mixed(name: str, figures: Mapping[str, Figures], judge: Callable[[bool, str], None]) -> None:
    """Is everybody in a mixed swarm at least as fast as in one of libtorrent alone?"""
    if name in figures:
        of_this, mark = figures[name], figures[MARK]
        median = statistics.median(of_this.medians) / statistics.median(mark.medians)
        last = statistics.median(of_this.lasts) / statistics.median(mark.lasts)
        judge(
            median <= 1 and last <= 1,
            f"{name}: {median:.2f} of the median's time in a swarm of {MARK} alone, {last:.2f} of the last's",
        )


# ---- files for programs


def record(spreads: Sequence[Spread], scene: Scene) -> str:
    """All raw figures, as JSON."""
    whole = {"rate": scene.rate, "size": scene.size, "spreads": [asdict(one) for one in spreads]}
    return json.dumps(whole, indent=1) + "\n"


def trace(spreads: Sequence[Spread]) -> str:
    """A line a leecher: swarm, leecher, client, seconds."""
    return "".join(
        f"{one.swarm} leecher-{number} {arrival.client} {arrival.seconds:.3f}\n"
        for one in spreads
        for number, arrival in enumerate(one.arrivals, 1)
    )


def rates(spreads: Sequence[Spread]) -> str:
    """A line a second: up/down of each link in Mbit/s, the seed first."""
    lines: list[str] = []
    for one in spreads:
        lines.append(f"{one.swarm}: up/down in Mbit/s, the seed first")
        for at in dict.fromkeys(sample.at for sample in one.samples):
            pairs = (f"{each.up / 1e6:4.1f}/{each.down / 1e6:4.1f}" for each in one.samples if each.at == at)
            lines.append(f"{at:6.1f} s  {'  '.join(pairs)}")
    return "".join(f"{line}\n" for line in lines)
