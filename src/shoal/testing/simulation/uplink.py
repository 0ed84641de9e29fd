"""A host's way out: what its connections have handed over leaves block by block, each connection in its turn.

So the rate is shared fairly among those that have something to send, as TCP roughly does. A connection may have only so
much handed over and not sent (what the engine's link and the system hold), and only so much sent and not read (its
congestion window: the way's own content and what routers hold). Control messages wait for the blocks before them on
their own connection and for nobody else's, and the time they take is charged to the next block.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from shoal.protocol.peer.messages import Request
from shoal.testing.simulation.pipe import GOOD, Block, Pipe
from shoal.units import KIB

if TYPE_CHECKING:
    from shoal.testing.simulation.host import Host

LEAST_AHEAD = 64 * KIB  # bytes handed over and not sent: 32 KiB in the link, as many in the system ...
AHEAD_SECONDS = 0.1  # ... and on fast connections a tenth of a second's worth
QUEUED_ON_THE_WAY = 32 * KIB  # bytes that routers hold beside what fills the way itself
SHORTEST_STALL = 0.2  # seconds; TCP's shortest retransmission timeout
LONGEST_STALL = 1.0  # ... and the one it begins with, RFC 6298


class Uplink:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._timeline = host.network.clock
        self._ready: deque[Pipe] = deque()  # may send a block, in the order of their turns
        self._is_busy = False
        self._debt = 0  # bytes of control messages that the next block makes up for

    def offer(self, pipe: Pipe) -> None:
        """The peer has asked for something, or has read something."""
        self._hand_over(pipe)
        self._line_up(pipe)
        if not self._is_busy:
            self._send_next()

    def say(self, pipe: Pipe, data: bytes) -> float | None:
        """Control messages: when they will be there. None if they wait behind blocks."""
        if pipe.unsent:
            pipe.unsent.append(data)
            return None
        if self._is_busy:
            self._debt += len(data)
        return pipe.arrival(self._timeline.now)

    def _hand_over(self, pipe: Pipe) -> None:
        """Choose what to send next, as far ahead as the socket takes it."""
        host, peer = self._host, pipe.peer
        if not peer.uploads or host.manners.is_stalled:
            return
        if host.manners.lies_about:
            peer.uploads.drop(lambda request: bool(host.manners.lies_about >> request[0] & 1))
        ahead = max(LEAST_AHEAD, AHEAD_SECONDS * host.up / (len(self._ready) or 1))
        while peer.uploads and pipe.unsent_bytes < ahead:
            request = self._next_request(pipe)
            block = Block(request, self._mark())
            pipe.unsent.append(block)
            pipe.unsent_bytes += block.size

    def _next_request(self, pipe: Pipe) -> Request:
        swarm, peer = self._host.swarm, pipe.peer
        piece = swarm.next_upload(peer)[0]
        (request,) = swarm.take_run(peer, piece, 0, swarm.pieces.layout.piece_size(piece), 1)
        return request

    def _mark(self) -> bytes:
        share, rng = self._host.manners.corrupt_share, self._host.network.rng
        return rng.randbytes(8) if share and rng.random() < share else GOOD

    def _line_up(self, pipe: Pipe) -> None:
        if pipe.unsent and not pipe.is_ready and pipe.in_transit < self._window(pipe):
            pipe.is_ready = True
            self._ready.append(pipe)

    def _window(self, pipe: Pipe) -> float:
        return QUEUED_ON_THE_WAY + 2 * pipe.delay * self._host.up

    def _send_next(self) -> None:
        """The uplink is free."""
        host, ready = self._host, self._ready
        while ready and not host.is_frozen:
            pipe = ready.popleft()
            pipe.is_ready = False
            if pipe.is_open:
                block = pipe.unsent.popleft()
                assert isinstance(block, Block), "control messages do not wait for blocks that have left"
                self._send(pipe, block)
                return

    def _send(self, pipe: Pipe, block: Block) -> None:
        host, now = self._host, self._timeline.now
        self._is_busy = True
        leaves_at = now + (block.size + self._debt) / host.up
        self._debt = 0
        pipe.unsent_bytes -= block.size
        pipe.in_transit += block.size
        length = block.request[2]
        host.sent_bytes += length
        pipe.peer.sent.add(length, now)
        self._dispatch(pipe, block, leaves_at)
        self._hand_over(pipe)
        self._line_up(pipe)
        self._timeline.call_at(leaves_at, self._on_sent)

    def _on_sent(self) -> None:
        self._is_busy = False
        self._send_next()

    def _dispatch(self, pipe: Pipe, block: Block, leaves_at: float) -> None:
        """On its way, and all that was said behind it."""
        other, receiver = pipe.other, pipe.other.host
        arrives_at = pipe.arrival(leaves_at)
        loss = self._host.loss + receiver.loss
        if loss and self._host.network.rng.random() < loss:
            arrives_at += self._host.network.rng.uniform(SHORTEST_STALL, LONGEST_STALL)
            pipe.arrives_at = arrives_at
        self._timeline.call_at(arrives_at, receiver.downlink.take_block, other, block)
        unsent = pipe.unsent
        while unsent and isinstance(data := unsent[0], bytes):
            unsent.popleft()
            self._debt += len(data)
            self._timeline.call_at(pipe.arrival(leaves_at), receiver.downlink.take_words, other, data)

    def resume(self) -> None:
        if not self._is_busy:
            self._send_next()
