"""How precise rate limits are, and how fair: ours limited, ours and libtorrent at the other end.

`./dev bench limits [--only up down] [--rates RATE...] [--partners NAME...] [--peers N...]`. One process of ours has
a limit, and one or four partners without one. Every connection goes through a pipe that counts its bytes, headers of
messages too: those sent by ours, or those read by ours out of its sockets. The error is that of every window of five
seconds that begins after the first second; `share` is what the partner with the least got over what the one with
the most got.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.harness import ROOT, ProcessFailed, argument, machine, memory_folder
from bench.pair import set_scene
from bench.peers.ends import Command, Program, Scene, environment, known_programs, running_seed, stop
from bench.peers.metered_pipe import MeteredPipe
from shoal.units import KIB, MIB, format_rate, parse_rate

RATES = (20 * KIB, 200 * KIB, 2 * MIB, 50 * MIB)
PARTNERS = ("shoal", "libtorrent")
WINDOW = 5.0  # seconds
SAMPLE_EVERY = 0.05  # seconds
SECONDS = 12.0  # of each transfer; at a low rate longer, or a block more or less is half of a share
SLOW_SECONDS = 40.0
SLOW = 100 * KIB
START_LIMIT = 30.0  # seconds until every partner takes part; libtorrent unchokes by turns
FIRST_BYTES = 4 * KIB  # of each connection: handshakes are over and blocks flow
MOST_ERROR = 3.0  # per cent
LEAST_SHARE = 0.8

Count = Callable[[MeteredPipe], int]


@dataclass(frozen=True, slots=True)
class Case:
    direction: str  # "up" or "down", of ours
    rate: int
    partner: str
    peers: int

    @property
    def seconds(self) -> float:
        return SLOW_SECONDS if self.rate < SLOW else SECONDS

    def __str__(self) -> str:
        return f"{self.direction:<5}{format_rate(self.rate):>12}  {self.partner:<11}{self.peers:>5}"


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    counts: tuple[int, ...]  # bytes so far, a connection each


@dataclass(frozen=True, slots=True)
class Figures:
    """Errors in per cent; the worst with its sign."""

    worst: float
    median: float
    share: float


def main(argv: Sequence[str] | None = None) -> int:
    chosen = parse_options(argv)
    programs = known_programs()
    print(machine())
    for name in PARTNERS:
        print(f"{name}: {programs[name].version}" if name in programs else f"absent: {name}")
    cases = [
        Case(direction, rate, partner, peers)
        for direction in chosen.only
        for rate in chosen.rates
        for partner in chosen.partners
        for peers in chosen.peers
        if partner in programs
    ]
    head = f"{'':5}{'limit':>12}  {'partner':<11}{'peers':>5}"
    print(f"\n{head}{'worst %':>10}{'median %':>10}{'share':>8}")
    is_good = True
    for case in cases:
        try:
            figures = measure(case, programs)
        except ProcessFailed as error:
            print(f"{case}  FAILED: {error}", flush=True)
            is_good = False
            continue
        print(f"{case}{figures.worst:>+10.2f}{figures.median:>10.2f}{figures.share:>8.2f}", flush=True)
        is_good &= abs(figures.worst) <= MOST_ERROR and figures.share >= LEAST_SHARE
    print(f"\n{'yes' if is_good else 'NO '}  all within {MOST_ERROR:g} %, shares at least {LEAST_SHARE}")
    return 0 if is_good else 1


def parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev bench limits", description=(__doc__ or "").splitlines()[0])
    directions = ("up", "down")
    parser.add_argument("--only", nargs="+", choices=directions, default=directions, help="which direction")
    parser.add_argument("--rates", nargs="+", type=argument(parse_rate), default=RATES, help="20KiB to 50MiB")
    parser.add_argument("--partners", nargs="+", choices=PARTNERS, default=PARTNERS)
    parser.add_argument("--peers", nargs="+", type=int, default=(1, 4), help="how many (1 4)")
    return parser.parse_args(argv)


# ---- one case


def measure(case: Case, programs: dict[str, Program]) -> Figures:
    """Run it, and tell what it came to. Raises `ProcessFailed`."""
    size = int(case.rate * (case.seconds + 5)) + 4 * MIB * case.peers  # nobody is done before the end
    set_up = uploading if case.direction == "up" else downloading
    with memory_folder() as folder, set_scene(Path(folder), size) as scene, ExitStack() as stack:
        pipes, count = stack.enter_context(set_up(case, programs, scene))
        samples = watch(pipes, count, case.seconds)
    return figures_of(samples, case.rate)


@contextmanager
def uploading(
    case: Case, programs: dict[str, Program], scene: Scene
) -> Iterator[tuple[list[MeteredPipe], Count]]:
    """Ours seeds with a limit, the partners fetch."""
    limit: Command = ["--max-upload-rate", str(case.rate)]
    ours = programs["shoal"]
    limited = replace(ours, seed=lambda scene, port: [*ours.seed(scene, port), *limit])
    with running_seed(limited, scene) as seed, ExitStack() as stack:
        pipes = [stack.enter_context(MeteredPipe(seed.address)) for _ in range(case.peers)]
        for number, pipe in enumerate(pipes):
            place = apart(scene, f"leecher{number}")
            command = programs[case.partner].get(place, place.folder, pipe.address)
            stack.enter_context(running(command, place))
        yield pipes, MeteredPipe.sent_back


@contextmanager
def downloading(
    case: Case, programs: dict[str, Program], scene: Scene
) -> Iterator[tuple[list[MeteredPipe], Count]]:
    """The partners seed, ours fetches with a limit."""
    with ExitStack() as stack:
        seeds = [
            stack.enter_context(running_seed(programs[case.partner], apart(scene, f"seed{number}")))
            for number in range(case.peers)
        ]
        pipes = [stack.enter_context(MeteredPipe(seed.address)) for seed in seeds]
        place = apart(scene, "leecher")
        command = programs["shoal"].get(place, place.folder, pipes[0].address)
        command += ["--max-download-rate", str(case.rate)]
        for pipe in pipes[1:]:
            command += ["--peer", pipe.address]
        stack.enter_context(running(command, place))
        yield pipes, MeteredPipe.read_by_dialler


def apart(scene: Scene, name: str) -> Scene:
    """The same payload for a program with a folder of its own."""
    folder = scene.folder / name
    folder.mkdir()
    return replace(scene, folder=folder)


@contextmanager
def running(command: Command, place: Scene) -> Iterator[None]:
    with (place.folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(place.folder / "state"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        yield
        if process.poll() is not None:
            said = (place.folder / "errors").read_text(errors="replace").strip()
            raise ProcessFailed(f"a leecher ended with {process.returncode}: {said}")
    finally:
        stop(process)


def watch(pipes: Sequence[MeteredPipe], count: Count, seconds: float) -> list[Sample]:
    """The counts of `seconds`, from the moment on when every connection carries blocks."""
    deadline = time.monotonic() + START_LIMIT
    while min(map(count, pipes)) < FIRST_BYTES:
        if time.monotonic() > deadline:
            raise ProcessFailed(f"not every partner took part within {START_LIMIT:g} s")
        time.sleep(SAMPLE_EVERY)
    samples: list[Sample] = []
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        samples.append(Sample(now, tuple(map(count, pipes))))
        time.sleep(SAMPLE_EVERY)
    return samples


# ---- what it came to


def figures_of(samples: Sequence[Sample], rate: int) -> Figures:
    began = samples[0].at + 1.0
    steady = [sample for sample in samples if sample.at >= began]
    errors = list(window_errors(steady, rate))
    moved = [last - first for first, last in zip(steady[0].counts, steady[-1].counts, strict=True)]
    return Figures(
        worst=max(errors, key=abs),
        median=statistics.median(map(abs, errors)),
        share=min(moved) / max(moved),
    )


def window_errors(samples: Sequence[Sample], rate: int) -> Iterator[float]:
    """In per cent, for each window of five seconds."""
    last = 0
    for first in samples:
        while last < len(samples) and samples[last].at < first.at + WINDOW:
            last += 1
        if last == len(samples):
            return
        passed = sum(samples[last].counts) - sum(first.counts)
        yield 100 * (passed / ((samples[last].at - first.at) * rate) - 1)


if __name__ == "__main__":
    sys.exit(main())
