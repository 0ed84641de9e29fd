"""One machine: the product's own control plane for one torrent, and the links it speaks through.

It does what the engine's shell does (hear, obey, speak, check, tick) and decides nothing. Where the engine has the
bytes of pieces in flight, a host has the marks of wrong blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shoal.errors import PeerError
from shoal.formats.layout import BLOCK_LENGTH
from shoal.protocol.peer import messages as m
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, PieceProgress
from shoal.swarm.swarm import Swarm
from shoal.testing.simulation.downlink import Downlink, deliver
from shoal.testing.simulation.manners import Manners
from shoal.testing.simulation.pipe import GOOD, Block, Pipe
from shoal.testing.simulation.recorder import Recorder
from shoal.testing.simulation.uplink import Uplink

if TYPE_CHECKING:
    from shoal.testing.simulation.network import Network

TICK = 0.5  # seconds; as the engine does
HASH_TIME = 0.005  # seconds from the last block of a piece to the verdict on it


class Host:
    """Rates are bytes a second (above 0), `latency` and `jitter` seconds to the middle; all may change at any time."""

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
        jitter: float,
        loss: float,
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
        self.jitter = jitter  # at most so much more for each message; their order is kept
        self.loss = loss  # the share of blocks that are lost once: their connection stands still until they came again
        self.has_fast = has_fast
        self.manners = manners
        self._read = network.wire.read
        self._write = network.wire.write
        self.uplink = Uplink(self)
        self.downlink = Downlink(self)
        self.pipes: dict[PeerKey, Pipe] = {}
        self.has_left = False
        self.is_frozen = False
        self.completed_at: float | None = None
        self.banned: set[PeerKey] = set()
        self.bad_piece_count = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self.wasted_bytes = 0  # with those that have left
        self.faults: list[str] = []  # what it refused of others
        self._wrong: dict[int, dict[int, bytes]] = {}  # piece in flight -> block -> mark
        self._woken: list[Pipe] = []  # they have something to say
        self._kept: list[tuple[Callable[..., None], tuple[Any, ...]]] = []  # what came while it was frozen

    @property
    def is_complete(self) -> bool:
        return self.swarm.pieces.is_complete

    # Coming, going, freezing

    def leave(self, why: str = "left") -> None:
        """Every connection ends now; the others hear of it when what was sent before is there."""
        if self.has_left:
            return
        self.has_left = True
        self._tell(why)
        for pipe in list(self.pipes.values()):
            self.close(pipe)
        self.network.on_left(self)

    def freeze(self) -> None:
        """Nothing goes out and nothing is read until `thaw`; the connections stay."""
        if not self.is_frozen:
            self.is_frozen = True
            self._tell("froze")

    def thaw(self) -> None:
        """All that came meanwhile is read at once."""
        if not self.is_frozen:
            return
        self.is_frozen = False
        self._tell("thawed")
        kept, self._kept = self._kept, []
        for hear, arguments in kept:
            hear(*arguments)
        self._speak()
        self.uplink.resume()

    def close(self, pipe: Pipe) -> None:
        self._forget(pipe)
        other, clock = pipe.other, self.network.clock
        clock.call_at(pipe.arrival(clock.now), other.host._forget, other)

    def _forget(self, pipe: Pipe) -> None:
        if pipe.is_open:
            pipe.is_open = False
            self.wasted_bytes += pipe.peer.wasted
            pipe.peer.wasted = 0
            del self.pipes[pipe.peer.key]
            self.swarm.leave(pipe.peer, self.network.clock.now)
            self._drop_given_up()

    def _tell(self, text: str) -> None:
        if self.network.recorder is not None:
            self.network.recorder.on_event(self.network.clock.now, self, text)

    # Hearing

    def hear(self, pipe: Pipe, data: bytes) -> None:
        if self.is_frozen:
            self._kept.append((self.hear, (pipe, data)))
        elif pipe.is_open:
            now = self.network.clock.now
            try:
                self._obey(pipe.peer, self._read(pipe.connection, data), now)
                self._after_data(pipe, now)
            except PeerError as error:
                self.faults.append(error.message)
                self._tell(f"refuses {pipe.peer.name}: {error.message}")
                self.close(pipe)

    def _obey(self, peer: Peer, messages: list[m.Message], now: float) -> None:
        swarm, rejects = self.swarm, self.manners.rejects
        for message in messages:
            if rejects and isinstance(message, m.Requests):
                for request in message.items:
                    peer.say(m.Reject(*request))
            else:
                swarm.on_message(peer, message, now)

    def hear_block(self, pipe: Pipe, block: Block) -> None:
        if self.is_frozen:
            self._kept.append((self.hear_block, (pipe, block)))
            return
        other = pipe.other
        other.in_transit -= block.size
        other.host.uplink.offer(other)
        if not pipe.is_open:
            return
        now, peer = self.network.clock.now, pipe.peer
        piece, begin, length = block.request
        self.received_bytes += length
        owed = peer.owed_count
        progress = self.swarm.on_block(peer, piece, begin, length)
        self.swarm.on_blocks(peer, owed - peer.owed_count, now)
        if (recorder := self.network.recorder) is not None:
            recorder.on_block(now, other.host, self, piece, begin, length, is_wanted=progress is not None)
        if progress is not None:
            if block.mark != GOOD:
                self._wrong.setdefault(piece, {})[begin] = block.mark
            if progress.is_whole:
                self.network.clock.call_later(HASH_TIME, self._check, progress)
        self._after_data(pipe, now)

    def _after_data(self, pipe: Pipe, now: float) -> None:
        peer = pipe.peer
        if not pipe.is_open:
            return
        desk = self.swarm.desk
        desk.refill(peer, now)
        if desk.given_up:
            self._drop_given_up()
        if peer.close_reason:
            self.close(pipe)
        elif peer.uploads:
            self.uplink.offer(pipe)

    # Checking

    def _check(self, progress: PieceProgress) -> None:
        if self.is_frozen:
            self._kept.append((self._check, (progress,)))
        if self.has_left or self.is_frozen:
            return
        piece, now, swarm = progress.piece, self.network.clock.now, self.swarm
        if swarm.pieces.in_flight.get(piece) is not progress:
            return  # it came another way meanwhile
        wrong = self._wrong.pop(piece, {})
        digests: list[bytes] = []
        if wrong or swarm.blame.is_suspect(piece):
            block_count = swarm.pieces.layout.block_count(piece)
            digests = [wrong.get(block * BLOCK_LENGTH, GOOD) for block in range(block_count)]
        self.bad_piece_count += bool(wrong)
        verdict = swarm.on_checked(piece, not wrong, digests, now)
        self.banned |= verdict.guilty
        if (recorder := self.network.recorder) is not None:
            self._tell_checked(recorder, piece, not wrong, verdict.guilty)
        if self.completed_at is None and swarm.pieces.is_complete:
            self.completed_at = now
            self.network.on_complete(self)
        self._drop_given_up()
        self._part()

    def _tell_checked(
        self, recorder: Recorder, piece: int, is_good: bool, guilty: frozenset[PeerKey]
    ) -> None:
        recorder.on_piece(self.network.clock.now, self, piece, is_good)
        if guilty:
            for host in self.network.hosts:
                if host.key in guilty:
                    self._tell(f"banned {host.name}")

    def _drop_given_up(self) -> None:
        for piece in self.swarm.desk.given_up:
            self._wrong.pop(piece, None)
        self.swarm.desk.given_up.clear()

    def _part(self) -> None:
        for pipe in [pipe for pipe in self.pipes.values() if pipe.peer.close_reason]:
            self.close(pipe)

    def tick(self) -> None:
        if self.has_left:
            return
        clock = self.network.clock
        clock.call_later(TICK, self.tick)
        if not self.is_frozen:
            self.swarm.tick(clock.now)
            self._drop_given_up()
            self._part()
            for pipe in self.pipes.values():
                if pipe.peer.uploads:
                    self.uplink.offer(pipe)

    # Speaking

    def wake(self, pipe: Pipe, _peer: Peer) -> None:
        """There is something to say; all of it is said when the present event is over."""
        if not self._woken:
            self.network.clock.call_soon(self._speak)
        self._woken.append(pipe)

    def _speak(self) -> None:
        if self.is_frozen:
            return
        woken, self._woken = self._woken, []
        say = self.uplink.say
        is_free_rider, recorder = self.manners.is_free_rider, self.network.recorder
        together: list[tuple[Pipe, bytes]] = []  # what arrives at the same moment shares an event
        arrives_at = -1.0
        for pipe in woken:
            outbox, pipe.peer.outbox = pipe.peer.outbox, []
            if not pipe.is_open:
                continue
            if is_free_rider:
                outbox = [message for message in outbox if not isinstance(message, m.Unchoke | m.AllowedFast)]
                if not outbox:
                    continue
            if recorder is not None:
                self._tell_messages(recorder, pipe.other.host, outbox)
            data = self._write(outbox)
            at = say(pipe, data)
            if at is None:
                continue
            if at != arrives_at:
                arrives_at, together = at, []
                self.network.clock.call_at(at, deliver, together)
            together.append((pipe.other, data))

    def _tell_messages(self, recorder: Recorder, receiver: Host, outbox: list[m.Message]) -> None:
        for message in outbox:
            recorder.on_message(self.network.clock.now, self, receiver, message)
            if isinstance(message, m.Choke | m.Unchoke):
                self._tell(f"{type(message).__name__.lower()}s {receiver.name}")
