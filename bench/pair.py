"""One seed, one leecher, one big file in memory: every pairing of ours and the others', in turns.

`./dev bench pair [--rounds N] [--size SIZE] [--only NAMES]`. A v1 torrent of 1 MiB pieces. The clock runs from the
start of the leecher's process to its exit, with the seed up already; the bytes are compared after each
transfer. `raw` is the limit: one TCP copy with SHA-1 and a write, without a protocol (bench/peers/raw_copy.py).
`./dev bench pair --memory [--peers N]` tells what one process of ours holds with N peers connected.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness import (
    ProcessFailed,
    argument,
    compile_ours,
    cpu_seconds_of,
    machine,
    make_payload,
    memory_folder,
    peak_memory_of,
    run_process,
    size_in_words,
)
from bench.peers.ends import (
    Command,
    OnePeerTracker,
    Program,
    Scene,
    environment,
    known_programs,
    running_seed,
)
from bench.peers.memory import measure_memory
from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.units import GIB, MIB, parse_size

PIECE_LENGTH = 1 * MIB
SLOWEST = 5 * MIB  # bytes a second; a transfer below that has failed
STARTING = 30.0  # seconds more, whatever the size
PAIRS = (  # (seed, leecher)
    ("shoal", "shoal"), ("libtorrent", "shoal"), ("shoal", "libtorrent"), ("libtorrent", "libtorrent"),
    ("aria2", "shoal"), ("shoal", "aria2"), ("aria2", "aria2"), ("aria2", "libtorrent"), ("libtorrent", "aria2"),
    ("raw", "raw"),
)  # fmt: skip
MARK = "libtorrent-libtorrent"
LIMIT = "raw"
OURS = "shoal-shoal"

LEAST_OF_MARK = 1.6  # times as fast as libtorrent to itself
LEAST_OF_LIMIT = 0.8  # of the raw copy
MOST_MEMORY = 96 * MIB  # resident, for either end of ours

Judge = Callable[[bool, str], None]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one transfer took."""

    seconds: float
    cpu_seconds: float  # of both ends; of the seed only what it used meanwhile
    seed_memory: int  # bytes, the most that was resident
    leecher_memory: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the transfers of one pairing came to: rates in bytes a second, CPU seconds a GiB, bytes."""

    median: float
    slowest: float
    fastest: float
    cpu_per_gib: float
    seed_memory: int
    leecher_memory: int


def main(argv: Sequence[str] | None = None) -> int:
    chosen = parse_options(argv)
    programs = known_programs()
    compile_ours()
    print(machine())
    for name in ("shoal", "libtorrent", "aria2", "raw"):
        print(f"{name}: {programs[name].version}" if name in programs else f"absent: {name}")
    pairs = [pair for pair in PAIRS if set(pair) <= set(programs)]
    if chosen.only:
        pairs = [pair for pair in pairs if pair_name(*pair) in chosen.only]
    print(f"{size_in_words(chosen.size)} in pieces of 1 MiB, {chosen.rounds} rounds after a warm-up\n")
    with memory_folder() as folder, set_scene(Path(folder), chosen.size) as scene:
        if chosen.memory:
            return measure_memory(programs["shoal"], scene, chosen.peers)
        taken, failures = measure(
            scene, [(programs[seed], programs[get]) for seed, get in pairs], chosen.rounds
        )
    figures = {name: figures_of(of_this, chosen.size) for name, of_this in taken.items() if of_this}
    print(table(figures))
    print("\n".join(["", *(f"FAILED {failure}" for failure in failures), *verdicts(figures)]))
    return 1 if failures else 0


def parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [pair_name(*pair) for pair in PAIRS]
    parser = argparse.ArgumentParser(prog="dev bench pair", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--size", type=argument(parse_size), default=parse_size("1GiB"), help="of the payload (1GiB)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="that count, after one that does not (5)")
    parser.add_argument("--only", nargs="+", choices=names, metavar="SEED-LEECHER", help=", ".join(names))
    parser.add_argument("--memory", action="store_true", help="measure memory with many peers instead")
    parser.add_argument("--peers", type=int, default=200, help="how many, with --memory (200)")
    return parser.parse_args(argv)


def pair_name(seed: str, leecher: str) -> str:
    return LIMIT if seed == LIMIT else f"{seed}-{leecher}"


# ---- transfers


@contextmanager
def set_scene(folder: Path, size: int) -> Iterator[Scene]:
    """The payload, its torrent, and a tracker for those that need one."""
    payload = folder / "payload" / "payload.bin"
    payload.parent.mkdir()
    make_payload(payload, size)
    torrent = folder / "payload.torrent"
    create: Command = [
        "create",
        payload,
        "-o",
        torrent,
        "--format",
        "v1",
        "--piece-length",
        str(PIECE_LENGTH),
    ]
    run_process([sys.executable, "-m", "shoal", *create], env=environment(folder / "create-state"))
    metainfo: Metainfo = parse_metainfo(torrent.read_bytes())
    with OnePeerTracker() as tracker:
        scene = Scene(folder, payload, torrent, metainfo, tracker.url)
        scene.digests.write_bytes(metainfo.piece_hashes)
        yield scene


def measure(
    scene: Scene, pairs: Sequence[tuple[Program, Program]], rounds: int
) -> tuple[dict[str, list[Transfer]], list[str]]:
    """Every pairing once a round, in order; those after the warm-up, and what went wrong in any."""
    taken: dict[str, list[Transfer]] = {pair_name(seed.name, leecher.name): [] for seed, leecher in pairs}
    failures: list[str] = []
    for round_number in range(1 + rounds):
        for seed, leecher in pairs:
            name = pair_name(seed.name, leecher.name)
            try:
                transfer = run_transfer(scene, seed, leecher)
            except ProcessFailed as error:
                failures.append(f"{name}, round {round_number}: {error}")
                continue
            if round_number > 0:
                taken[name].append(transfer)
    return taken, failures


def run_transfer(scene: Scene, seed: Program, leecher: Program) -> Transfer:
    """One transfer into a new folder, compared and removed. Raises `ProcessFailed`."""
    folder = scene.folder / "download"
    state = scene.folder / "leecher-state"
    folder.mkdir()
    try:
        with running_seed(seed, scene) as running:
            cpu_before = cpu_seconds_of(running.pid)
            run = run_process(
                leecher.get(scene, folder, running.address),
                env=environment(state),
                limit=STARTING + scene.payload.stat().st_size / SLOWEST,
            )
            seed_cpu = cpu_seconds_of(running.pid) - cpu_before
            seed_memory = peak_memory_of(running.pid)
        if not is_equal(scene.payload, folder / scene.payload.name):
            raise ProcessFailed("what arrived differs from what was sent")
        return Transfer(run.seconds, run.cpu_seconds + seed_cpu, seed_memory, run.peak_memory)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(state, ignore_errors=True)


def is_equal(first: Path, second: Path) -> bool:
    """Whether two files have the same bytes."""
    if not second.is_file() or first.stat().st_size != second.stat().st_size:
        return False
    with first.open("rb") as left, second.open("rb") as right:
        while chunk := left.read(1 * MIB):
            if chunk != right.read(1 * MIB):
                return False
    return True


# ---- what it came to


def figures_of(transfers: Sequence[Transfer], size: int) -> Figures:
    seconds = [transfer.seconds for transfer in transfers]
    return Figures(
        median=size / statistics.median(seconds),
        slowest=size / max(seconds),
        fastest=size / min(seconds),
        cpu_per_gib=statistics.median(transfer.cpu_seconds for transfer in transfers) * GIB / size,
        seed_memory=max(transfer.seed_memory for transfer in transfers),
        leecher_memory=max(transfer.leecher_memory for transfer in transfers),
    )


def table(figures: Mapping[str, Figures]) -> str:
    """A row a pairing, named SEED-LEECHER."""
    width = max(map(len, figures), default=0)
    heads = ("MiB/s", "min", "max", "x libt.", "x raw", "cpu s/GiB", "seed MiB", "get MiB")
    lines = [" " * width + "".join(f"{head:>10}" for head in heads)]
    for name, of_this in figures.items():
        columns = (
            f"{of_this.median / MIB:10.0f}{of_this.slowest / MIB:10.0f}{of_this.fastest / MIB:10.0f}"
            f"{ratio(figures, name, MARK):>10}{ratio(figures, name, LIMIT):>10}{of_this.cpu_per_gib:10.2f}"
            f"{of_this.seed_memory / MIB:10.0f}{of_this.leecher_memory / MIB:10.0f}"
        )
        lines.append(f"{name:{width}}{columns}")
    return "\n".join(lines)


def ratio(figures: Mapping[str, Figures], name: str, other: str) -> str:
    return f"{figures[name].median / figures[other].median:.2f}" if other in figures else "-"


def verdicts(figures: Mapping[str, Figures]) -> list[str]:
    """What we want to be true, each with whether it is; what was not measured is left out."""
    lines: list[str] = []

    def judge(is_so: bool, what: str) -> None:
        lines.append(f"{'yes' if is_so else 'NO '}  {what}")

    ours, mark, limit = (figures.get(name) for name in (OURS, MARK, LIMIT))
    if ours and mark:
        times = ours.median / mark.median
        judge(times >= LEAST_OF_MARK, f"{times:.2f} x libtorrent to itself; at least {LEAST_OF_MARK} x")
        cpu = f"{ours.cpu_per_gib:.2f} CPU seconds a GiB for both ends; libtorrent {mark.cpu_per_gib:.2f}"
        judge(ours.cpu_per_gib < mark.cpu_per_gib, cpu)
    if ours and limit:
        share = ours.median / limit.median
        judge(share >= LEAST_OF_LIMIT, f"{share:.2f} of the raw copy; at least {LEAST_OF_LIMIT}")
    for mine, theirs in (("libtorrent-shoal", "libtorrent-"), ("aria2-shoal", "aria2-")):
        judge_place(figures, mine, [name for name in figures if name.startswith(theirs)], judge)
    for mine, theirs in (("shoal-libtorrent", "-libtorrent"), ("shoal-aria2", "-aria2")):
        judge_place(figures, mine, [name for name in figures if name.endswith(theirs)], judge)
    memory = [one.seed_memory for name, one in figures.items() if name.startswith("shoal-")]
    memory += [one.leecher_memory for name, one in figures.items() if name.endswith("-shoal")]
    if memory:
        most = max(memory)
        judge(
            most <= MOST_MEMORY, f"{most / MIB:.0f} MiB resident at most; no more than {MOST_MEMORY // MIB}"
        )
    return lines


def judge_place(figures: Mapping[str, Figures], mine: str, same_partner: Sequence[str], judge: Judge) -> None:
    """With a foreign partner: are we as fast as the best foreign program in our place?"""
    rivals = {name: figures[name].median for name in same_partner if name != mine}
    if mine not in figures or not rivals:
        return
    best = max(rivals, key=lambda name: rivals[name])
    own = figures[mine].median
    judge(own >= rivals[best], f"{mine} {own / MIB:.0f} MiB/s; {best} {rivals[best] / MIB:.0f}")


if __name__ == "__main__":
    sys.exit(main())
