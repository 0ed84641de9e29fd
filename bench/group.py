"""A file from nginx on loopback, alone and in a group: what the group costs where nobody is there or is needed.

`./dev bench group [--size SIZE] [--small SIZE] [--limit RATE] [--rounds N]`. Whole processes, into memory, in turns:
`shoal get` alone, in a group without anybody, and in one with two helpers; first a large file from a server without
limits, then a small one from one that gives each connection so many bytes a second. Below each table: what nginx
sent, over what was asked for. What arrived is compared with what was served.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from bench.harness import (
    ROOT,
    Contender,
    Run,
    argument,
    compile_ours,
    machine,
    make_payload,
    memory_folder,
    run_process,
    size_in_words,
    table,
    take_turns,
)
from bench.url import HOST, NAME, nginx
from shoal import __version__
from shoal.units import format_rate, parse_rate, parse_size

GROUP = "bench"
LONG_AGO = 1_600_000_000  # a file that was written just now has no version that could be believed
COMMAND = [sys.executable, "-P", "-m", "shoal"]
HERE = ("--bind", HOST, "--port", "0")
ENDS_WITHIN = 10.0  # seconds; a helper that was told to


@dataclass
class Origin:
    """nginx with one file, and how much of it left for whom."""

    url: str
    payload: Path
    log: Path
    costs: dict[str, list[float]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def next_url(self) -> str:
        """Another one each time, or helpers would have it already."""
        return f"{self.url}?{next(self._numbers)}"

    def note_cost(self, name: str) -> None:
        sent = sum(int(line.rpartition(" ")[2]) for line in self.log.read_text().splitlines())
        self.costs.setdefault(name, []).append(sent / self.payload.stat().st_size)
        self.log.write_text("")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev bench group", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--size", type=argument(parse_size), default=parse_size("1GiB"), help="the large one (1GiB)"
    )
    parser.add_argument(
        "--small", type=argument(parse_size), default=parse_size("6MiB"), help="the small one (6MiB)"
    )
    parser.add_argument(
        "--limit", type=argument(parse_rate), default=parse_rate("1MB/s"), help="of each connection (1MB/s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="that count, after one that does not (5)")
    options = parser.parse_args(argv)
    compile_ours()
    print(machine())
    print(f"shoal {__version__}")
    _compare(options.size, 0, options.rounds)
    _compare(options.small, options.limit, options.rounds)
    return 0


def _compare(size: int, limit: int, rounds: int) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(memory_folder()))
        url = stack.enter_context(nginx(folder, limit, tls=False))
        payload = folder / "files" / NAME
        make_payload(payload, size)
        os.utime(payload, (LONG_AGO, LONG_AGO))
        origin = Origin(url, payload, folder / "access.log")
        contenders = [Contender("alone", partial(_fetched, origin, _machine(folder, "alone"), "alone"))]
        for name, helper_count in (("nobody there", 0), ("two helpers", 2)):
            member = _room(stack, folder, name, helper_count)
            run = partial(_fetched, origin, member, name, "--group", GROUP, *HERE)
            contenders.append(Contender(name, run, "alone"))
        runs = take_turns(contenders, rounds)
    each = f", {format_rate(limit)} a connection" if limit else ""
    print(f"\n{size_in_words(size)} from nginx{each}\n")
    print(table(contenders, runs, size=size))
    sent = (f"{name} {statistics.median(costs[-rounds:]):.3f}" for name, costs in origin.costs.items())
    print(f"sent by nginx, x the file: {', '.join(sent)}")


def _fetched(origin: Origin, member: dict[str, str], name: str, *options: str) -> Run:
    got = Path(member["SHOAL_STATE_DIR"]).parent / "got"
    origin.log.write_text("")
    run = run_process(
        [*COMMAND, "get", origin.next_url(), "-o", "got", "--dir", got.parent, *options], env=member
    )
    origin.note_cost(name)
    if not filecmp.cmp(got, origin.payload, shallow=False):
        raise AssertionError(f"{name}: what arrived is not what was served")
    got.unlink()
    return run


# ---- members


def _machine(folder: Path, name: str) -> dict[str, str]:
    """The environment of one: it has a folder of its own."""
    state = folder / name.replace(" ", "-") / "state"
    state.mkdir(parents=True)
    ours = {"PYTHONPATH": str(ROOT / "src"), "SHOAL_STATE_DIR": str(state), "SHOAL_CONFIG": os.devnull}
    return {**os.environ, **ours}


def _room(stack: ExitStack, folder: Path, name: str, helper_count: int) -> dict[str, str]:
    """A requester in a group of its own, with so many helpers that run."""
    member = _machine(folder, name)
    key = _said([*COMMAND, "group", "new", GROUP], member).splitlines()[0]
    for number in range(helper_count):
        helper = _machine(folder, f"{name} {number}")
        _said([*COMMAND, "group", "join", "-"], helper, key)
        stack.enter_context(_helper(helper))
    return member


def _said(command: list[str], env: dict[str, str], heard: str = "") -> str:
    return subprocess.run(command, env=env, input=heard, capture_output=True, text=True, check=True).stdout


@contextmanager
def _helper(env: dict[str, str]) -> Iterator[None]:
    command = [*COMMAND, "helper", *HERE, "--allow-private", f"{HOST}/32"]
    helper = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        if helper.stdout is None or not helper.stdout.readline():
            raise AssertionError("a helper did not begin to listen")
        yield
    finally:
        helper.terminate()
        helper.communicate(timeout=ENDS_WITHIN)


if __name__ == "__main__":
    sys.exit(main())
