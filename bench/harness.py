"""What every benchmark shares: contenders in turns, processes measured to their end, one shape of table.

Always true: contenders take turns (A B C, A B C), so that a slow moment of the machine hits all alike; the
first rounds are thrown away; medians are compared, with minimum and maximum beside them.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import UsageError
from shoal.units import GIB, KIB, MIB

ROOT = Path(__file__).resolve().parent.parent
_MEMORY = Path("/dev/shm")  # Linux keeps it in memory
_RANDOM_LENGTH = (
    1 * MIB
)  # written again and again with another number; small, for `peak_memory` is above ours


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took, its own children included."""

    seconds: float
    cpu_seconds: float = 0.0
    peak_memory: int = 0  # bytes resident; not below this process' own, from which it is started


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table: `run` does all of it once."""

    name: str
    run: Callable[[], Run]
    compared_with: str = ""  # the row that this one's time is divided by


class ProcessFailed(Exception):
    """A measured process ended badly; its own words are in the message."""


def run_process(
    command: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> Run:
    """Start `command`, wait for its end, and tell what it took. Raises `ProcessFailed`.

    After `limit` seconds it is killed, which counts as a bad end.
    """
    with tempfile.TemporaryFile() as output:
        started_at = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        with _killed_after(limit, process):
            run = wait_process(process, started_at)
        if process.returncode != 0:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
            raise ProcessFailed(f"{shown(command)}: ended with {process.returncode}: {said}")
    return run


def wait_process(process: subprocess.Popen[bytes], started_at: float) -> Run:
    """Wait for the end of a process started at `started_at` (`time.perf_counter`)."""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started_at
    process.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait for it once more
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * KIB)


@contextmanager
def _killed_after(limit: float | None, process: subprocess.Popen[bytes]) -> Iterator[None]:
    if limit is None:
        yield
        return
    timer = threading.Timer(limit, os.kill, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def cpu_seconds_of(pid: int) -> float:
    """What a running process has used so far, all its threads, in user and system time. Linux only."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = after_name[11:13]  # the 14th and 15th field, and the first two are cut off
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def peak_memory_of(pid: int) -> int:
    """The most bytes that a running process had resident so far. Linux only."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIB
    return 0


def take_turns(contenders: Sequence[Contender], rounds: int, *, warm_up: int = 1) -> dict[str, list[Run]]:
    """Every contender once a round, in order; the runs after the warm-up, by name."""
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for round_number in range(warm_up + rounds):
        for contender in contenders:
            run = contender.run()
            if round_number >= warm_up:
                runs[contender.name].append(run)
    return runs


def table(contenders: Sequence[Contender], runs: Mapping[str, Sequence[Run]], *, size: int = 0) -> str:
    """A row a contender; with `size` (bytes that each run moved) a rate too."""
    width = max(len(contender.name) for contender in contenders)
    heads = ("median s", "min", "max", "cpu s", "MiB/s", "peak MiB")
    lines = [" " * width + "".join(f"{head:>10}" for head in heads) + "   ratio"]
    for contender in contenders:
        of_this = runs[contender.name]
        median = median_seconds(of_this)
        columns = (
            f"{median:10.3f}"
            f"{min(run.seconds for run in of_this):10.3f}"
            f"{max(run.seconds for run in of_this):10.3f}"
            f"{statistics.median(run.cpu_seconds for run in of_this):10.2f}"
            f"{size / MIB / median:10.0f}"
            f"{max(run.peak_memory for run in of_this) / MIB:10.0f}"
        )
        lines.append(f"{contender.name:{width}}{columns}{_ratio(contender, median, runs)}")
    return "\n".join(lines)


def median_seconds(runs: Sequence[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def _ratio(contender: Contender, median: float, runs: Mapping[str, Sequence[Run]]) -> str:
    if contender.compared_with not in runs:
        return ""
    return f"   {median / median_seconds(runs[contender.compared_with]):.2f} x {contender.compared_with}"


# ---- what is there to measure with


def first_line_of(command: Sequence[str]) -> str:
    """The first line that a program says (its version, mostly), from either stream."""
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    lines = (said.stdout + said.stderr).strip().splitlines()
    return lines[0] if lines else "says nothing"


def is_there(program: str) -> bool:
    """Whether the program is installed; says so if it is not."""
    if shutil.which(program):
        return True
    print(f"absent: {program}")
    return False


def argument(parse: Callable[[str], int]) -> Callable[[str], int]:
    """`parse` as argparse wants it: what it refuses is told in one line."""

    def parsed(text: str) -> int:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(f"{error.message}; {error.hint}") from None

    return parsed


def compile_ours() -> None:
    """Byte code beside the sources, as pip leaves it, even where the environment keeps Python from writing any."""
    compileall.compile_dir(ROOT / "src" / "shoal", quiet=1)


def machine() -> str:
    """One line on where this is measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.release()}, {cores} cores, Python {platform.python_version()}"


def memory_folder() -> AbstractContextManager[str]:
    """A folder in memory (or where temporary files go), removed with all that is in it."""
    return tempfile.TemporaryDirectory(prefix="shoal-bench-", dir=_MEMORY if _MEMORY.is_dir() else None)


def make_payload(path: Path, size: int) -> None:
    """A file of `size` bytes in which no two pieces are equal."""
    block = os.urandom(min(size, _RANDOM_LENGTH))
    with path.open("wb") as file:
        for number, begin in enumerate(range(0, size, len(block))):
            file.write(number.to_bytes(8, "big") + block[8:][: size - begin - 8])


def shown(command: Sequence[str | Path]) -> str:
    return " ".join(map(str, command))


def size_in_words(size: int) -> str:
    return f"{size // GIB} GiB" if size % GIB == 0 else f"{size / MIB:g} MiB"
