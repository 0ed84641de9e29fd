"""What the plan of a download costs a call. `python -m bench.fetching` prints a table.

Columns: *bytes* a chunk of 16 KiB came, pieces that become whole on the way included; *run* a fetcher ends and takes
the next gap or the back of another's run; *tick* the look at stalls and rates; *another* whether one more is wanted;
*resume* a plan is made from the pieces that are here. The file is half here: a row of pieces, or every second one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from shoal.fetch.claims import BLOCK
from shoal.fetch.pieces import SHORTEST_PIECE
from shoal.fetch.plan import Plan

PIECE_COUNTS = (1_000, 10_000, 100_000)
FETCHERS = 16
CALLS = 20_000
OPERATIONS = ("bytes", "run", "tick", "another", "resume")


def main() -> None:
    print(f"Python {sys.version.split()[0]}; microseconds a call; {FETCHERS} fetchers\n")
    print(f"| pieces | here | {' | '.join(OPERATIONS)} |")
    print("|---:|---|" + "---:|" * len(OPERATIONS))
    for piece_count in PIECE_COUNTS:
        row = (1 << piece_count // 2) - 1
        scattered = int("01" * (piece_count // 2), 2)
        for name, have_bits in (("a row", row), ("every second", scattered)):
            cells = " | ".join(f"{seconds * 1e6:,.2f}" for seconds in measure(piece_count, have_bits))
            print(f"| {piece_count:,} | {name} | {cells} |", flush=True)


def measure(piece_count: int, have_bits: int) -> list[float]:
    """Seconds a call of each operation."""
    length = piece_count * SHORTEST_PIECE
    began_at = time.perf_counter()
    plan = Plan(length, have_bits, most_fetchers=FETCHERS, first_fetchers=FETCHERS)
    resume = time.perf_counter() - began_at
    now = 1.0
    for number in range(FETCHERS):
        plan.next_run(number, now)
    spent_on_bytes = spent_on_runs = 0.0
    runs = 0
    calls = min(CALLS, plan.bytes_left // BLOCK // 2)
    for call in range(calls):
        number = call % FETCHERS
        now += 1e-4
        began_at = time.perf_counter()
        plan.on_bytes(number, min(BLOCK, plan.end_of(number) - plan.position_of(number)), now)
        spent_on_bytes += time.perf_counter() - began_at
        if plan.position_of(number) == plan.end_of(number) or call % 100 == 99:
            began_at = time.perf_counter()
            plan.on_ended(number, now, ok=True)
            plan.next_run(number, now)
            spent_on_runs += time.perf_counter() - began_at
            runs += 1
    plan.on_ended(0, now, ok=False)
    return [
        spent_on_bytes / calls,
        spent_on_runs / runs,
        timed(lambda: plan.tick(now)),
        timed(lambda: plan.wants_another_fetcher(now)),
        resume,
    ]


def timed(call: Callable[[], object], times: int = 1000) -> float:
    began_at = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began_at) / times


if __name__ == "__main__":
    main()
