"""`shoal --version` against a bare interpreter: how long a person waits for the first word.

The two take turns, after a warm-up; medians and their ratio are printed. `./dev bench start [ROUNDS]`.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTENDERS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "shoal --version": [str(Path(sys.executable).with_name("shoal")), "--version"],
    "./shoal --version": [str(ROOT / "shoal"), "--version"],
}
WARM_UP_ROUNDS = 3  # the first starts read the interpreter from disk


def seconds_of(command: list[str]) -> float:
    started_at = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started_at


def measure(rounds: int) -> dict[str, list[float]]:
    """The times of each contender; they take turns, so that a slow moment of the machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for round_number in range(WARM_UP_ROUNDS + rounds):
        for name, command in CONTENDERS.items():
            taken = seconds_of(command)
            if round_number >= WARM_UP_ROUNDS:
                times[name].append(taken)
    return times


def main(rounds: int) -> None:
    times = measure(rounds)
    bare = statistics.median(times["python -c pass"])
    print(f"Python {platform.python_version()}, {rounds} rounds, milliseconds\n")
    print(f"{'':20}{'median':>8}{'min':>8}{'max':>8}{'ratio':>8}")
    for name, taken in times.items():
        median = statistics.median(taken)
        columns = [median * 1000, min(taken) * 1000, max(taken) * 1000]
        print(f"{name:20}" + "".join(f"{value:8.1f}" for value in columns) + f"{median / bare:7.2f}x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
