"""One swarm, once: a tracker at the hub, a seed that is up, leechers started at once, and what became of them.

A leecher's time runs from the start of its process to its own word that it has everything, and counts only if its
file then has the bytes of the payload. Everybody stays until the last one has everything.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.pair import is_equal
from lab.parts.clients import SHOAL, Client, Post
from lab.parts.namespaces import LabError, Link, Network
from lab.parts.processes import Crew, Process

TRACKER_PORT = 6969
START_LIMIT = 60.0  # seconds for the tracker and the seed to be up
SLOWEST = 12  # times the bound; Transmission's swarms, the slowest known, take 6
STARTING = 30.0  # seconds more, whatever the size


@dataclass(frozen=True, slots=True)
class Swarm:
    """Who takes part: names of clients, the seed first."""

    name: str
    seed: str
    leechers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What every swarm of one run shares."""

    folder: Path
    payload: Path
    torrent: Path
    rate: int  # bits a second, each way, of every link

    @property
    def size(self) -> int:
        return self.payload.stat().st_size

    @property
    def bound(self) -> float:
        """Seconds in which no swarm can do it: the seed has to send the whole file once."""
        return self.size * 8 / self.rate


@dataclass(frozen=True, slots=True)
class Arrival:
    """One leecher: its client and when it had everything, in seconds after its start."""

    client: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What one link carried in one second or so, in bits a second."""

    at: float  # seconds after the first leecher's start
    host: str
    up: float
    down: float


@dataclass(frozen=True, slots=True)
class Spread:
    """What became of one swarm."""

    swarm: str
    arrivals: tuple[Arrival, ...]
    seed_frames: int  # bytes of frames that left the seed until the last leecher had everything
    seed_payload: int | None  # bytes of the file among them, as the clients tell
    samples: tuple[Sample, ...]


def spread(swarm: Swarm, scene: Scene, clients: Mapping[str, Client], *, sampled: bool = False) -> Spread:
    """Let `swarm` have the payload; with `sampled`, look at all links once a second. Raises `LabError`."""
    folder = scene.folder / "run"
    folder.mkdir()
    link = Link(scene.rate, scene.rate)
    try:
        with Network([link] * (1 + len(swarm.leechers))) as network, Crew(network, folder) as crew:
            run = _Run(swarm, scene, clients, network, crew)
            run.start_seed()
            run.start_leechers()
            run.wait_all(sampled=sampled)
            return run.result()
    finally:
        shutil.rmtree(folder)


class _Run:
    """What `spread` does, step by step."""

    def __init__(
        self, swarm: Swarm, scene: Scene, clients: Mapping[str, Client], network: Network, crew: Crew
    ) -> None:
        self.swarm = swarm
        self.scene = scene
        self.clients = clients
        self.network = network
        self.crew = crew
        self.seed_process: Process | None = None
        self.leechers: list[Process] = []
        self.completed_at: dict[str, float] = {}  # by name of the process
        self.samples: list[Sample] = []

    def start_seed(self) -> None:
        """The tracker and the seed; returns when the tracker knows the seed."""
        log = self.crew.folder / "tracker.log"
        hub = self.network.hub
        where = ["--bind", hub.address, "--port", str(TRACKER_PORT)]
        tracker = self.crew.start("tracker", hub, [*SHOAL, "tracker", *where, "--log", log])
        self.crew.watch(lambda: bool(tracker.lines), START_LIMIT, every=0.02)
        host = self.network.hosts[0]
        client = self.clients[self.swarm.seed]
        post = Post(self.scene.torrent, self.scene.payload.parent, host.address)
        self.seed_process = self.crew.start("seed", host, client.seed(post))
        self.crew.watch(lambda: has_seed_announced(log), START_LIMIT, every=0.02)

    def start_leechers(self) -> None:
        hosts = self.network.hosts[1:]
        for number, (host, name) in enumerate(zip(hosts, self.swarm.leechers, strict=True), 1):
            folder = self.crew.folder / f"download-{number}"
            folder.mkdir()
            post = Post(self.scene.torrent, folder, host.address)
            self.leechers.append(self.crew.start(f"leecher-{number}", host, self.clients[name].leech(post)))

    def wait_all(self, *, sampled: bool) -> None:
        """Until every leecher has said that it has everything."""

        def is_over() -> bool:
            self._note_completions()
            return len(self.completed_at) == len(self.leechers)

        look = self._sampler() if sampled else (lambda now: None)
        self.crew.watch(is_over, STARTING + SLOWEST * self.scene.bound, look=look)
        look(time.perf_counter())

    def _note_completions(self) -> None:
        for process, name in zip(self.leechers, self.swarm.leechers, strict=True):
            if process.name not in self.completed_at:
                is_complete = self.clients[name].is_complete
                at = next((at for at, line in process.lines if is_complete(line)), None)
                if at is not None:
                    self.completed_at[process.name] = at

    def _sampler(self) -> Callable[[float], None]:
        started_at = self.leechers[0].started_at
        before_at, before = time.perf_counter(), self.network.traffic()

        def look(now: float) -> None:
            nonlocal before_at, before
            traffic = self.network.traffic()
            seconds = now - before_at
            for host, old, new in zip(self.network.hosts, before, traffic, strict=True):
                up, down = (new.sent - old.sent) * 8 / seconds, (new.received - old.received) * 8 / seconds
                self.samples.append(Sample(now - started_at, host.name, up, down))
            before_at, before = now, traffic

        return look

    def result(self) -> Spread:
        """What it came to; ends all processes, for some tell at their end how much they sent."""
        seed_frames = self.network.traffic()[0].sent
        for number in range(1, len(self.leechers) + 1):
            copy = self.crew.folder / f"download-{number}" / self.scene.payload.name
            if not is_equal(self.scene.payload, copy):
                raise LabError(f"leecher-{number} said it had everything, and its file differs")
        self.crew.stop()
        assert self.seed_process is not None
        return Spread(
            self.swarm.name,
            tuple(
                Arrival(name, self.completed_at[process.name] - process.started_at)
                for process, name in zip(self.leechers, self.swarm.leechers, strict=True)
            ),
            seed_frames,
            self._seed_payload(self.seed_process),
            tuple(self.samples),
        )

    def _seed_payload(self, seed: Process) -> int | None:
        """What the seed says that it sent, or else what all leechers say that they had from it."""
        sent = self.clients[self.swarm.seed].sent(seed.last_line)
        if sent is not None:
            return sent
        return sum_if_all(
            [
                self.clients[name].got_from(process.last_line, seed.host.address)
                for process, name in zip(self.leechers, self.swarm.leechers, strict=True)
            ]
        )


def sum_if_all(counts: Sequence[int | None]) -> int | None:
    """None unless everybody tells."""
    told = [count for count in counts if count is not None]
    return sum(told) if len(told) == len(counts) else None


def has_seed_announced(log: Path) -> bool:
    """Whether the tracker's log has the announce of somebody who has everything."""
    if not log.exists():
        return False
    entries = (json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n"))
    return any(entry["event"] == "announce" and entry["left"] == 0 for entry in entries)
