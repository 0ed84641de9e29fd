"""Simulated swarms: every scenario with several seeds beside its bound, or what each idea is worth.

`./dev bench sim [--seeds N] [--quick] [--jobs N] [SCENARIO...]` prints a row a scenario, medians over the seeds.
`./dev bench sim --ablation` takes each of our tactics away in turn and prints how many times as long the last leecher
then needs, and how many times as much the seeds send: the same seeds with it and without it, medians of the ratios.

Times are virtual and the same on every machine, save for the last column: the seconds that the simulation took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from bench.harness import machine
from shoal.swarm.tactics import Tactics
from shoal.testing.scenarios import SCENARIOS, Outcome, prepare

ABLATION = ("seed_8", "seed_64", "half_standard", "unequal", "churn")
ALL_ON = ""


@dataclass(frozen=True, slots=True)
class Job:
    scenario: str
    seed: int
    is_quick: bool
    off: str = ALL_ON  # the idea that is left out


@dataclass(frozen=True, slots=True)
class Column:
    head: str
    value: Callable[[Outcome], float]
    form: str


COLUMNS = (
    Column("bound, s", lambda outcome: outcome.bound.seconds, ".2f"),
    Column("median", lambda outcome: outcome.median_ratio, ".3f"),
    Column("last", lambda outcome: outcome.last_ratio, ".3f"),
    Column("longest wait", lambda outcome: outcome.longest_wait, ".3f"),
    Column("seeds sent", lambda outcome: outcome.seed_upload, ".3f"),
    Column("in vain", lambda outcome: outcome.duplicates, ".2%"),
    Column("fairness", lambda outcome: outcome.fairness, ".3f"),
    Column("uplinks in use", lambda outcome: outcome.uplink_use, ".0%"),
    Column("simulated in, s", lambda outcome: outcome.wall_seconds, ".1f"),
)
LEGEND = """\
median, last: the time of the median and of the last leecher, over the bound · longest wait: from a leecher's own
coming, over what its own downlink needs · seeds sent: over the file's size · in vain: bytes that came twice, over those
that were of use · fairness: Jain's index of how long each leecher's uplink worked for the others"""


def main() -> int:
    options = parse_options()
    names = options.scenario or (ABLATION if options.ablation else SCENARIOS)
    print(
        f"{machine()}; seeds 0 to {options.seeds - 1}{', quick sizes' if options.quick else ''}\n", flush=True
    )
    ideas = (ALL_ON, *Tactics.names()) if options.ablation else (ALL_ON,)
    # The longest first, so that no core is left alone with one at the end.
    longest_first = sorted(
        names, key=lambda name: -SCENARIOS[name].size.leechers * SCENARIOS[name].size.pieces
    )
    jobs = [
        Job(name, seed, options.quick, idea)
        for name in longest_first
        for idea in ideas
        for seed in range(options.seeds)
    ]
    outcomes = play_all(jobs, options.jobs)
    if options.ablation:
        print_ablation(outcomes, names, options.seeds, options.quick)
    else:
        print_outcomes(outcomes, names)
    return 1 if None in outcomes.values() else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench sim", description=__doc__)
    parser.add_argument("scenario", metavar="SCENARIO", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each (3)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once (cores)")
    parser.add_argument("--quick", action="store_true", help="small swarms, as the tests have them")
    parser.add_argument("--ablation", action="store_true", help="take each idea away in turn")
    options = parser.parse_args()
    unknown = [name for name in options.scenario if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs are 1 or more")
    return options


def play_all(jobs: Sequence[Job], processes: int) -> dict[Job, Outcome | None]:
    with ProcessPoolExecutor(processes) as pool:
        return dict(zip(jobs, pool.map(play, jobs), strict=True))


def play(job: Job) -> Outcome | None:
    """None if it does not come to an end."""
    tactics = replace(Tactics(), **{job.off: False}) if job.off else Tactics()
    run = prepare(job.scenario, job.seed, is_quick=job.is_quick, tactics=tactics)
    try:
        run.run()
    except TimeoutError as error:
        print(f"{job.scenario}{' without ' + job.off if job.off else ''}: {error}", file=sys.stderr)
        return None
    return run.outcome()


def print_outcomes(outcomes: dict[Job, Outcome | None], names: Sequence[str]) -> None:
    print("| scenario | " + " | ".join(column.head for column in COLUMNS) + " |")
    print("|---|" + "---:|" * len(COLUMNS))
    for name in names:
        of_this = [one for job, one in outcomes.items() if job.scenario == name and one is not None]
        cells = [median_of(column, of_this) for column in COLUMNS]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{LEGEND}\n")
    for name in names:
        print_groups(name, [one for job, one in outcomes.items() if job.scenario == name and one is not None])


def median_of(column: Column, outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "unfinished"
    return format(statistics.median(map(column.value, outcomes)), column.form)


def print_groups(name: str, outcomes: Sequence[Outcome]) -> None:
    """Where hosts are of several kinds, what became of each kind."""
    groups = [group for outcome in outcomes for group in outcome.groups]
    for kind in dict.fromkeys(group.name for group in groups):
        of_this = [group for group in groups if group.name == kind]
        ratios = [group.median_ratio for group in of_this if group.median_ratio is not None]
        median = f"median {statistics.median(ratios):.3f}" if ratios else "unfinished"
        share = statistics.median(group.mean_share for group in of_this)
        print(f"{name}, {kind}: {median}, had {share:.1%} of the file at the end")


def print_ablation(
    outcomes: dict[Job, Outcome | None], names: Sequence[str], seeds: int, is_quick: bool
) -> None:
    for head, value in (
        ("time of the last", lambda outcome: outcome.last_ratio),
        ("seeds sent", lambda outcome: outcome.seed_upload),
    ):
        print(f"| {head}, without / with | {' | '.join(names)} |")
        print("|---|" + "---:|" * len(names))
        for idea in Tactics.names():
            cells = [
                ratio_of(outcomes, [Job(name, seed, is_quick) for seed in range(seeds)], idea, value)
                for name in names
            ]
            print(f"| {idea} | {' | '.join(cells)} |")
        print()


def ratio_of(
    outcomes: dict[Job, Outcome | None], jobs: Sequence[Job], idea: str, value: Callable[[Outcome], float]
) -> str:
    pairs = [(outcomes[replace(job, off=idea)], outcomes[job]) for job in jobs]
    if not any(value(on) for _, on in pairs if on is not None):
        return "-"  # no seed is there to send anything
    ratios = [value(off) / value(on) for off, on in pairs if off is not None and on is not None]
    if len(ratios) < len(jobs):
        return "unfinished"
    return f"{statistics.median(ratios):.3f}"


if __name__ == "__main__":
    sys.exit(main())
