"""The contenders as running processes: ours, opentracker, and the sinks that do nothing.

Where there are two cores or more, servers have the first ones and everything that asks them has the last one; with
one core all share it. A server is up when it answers; each ends with its block.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness import ROOT, ProcessFailed, cpu_seconds_of, memory_folder
from bench.peers.ends import free_port, stop
from bench.tracking.population import (
    ANNOUNCE_ACTION,
    PROBED_SWARMS,
    STOPPED,
    Population,
    announce,
    info_hash,
    probed_hash,
)
from bench.tracking.rings import SLOT
from bench.tracking.udp_load import CONNECT, HOST

START_LIMIT = 30.0  # seconds
POLL_EVERY = 0.02  # seconds between looks at a server that is starting
ROOM = 2_000_000  # peers and swarms that ours may keep: as others, which know no bound
SOURCE = ROOT / "src"  # of ours
CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE = CORES[-1]
PROBE_SECONDS = 0.2
READABLE = 0o755  # opentracker becomes nobody before it reads


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs. `name` is that of its row."""

    name: str
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds_of, self._processes()))

    def resident(self) -> int:
        return sum(map(resident_of, self._processes()))

    def _processes(self) -> list[int]:
        """It and its workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]


def resident_of(pid: int) -> int:
    """Bytes of a process that are in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def server_cores(workers: int) -> set[int]:
    return set(CORES[:workers])


def pin_to_load_core() -> None:
    """This process, and all that it starts without another word."""
    os.sched_setaffinity(0, {LOAD_CORE})


@contextmanager
def running_shoal(workers: int = 1, most: int = ROOM) -> Iterator[Server]:
    command = [
        sys.executable, "-P", SOURCE / "shoal/__main__.py", "tracker", "--bind", HOST, "--port", "0",
        "--status-every", "0", "--max-peers", str(most), "--max-swarms", str(ROOM),
        *(["--workers", str(workers)] if workers > 1 else []),
    ]  # fmt: skip
    with (
        memory_folder() as folder,
        _running("shoal", command, Path(folder), server_cores(workers)) as process,
    ):
        port = int(
            _told(process, Path(folder), "shoal", "tracker ").removesuffix("/announce").rpartition(":")[2]
        )
        _wait_answer("shoal", process, Path(folder), port)
        yield Server("shoal", port, process.pid)


@contextmanager
def running_opentracker(population: Population) -> Iterator[Server]:
    """Debian's build serves what its list names, so the list names every swarm."""
    port = free_port()
    with memory_folder() as name:
        folder = Path(name)
        folder.chmod(READABLE)
        hashes = [info_hash(swarm) for swarm in range(population.swarms)]
        hashes += [probed_hash(number) for number in range(PROBED_SWARMS)]
        (folder / "whitelist").write_text("".join(f"{one.hex()}\n" for one in hashes))
        lines = [f"listen.tcp_udp {HOST}:{port}", f"access.whitelist {folder / 'whitelist'}"]
        if os.geteuid() == 0:
            lines.append("tracker.user nobody")
        (folder / "opentracker.conf").write_text("\n".join(lines) + "\n")
        command = ["opentracker", "-f", folder / "opentracker.conf"]
        with _running("opentracker", command, folder, server_cores(1)) as process:
            _wait_answer("opentracker", process, folder, port)
            yield Server("opentracker", port, process.pid)


@contextmanager
def running_sink(door: str, length: int) -> Iterator[Server]:
    command = [sys.executable, "-P", "-m", "bench.tracking.sinks", door, str(length)]
    with memory_folder() as folder, _running("sink", command, Path(folder), server_cores(1)) as process:
        yield Server("sink", int(_told(process, Path(folder), "sink", "listening on ")), process.pid)


@contextmanager
def _running(
    name: str, command: Sequence[str | Path], folder: Path, cores: set[int]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on its cores, ended with the block; what it says to stderr is in `folder`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    environment = {
        **own,  # none of this person's settings
        "SHOAL_CONFIG": os.devnull,
        "SHOAL_STATE_DIR": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join(map(str, (SOURCE, ROOT))),
    }
    mine = os.sched_getaffinity(0)
    with (folder / f"{name}.errors").open("wb") as errors:
        os.sched_setaffinity(0, cores)  # before the start, so that every thread of it is there
        try:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )  # fmt: skip
        finally:
            os.sched_setaffinity(0, mine)
    try:
        yield process
        if process.poll() is not None:
            raise ProcessFailed(f"{name} ended with {process.returncode}: {_said(folder, name)}")
    finally:
        stop(process)


def _told(process: subprocess.Popen[bytes], folder: Path, name: str, beginning: str) -> str:
    """What stands behind `beginning` in the first line that it prints."""
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    if not line.startswith(beginning):
        raise ProcessFailed(f"{name} says '{line}' instead of where it is: {_said(folder, name)}")
    return line.removeprefix(beginning)


def _wait_answer(name: str, process: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    """Until an announce over UDP is answered: opentracker answers connects before it has read its list."""
    deadline = time.monotonic() + START_LIMIT
    while not answers_announce(port):
        if process.poll() is not None:
            raise ProcessFailed(f"{name} ended with {process.returncode}: {_said(folder, name)}")
        if time.monotonic() > deadline:
            raise ProcessFailed(f"{name} did not answer within {START_LIMIT:g} s: {_said(folder, name)}")
        time.sleep(POLL_EVERY)


def answers_announce(port: int) -> bool:
    """Whether somebody who only looks (port 0) is answered there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        sock.settimeout(PROBE_SECONDS)
        try:
            sock.send(CONNECT)
            connection_id = sock.recv(SLOT)[8:16]
            sock.send(announce(connection_id, bytes(4), probed_hash(0), port=0, left=1, event=STOPPED))
            answer = sock.recv(SLOT)
        except OSError:
            return False
        return answer[:4] == ANNOUNCE_ACTION.to_bytes(4, "big")


def _said(folder: Path, name: str) -> str:
    return (folder / f"{name}.errors").read_text(errors="replace").strip()
