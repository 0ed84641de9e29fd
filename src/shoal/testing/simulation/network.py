"""Hosts and the connections between them, under one clock and one source of chance."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from shoal.formats.layout import Layout
from shoal.swarm.peer import Peer
from shoal.swarm.swarm import Swarm
from shoal.swarm.tactics import Tactics
from shoal.testing.simulation.host import TICK, Host
from shoal.testing.simulation.manners import Manners
from shoal.testing.simulation.meeting import Meeting
from shoal.testing.simulation.pipe import Pipe
from shoal.testing.simulation.recorder import Recorder
from shoal.testing.simulation.timeline import LivelockError, Timeline
from shoal.testing.simulation.wire import INFO_HASH, Wire
from shoal.units import MIB

NEIGHBOURS = 50  # at most so many a peer, unless the story says otherwise: what a tracker hands out at a time


class Network:
    """The same seed and the same story give the same events, in any process."""

    def __init__(self, seed: int, layout: Layout) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = Timeline()
        self.layout = layout
        self.wire = Wire(layout.piece_count)
        self.hosts: list[Host] = []
        self.recorder: Recorder | None = None
        self.watchers: list[Callable[[], None]] = []  # called after every event
        self._meeting: Meeting | None = None
        self._unfinished: dict[Host, None] = {}  # those whom `finish` waits for

    def add(
        self,
        name: str,
        *,
        have: int = 0,
        up: float = 1 * MIB,
        down: float = 4 * MIB,
        latency: float = 0.02,
        jitter: float = 0.0,
        loss: float = 0.0,
        has_fast: bool = True,
        most_in_flight: int = 64,
        manners: Manners | None = None,
        allows_fast: bool = True,
        tactics: Tactics = Tactics(),  # noqa: B008  frozen
    ) -> Host:
        """A new host that is connected to nobody yet; what its links are is said at `Host`."""
        number = len(self.hosts) + 1
        manners = manners or Manners()
        swarm = Swarm(
            self.layout,
            now=self.clock.now,
            rng=random.Random(self.rng.random()),
            have=have | manners.lies_about,
            most_in_flight=most_in_flight,
            info_hash=INFO_HASH if allows_fast else b"",
            tactics=tactics,
        )
        host = Host(
            self,
            name,
            (f"10.{number // 200}.{number % 200}.1", 6881),  # BEP 6 looks at the first three bytes
            swarm,
            up=up,
            down=down,
            latency=latency,
            jitter=jitter,
            loss=loss,
            has_fast=has_fast,
            manners=manners,
        )
        self.hosts.append(host)
        if self.recorder is not None:
            self.recorder.on_event(self.clock.now, host, "joined")
        self.clock.call_later(self.rng.uniform(0, TICK), host.tick)
        return host

    # Who knows whom

    def connect(self, a: Host, b: Host) -> None:
        has_fast = a.has_fast and b.has_fast
        ours, theirs = self._pipe(a, b, has_fast), self._pipe(b, a, has_fast)
        ours.other, theirs.other = theirs, ours
        for pipe in (ours, theirs):
            pipe.host.swarm.join(pipe.peer)

    def connect_all(self) -> None:
        for index, host in enumerate(self.hosts):
            for other in self.hosts[:index]:
                self.connect(host, other)

    def meet(self, hosts: Sequence[Host], neighbours: int = NEIGHBOURS) -> None:
        """Connect them at random, at most so many neighbours a peer; who loses some will look for others."""
        self._meeting = Meeting(self, neighbours)
        self._meeting.open(hosts)

    def join(self, host: Host) -> None:
        """A host that comes to those who have met."""
        if self._meeting is None:
            raise ValueError(f"{host.name} can join nobody before others have met")
        self._meeting.join(host)

    def _pipe(self, host: Host, other: Host, has_fast: bool) -> Pipe:
        peer = Peer(other.key, self.clock.now, has_fast=has_fast, name=other.name)
        pipe = host.pipes[other.key] = Pipe(host, peer, self.wire.open_connection(has_fast=has_fast))
        return pipe

    # Running

    def run(self, until: Callable[[], bool], *, limit: float = 600) -> float:
        """Let it go on until `until()` (asked after each event); the seconds it took.

        Longer than `limit` is a `TimeoutError`. Whatever is raised on the way names the seed.
        """
        began_at = self.clock.now
        try:
            self.clock.run(self._watched(until) if self.watchers else until, limit=began_at + limit)
        except (TimeoutError, LivelockError) as error:
            raise type(error)(f"seed {self.seed}: {error}") from None
        except Exception as error:
            error.add_note(f"seed {self.seed}, at {self.clock.now:.3f} s of virtual time")
            raise
        return self.clock.now - began_at

    def finish(self, hosts: Iterable[Host], *, limit: float = 600) -> float:
        """Let it go on until each of `hosts` has everything or has left: as `run`, and cheaper with many of them."""
        waiting = self._unfinished = {host: None for host in hosts if not (host.is_complete or host.has_left)}
        return self.run(lambda: not waiting, limit=limit)

    def _watched(self, until: Callable[[], bool]) -> Callable[[], bool]:
        def is_over() -> bool:
            for watch in self.watchers:
                watch()
            return until()

        return is_over

    # Hosts call

    def on_complete(self, host: Host) -> None:
        self._unfinished.pop(host, None)
        if self.recorder is not None:
            self.recorder.on_complete(self.clock.now, host)

    def on_left(self, host: Host) -> None:
        self._unfinished.pop(host, None)
