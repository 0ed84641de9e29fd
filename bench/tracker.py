"""`shoal tracker` against opentracker: announces answered a second over UDP and HTTP, and whether they are true.

`./dev bench tracker [--swarms N...] [--only udp http] [--rounds N] [--seconds S] [--workers N] [--quick]`. Both
trackers know the same peers before anything is measured, and each announce asks for 50. Each tracker has one core
(with `--workers`, ours has more) and the generator the last one; they take turns, round by round. `sink` is the
ceiling of the generator: a server that gives the same bytes to whoever asks. Meanwhile some peers whose swarms are
known announce too, and check all that they are told (bench/tracking/prober.py).

`./dev bench tracker --memory` tells what a peer costs: a million of them in 100,000 swarms.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context

from bench.harness import ProcessFailed, compile_ours, first_line_of, is_there, machine
from bench.tracking.figures import CLOSED, KEPT, Case, Figures, Taken, figures_of, table, verdicts
from bench.tracking.http_load import load_closed, load_kept
from bench.tracking.memory import measure_memory
from bench.tracking.population import Population
from bench.tracking.prober import HttpQuestions, Prober, UdpQuestions
from bench.tracking.servers import CORES, pin_to_load_core, running_opentracker, running_shoal, running_sink
from bench.tracking.udp_load import Load, LoadError, fill_udp, load_udp
from shoal import __version__

PEERS = {
    1: 50_000,
    10_000: 500_000,
    1_000_000: 1_000_000,
}  # swarms -> peers in all: crowded, usual, mostly lonely
PEERS_A_SWARM = 50  # in any other number of swarms
QUICK = {1: 5_000, 1_000: 50_000}
MOST_PEERS = 1_000_000
PROBE_EVERY = 0.012  # seconds: some eighty questions a second, which is nothing beside the load
QUICK_SECONDS = 0.5
CORES_FOR_WORKERS = 4  # two workers, the generator, and one for the prober and the system
HTTP_WORDS = 70  # bytes, about, by which the same answer over HTTP is longer, its head aside


def main(argv: Sequence[str] | None = None) -> int:
    chosen = parse_options(argv)
    compile_ours()
    print(f"{machine()}; shoal {__version__}")
    if chosen.memory:
        return measure_memory()
    has_opentracker = is_there("opentracker")
    if has_opentracker:
        print(f"opentracker {package_version('opentracker')}")
    workers = chosen.workers
    if workers > 1 and len(CORES) < CORES_FOR_WORKERS:
        print(f"one worker: {workers} would need {CORES_FOR_WORKERS} cores or more, for one of them asks")
        workers = 1
    processes = f"{workers} workers of ours" if workers > 1 else "one process each"
    print(f"{chosen.rounds} rounds of {chosen.seconds:g} s after a warm-up, {processes}")
    pin_to_load_core()
    everything: list[Figures] = []
    failures: list[str] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=pin_to_load_core) as generator:
        for population in chosen.populations:
            print(f"\n{population}", flush=True)
            try:
                with set_stage(generator, population, chosen.only, workers, has_opentracker) as cases:
                    measure(generator, cases, population, chosen.rounds, chosen.seconds)
            except (ProcessFailed, LoadError) as error:
                failures.append(f"{population}: {error}")
                continue
            figures = [figures_of(case, population) for case in cases]
            print(table(figures))
            everything += figures
            failures += failures_of(cases)
    print("\n".join(["", *(f"FAILED {failure}" for failure in failures), *verdicts(everything)]))
    return 1 if failures else 0


def parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev bench tracker", description=(__doc__ or "").splitlines()[0])
    sizes = " ".join(map(str, PEERS))
    parser.add_argument("--swarms", type=int, nargs="+", metavar="N", help=f"how many ({sizes})")
    parser.add_argument(
        "--only", nargs="+", choices=("udp", "http"), default=("udp", "http"), help="which doors"
    )
    parser.add_argument("--rounds", type=int, default=3, help="that count, after one that does not (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each contender in a round (3)")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes of ours, where there are the cores (1)"
    )
    parser.add_argument("--quick", action="store_true", help="few peers, one short round: does it work?")
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    chosen = parser.parse_args(argv)
    peers = PEERS
    if chosen.quick:
        peers, chosen.rounds, chosen.seconds = QUICK, 1, QUICK_SECONDS
    chosen.populations = [
        Population(swarms, peers.get(swarms, min(swarms * PEERS_A_SWARM, MOST_PEERS)))
        for swarms in chosen.swarms or peers
    ]
    return chosen


def package_version(package: str) -> str:
    """What Debian calls it: the program itself does not tell."""
    try:
        return first_line_of(["dpkg-query", "--show", "--showformat=${Version}", package])
    except OSError:
        return "of unknown version"


# ---- one number of swarms


@contextmanager
def set_stage(
    generator: Executor, population: Population, doors: Sequence[str], workers: int, has_opentracker: bool
) -> Iterator[list[Case]]:
    """The contenders, up and filled, with all that will be asked of them."""
    with ExitStack() as stack:
        ours = stack.enter_context(running_shoal(workers))
        trackers = {ours: Prober(tells_only_others=True)}
        if has_opentracker:
            started_at = time.perf_counter()
            other = stack.enter_context(running_opentracker(population))
            print(f"opentracker: up, with its list of swarms, after {time.perf_counter() - started_at:.1f} s")
            trackers[other] = Prober(tells_only_others=False)
        answer_length = 0
        for server in trackers:
            filled = generator.submit(fill_udp, server.port, population).result()
            print(f"{server.name}: filled in {filled.seconds:.1f} s", flush=True)
            sample = generator.submit(load_udp, server.port, population, QUICK_SECONDS).result()
            answer_length = sample.answer_bytes // max(1, sample.answered)
        cases: list[Case] = []
        if "udp" in doors:
            sink = stack.enter_context(running_sink("udp", answer_length))
            cases += [Case("UDP", server, load_udp, prober) for server, prober in trackers.items()]
            cases.append(Case("UDP", sink, load_udp))
        if "http" in doors:
            sink = stack.enter_context(running_sink("http", answer_length + HTTP_WORDS))
            cases += [
                Case(KEPT, ours, load_kept, trackers[ours]),  # opentracker closes whatever it is asked
                Case(KEPT, sink, load_kept),
                *(Case(CLOSED, server, load_closed, prober) for server, prober in trackers.items()),
                Case(CLOSED, sink, load_closed),
            ]
        yield cases


def measure(
    generator: Executor, cases: Sequence[Case], population: Population, rounds: int, seconds: float
) -> None:
    """Every case once a round, in order; what comes after the warm-up is kept in it."""
    for round_number in range(1 + rounds):
        for case in cases:
            used = case.server.cpu_seconds()
            running = generator.submit(case.load, case.server.port, population, seconds)
            probe(case, running)
            load = running.result()
            if round_number > 0:
                case.taken.append(Taken(load, case.server.cpu_seconds() - used))


def probe(case: Case, running: Future[Load]) -> None:
    """Ask and check while the load runs."""
    if case.prober is None:
        wait([running])
        return
    with contextlib.closing(
        UdpQuestions(case.server.port) if case.door == "UDP" else HttpQuestions(case.server.port)
    ) as ask:
        while not wait([running], PROBE_EVERY).done:
            case.prober.step(ask)


def failures_of(cases: Sequence[Case]) -> list[str]:
    """What none of them may do: tell what is not so, or refuse."""
    failures = []
    for server, prober in {case.server: case.prober for case in cases if case.prober}.items():
        name = server.name
        print(f"{name}: {prober.checked:,} answers checked meanwhile, {prober.wrong} wrong")
        failures += [f"{name}: {failure}" for failure in prober.failures]
        if not prober.checked:
            failures.append(f"{name}: no answer was checked")
    for case in cases:
        refused = sum(taken.load.refused for taken in case.taken)
        if refused:
            failures.append(f"{case.server.name}, {case.door}: {refused} announces refused")
    return failures


if __name__ == "__main__":
    sys.exit(main())
