"""A network in memory for whole swarms on virtual time: the same seed gives the same story, event for event.

Hosts run the product's own `Swarm` and `PeerConnection`. Messages travel as the bytes of the wire, blocks as their
lengths and a mark that says whose invention they are. Bytes take time on the sender's uplink, on the way, and on the
receiver's downlink; what one side says on a connection arrives in the order in which it was said. A host may be told to
misbehave. Nothing of congestion, loss or the disk is here.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from shoal.errors import PeerError
from shoal.formats.layout import Layout
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.connection import PeerConnection
from shoal.protocol.peer.handshake import Handshake, encode_handshake
from shoal.swarm import uploads
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, PieceProgress
from shoal.swarm.swarm import Swarm
from shoal.testing.clock import VirtualClock
from shoal.units import KIB, MIB

INFO_HASH = bytes(range(20))
TICK = 0.5  # seconds; as the engine does
HASH_TIME = 0.005  # seconds from the last block of a piece to the verdict on it
SOCKET_BUFFER = 128 * KIB  # bytes a connection holds beside those on their way
MOST_EVENTS_AT_ONCE = 50_000  # at one moment; more is an exchange that does not end

GOOD = b""  # the mark of a right block; every wrong one has a mark of its own


class LivelockError(AssertionError):
    """Events went on and on while no time passed."""


@dataclass(slots=True)
class Manners:
    """How a host treats others. The plain one is honest and awake."""

    is_stalled: bool = False  # takes requests and sends nothing
    rejects: bool = False  # rejects every request
    corrupt_share: float = 0.0  # of its blocks
    lies_about: int = 0  # pieces it says it has; requests for them are forgotten


@dataclass(slots=True)
class _Parcel:
    """Something on its way: `deliver` is called once it and all before it are there."""

    deliver: Callable[[], None]
    is_here: bool = False


@dataclass(slots=True, eq=False)
class Pipe:
    """One side of a connection: what `host` knows of the peer at the other end, and what it has sent there."""

    host: Host
    peer: Peer
    connection: PeerConnection = field(init=False)
    other: Pipe = field(init=False)
    parcels: deque[_Parcel] = field(default_factory=deque)
    in_transit: int = 0  # payload bytes
    is_open: bool = True
    is_speaking: bool = False  # its outbox is going to be sent


class Host:
    """One machine. `blocks` are the marks of the blocks of its pieces in flight."""

    def __init__(
        self,
        network: Network,
        name: str,
        key: PeerKey,
        swarm: Swarm,
        *,
        up: float,
        down: float,
        latency: float,
        has_fast: bool,
        manners: Manners,
    ) -> None:
        self.network = network
        self.name = name
        self.key = key
        self.swarm = swarm
        self.up = up
        self.down = down
        self.latency = latency
        self.has_fast = has_fast
        self.manners = manners
        self.pipes: dict[PeerKey, Pipe] = {}
        self.has_left = False
        self.completed_at: float | None = None
        self.banned: set[PeerKey] = set()
        self.bad_piece_count = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self.wasted_bytes = 0  # with those that have left
        self.faults: list[str] = []  # what it refused of others
        self._blocks: dict[int, dict[int, bytes]] = {}
        self._is_sending = False
        self._down_free_at = 0.0
        self._turn: deque[PeerKey] = deque()  # whom the uplink serves next

    @property
    def is_complete(self) -> bool:
        return self.swarm.pieces.is_complete

    def leave(self) -> None:
        """Every connection ends now; the others hear of it a latency later."""
        self.has_left = True
        for pipe in list(self.pipes.values()):
            self.close(pipe)

    def close(self, pipe: Pipe) -> None:
        self._forget(pipe)
        other = pipe.other
        self.network.clock.call_later(self.latency + other.host.latency, lambda: other.host._forget(other))

    def _forget(self, pipe: Pipe) -> None:
        if pipe.is_open:
            pipe.is_open = False
            self.wasted_bytes += pipe.peer.wasted
            pipe.peer.wasted = 0
            del self.pipes[pipe.peer.key]
            self.swarm.leave(pipe.peer, self.network.clock.now)
            self._drop_given_up()

    # Hearing

    def hear(self, pipe: Pipe, data: bytes) -> None:
        if pipe.is_open:
            try:
                self._obey(pipe, pipe.connection.receive_data(memoryview(data)))
            except PeerError as error:
                self.faults.append(error.message)
                self.close(pipe)

    def _obey(self, pipe: Pipe, messages: Iterable[m.Message]) -> None:
        now = self.network.clock.now
        for message in messages:
            if self.manners.rejects and isinstance(message, m.Requests):
                for request in message.items:
                    pipe.peer.say(m.Reject(*request))
            else:
                self.swarm.on_message(pipe.peer, message, now)
        self._after_data(pipe)

    def hear_block(self, pipe: Pipe, request: m.Request, mark: bytes) -> None:
        piece, begin, length = request
        pipe.other.in_transit -= length
        pipe.other.host.pump()
        if not pipe.is_open:
            return
        self.received_bytes += length
        owed = pipe.peer.owed_count
        progress = self.swarm.on_block(pipe.peer, piece, begin, length)
        if pipe.peer.owed_count != owed:
            self.swarm.on_blocks(pipe.peer, owed - pipe.peer.owed_count, self.network.clock.now)
        if progress is not None:
            self._blocks.setdefault(piece, {})[begin] = mark
            if progress.is_whole:
                self.network.clock.call_later(HASH_TIME, lambda: self._check(progress))
        self._after_data(pipe)

    def _after_data(self, pipe: Pipe) -> None:
        if pipe.is_open:
            self.swarm.desk.refill(pipe.peer, self.network.clock.now)
        self._drop_given_up()
        self._part()
        self.pump()

    def _check(self, progress: PieceProgress) -> None:
        if self.has_left:
            return
        piece, now = progress.piece, self.network.clock.now
        blocks = self._blocks.pop(piece)
        digests = [blocks[begin] for begin in sorted(blocks)]
        is_good = all(mark == GOOD for mark in digests)
        self.bad_piece_count += not is_good
        verdict = self.swarm.on_checked(piece, is_good, digests, now)
        self.banned |= verdict.guilty
        self._drop_given_up()
        self._part()
        if self.swarm.pieces.is_complete and self.completed_at is None:
            self.completed_at = now

    def _drop_given_up(self) -> None:
        for piece in self.swarm.desk.given_up:
            self._blocks.pop(piece, None)
        self.swarm.desk.given_up.clear()

    def _part(self) -> None:
        for pipe in list(self.pipes.values()):
            if pipe.peer.close_reason:
                self.close(pipe)

    def tick(self) -> None:
        if not self.has_left:
            self.swarm.tick(self.network.clock.now)
            self._drop_given_up()
            self._part()
            self.pump()
            self.network.clock.call_later(TICK, self.tick)

    # Speaking

    def wake(self, pipe: Pipe) -> None:
        """There is something to say; it is said when the present event is over."""
        if not pipe.is_speaking:
            pipe.is_speaking = True
            self.network.clock.call_later(0, lambda: self._speak(pipe))

    def _speak(self, pipe: Pipe) -> None:
        pipe.is_speaking = False
        outbox, pipe.peer.outbox = pipe.peer.outbox, []
        if outbox and pipe.is_open:
            data = b"".join(m.encode_message(message) for message in outbox)
            parcel = _Parcel(lambda: pipe.other.host.hear(pipe.other, data))
            pipe.parcels.append(parcel)
            delay = self.latency + pipe.other.host.latency
            self.network.clock.call_later(delay, lambda: _arrive(pipe, parcel))
        self.pump()

    # Uploading

    def pump(self) -> None:
        """Begin to send the next block if the uplink is free."""
        if self._is_sending or self.has_left or self.manners.is_stalled:
            return
        pipe = self._next_to_serve()
        if pipe is None:
            return
        piece = pipe.peer.uploads[0][0]
        size = self.swarm.pieces.layout.piece_size(piece)
        (request,) = uploads.take_run(pipe.peer, piece, 0, size, 1)
        length = request[2]
        self._is_sending = True
        pipe.in_transit += length
        mark = self._mark()
        parcel = _Parcel(lambda: pipe.other.host.hear_block(pipe.other, request, mark))
        pipe.parcels.append(parcel)
        self.network.clock.call_later(length / self.up, lambda: self._on_sent(pipe, length, parcel))

    def _mark(self) -> bytes:
        rng = self.network.rng
        return rng.randbytes(8) if rng.random() < self.manners.corrupt_share else GOOD

    def _next_to_serve(self) -> Pipe | None:
        for _ in range(len(self._turn)):
            key = self._turn.popleft()
            pipe = self.pipes.get(key)
            if pipe is None:
                continue
            self._turn.append(key)
            requests = pipe.peer.uploads
            while requests and self.manners.lies_about >> requests[0][0] & 1:
                requests.popleft()
            if requests and pipe.in_transit < self._window(pipe):
                return pipe
        return None

    def _window(self, pipe: Pipe) -> float:
        return SOCKET_BUFFER + 2 * (self.latency + pipe.other.host.latency) * self.up

    def _on_sent(self, pipe: Pipe, length: int, parcel: _Parcel) -> None:
        now = self.network.clock.now
        self._is_sending = False
        self.sent_bytes += length
        pipe.peer.sent.add(length, now)
        receiver = pipe.other.host
        delay = self.latency + receiver.latency
        self.network.clock.call_later(delay, lambda: receiver._take_down(pipe, length, parcel))
        self.pump()

    def _take_down(self, pipe: Pipe, length: int, parcel: _Parcel) -> None:
        """A block reaches our downlink."""
        now = self.network.clock.now
        self._down_free_at = max(now, self._down_free_at) + length / self.down
        self.network.clock.call_at(self._down_free_at, lambda: _arrive(pipe, parcel))


def _arrive(pipe: Pipe, parcel: _Parcel) -> None:
    parcel.is_here = True
    while pipe.parcels and pipe.parcels[0].is_here:
        pipe.parcels.popleft().deliver()


class Network:
    """Hosts and the connections between them, under one clock and one source of chance."""

    def __init__(self, seed: int, layout: Layout) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = VirtualClock(1.0)
        self.layout = layout
        self.hosts: list[Host] = []
        self.watchers: list[Callable[[], None]] = []  # called after every event

    def add(
        self,
        name: str,
        *,
        have: int = 0,
        up: float = 1 * MIB,
        down: float = 4 * MIB,
        latency: float = 0.02,
        has_fast: bool = True,
        most_in_flight: int = 64,
        manners: Manners | None = None,
        allows_fast: bool = True,
    ) -> Host:
        """A new host that is connected to nobody yet. Rates are bytes a second, `latency` seconds to the middle."""
        number = len(self.hosts) + 1
        manners = manners or Manners()
        swarm = Swarm(
            self.layout,
            now=self.clock.now,
            rng=random.Random(self.rng.random()),
            have=have | manners.lies_about,
            most_in_flight=most_in_flight,
            info_hash=INFO_HASH if allows_fast else b"",
        )
        host = Host(
            self,
            name,
            (f"10.{number // 200}.{number % 200}.1", 6881),  # BEP 6 looks at the first three bytes
            swarm,
            up=up,
            down=down,
            latency=latency,
            has_fast=has_fast,
            manners=manners,
        )
        self.hosts.append(host)
        self.clock.call_later(self.rng.uniform(0, TICK), host.tick)
        return host

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

    def _pipe(self, host: Host, other: Host, has_fast: bool) -> Pipe:
        peer = Peer(other.key, self.clock.now, has_fast=has_fast, name=other.name)
        pipe = Pipe(host, peer)
        peer.wake = lambda _: host.wake(pipe)
        pipe.connection = PeerConnection(lambda piece, begin, view: None)
        pipe.connection.receive_data(
            memoryview(encode_handshake(Handshake(INFO_HASH, bytes(20), has_fast, False)))
        )
        pipe.connection.open(self.layout.piece_count)
        host.pipes[other.key] = pipe
        host._turn.append(other.key)
        return pipe

    def run(self, until: Callable[[], bool], *, limit: float = 600) -> float:
        """Let it go on until `until()`; the seconds it took. Longer than `limit` is a `TimeoutError`."""
        began_at, moment, count = self.clock.now, self.clock.now, 0

        def is_over() -> bool:
            nonlocal moment, count
            for watch in self.watchers:
                watch()
            count = count + 1 if self.clock.now == moment else 0
            moment = self.clock.now
            if count > MOST_EVENTS_AT_ONCE:
                raise LivelockError(f"seed {self.seed}: no end of events at {moment} s")
            return until()

        self.clock.run(is_over, limit=began_at + limit)
        return self.clock.now - began_at
