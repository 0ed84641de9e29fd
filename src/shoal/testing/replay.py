"""Replay a scenario with a seed: `./dev sim --seed N SCENARIO`. What is on stdout is the outcome, or with `--trace -`
the trace too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from shoal.swarm.tactics import Tactics
from shoal.testing.scenarios import SCENARIOS, Outcome, Play, prepare
from shoal.testing.trace import Trace

PICTURES = (".png", ".svg")
ENDED, BAD_OPTION, DID_NOT_END = 0, 2, 1


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    options = _options().parse_args(arguments)
    if options.list or options.scenario is None:
        for name, scenario in SCENARIOS.items():
            print(f"{name:16} {scenario.title}")
        return ENDED if options.list else BAD_OPTION
    with _writer(options.trace) as write:
        trace = Trace(write)
        play = prepare(
            options.scenario,
            options.seed,
            is_quick=options.quick,
            tactics=options.tactics_off,
            recorder=trace,
        )
        outcome = _run(play)
    print(f"trace            {trace.line_count} lines, sha256 {trace.digest}")
    if options.picture:
        _draw(options.picture, play, trace, outcome)
        print(f"picture          {options.picture}")
    return DID_NOT_END if outcome is None else ENDED


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev sim", description="Replay a simulated swarm.")
    parser.add_argument("scenario", metavar="SCENARIO", nargs="?", choices=SCENARIOS)
    parser.add_argument("--list", action="store_true", help="tell the scenarios, one a line")
    parser.add_argument("--seed", type=int, default=0, help="the source of all chance (0)")
    parser.add_argument("--quick", action="store_true", help="a small swarm, as the tests have it")
    parser.add_argument("--trace", metavar="FILE", help="one line an event; - is stdout")
    parser.add_argument("--picture", metavar="FILE", type=_picture, help="a .png or .svg")
    parser.add_argument(
        "--tactics-off",
        metavar="IDEA,...",
        type=without,
        default=Tactics(),
        help=f"ideas that our hosts do without: {', '.join(Tactics.names())}",
    )
    return parser


def without(ideas: str) -> Tactics:
    """All tactics but these, which are separated by commas."""
    off = [idea.strip().replace("-", "_") for idea in ideas.split(",") if idea.strip()]
    for idea in off:
        if idea not in Tactics.names():
            raise argparse.ArgumentTypeError(f"no idea {idea!r}; there are {', '.join(Tactics.names())}")
    return replace(Tactics(), **dict.fromkeys(off, False))


def _picture(name: str) -> Path:
    path = Path(name)
    if path.suffix not in PICTURES:
        raise argparse.ArgumentTypeError(f"{name!r} ends neither with .png nor with .svg")
    return path


@contextmanager
def _writer(name: str | None) -> Iterator[Callable[[str], object] | None]:
    if name is None:
        yield None
    elif name == "-":
        yield sys.stdout.write
    else:
        with Path(name).open("w") as file:
            yield file.write


def _run(play: Play) -> Outcome | None:
    try:
        play.run()
    except TimeoutError as error:
        print(f"it does not end: {error}", file=sys.stderr)
        return None
    outcome = play.outcome()
    print(in_words(outcome))
    return outcome


def in_words(outcome: Outcome) -> str:
    bound = outcome.bound
    lines = [
        ("scenario", f"{outcome.scenario}, seed {outcome.seed}"),
        ("bound", f"{bound.seconds:.3f} s (fluid {bound.fluid:.3f}, pieces {bound.pieces:.3f})"),
        ("median", f"{outcome.median_ratio:.3f} x the bound"),
        ("last", f"{outcome.last_ratio:.3f} x the bound, of {outcome.finisher_count}"),
        (
            "wait",
            f"median {outcome.median_wait:.3f}, longest {outcome.longest_wait:.3f} x the own link's time",
        ),
        ("seeds sent", f"{outcome.seed_upload:.3f} x the file"),
        ("in vain", f"{outcome.duplicates:.2%}"),
        ("fairness", f"{outcome.fairness:.3f}"),
        ("uplinks", f"{outcome.uplink_use:.1%} in use"),
    ]
    for group in outcome.groups:
        median = (
            "unfinished" if group.median_ratio is None else f"median {group.median_ratio:.3f} x the bound"
        )
        lines.append((group.name, f"{median}, had {group.mean_share:.1%} of the file"))
    lines.append(("took", f"{outcome.virtual_seconds:.3f} s, simulated in {outcome.wall_seconds:.1f} s"))
    return "\n".join(f"{name:16} {text}" for name, text in lines)


def _draw(path: Path, play: Play, trace: Trace, outcome: Outcome | None) -> None:
    from shoal.testing.picture.drawing import draw  # matplotlib: only who wants a picture needs it
    from shoal.testing.picture.figures import count

    title = f"{play.name}, seed {play.story.seed}: {SCENARIOS[play.name].title}"
    draw(path, title, play.story, count(play.story, trace), outcome)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:  # of the trace or the picture
        sys.exit(f"./dev sim: {error.filename}: {error.strerror}")
