"""One side of a connection: what its host knows of the peer at the other end, and what is on its way there.

What was handed to the socket (`unsent`) leaves in that order and cannot be taken back. Always true: whatever leaves
arrives in the same order, however long it was held up on the way (`arrives_at`) or in the receiver's downlink
(`heard_at`).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from shoal.protocol.peer.messages import BLOCK_HEAD_LENGTH, Request
from shoal.swarm.peer import Peer

if TYPE_CHECKING:
    from shoal.protocol.peer.connection import PeerConnection
    from shoal.testing.simulation.host import Host

GOOD = b""  # the mark of a right block; every wrong one has a mark of its own


class Block:
    """A block on its way, as its length and a mark that says whose invention it is."""

    __slots__ = ("mark", "request", "size")

    def __init__(self, request: Request, mark: bytes) -> None:
        self.request = request
        self.mark = mark
        self.size = BLOCK_HEAD_LENGTH + request[2]  # bytes on the wire


class Pipe:
    __slots__ = (
        "arrives_at", "connection", "heard_at", "host", "in_transit", "is_open", "is_ready", "other", "peer",
        "unsent", "unsent_bytes",
    )  # fmt: skip

    other: Pipe  # the same connection as the other side has it

    def __init__(self, host: Host, peer: Peer, connection: PeerConnection) -> None:
        self.host = host
        self.peer = peer
        self.connection = connection
        self.is_open = True
        self.unsent: deque[Block | bytes] = deque()  # in the socket; a block comes first, or there is nothing
        self.unsent_bytes = 0  # of blocks
        self.in_transit = 0  # bytes of blocks that have left and were not read yet
        self.is_ready = False  # the uplink has it on its list
        self.arrives_at = 0.0  # when the last of what has left reaches the other side
        self.heard_at = 0.0  # when the last of what waits in our downlink will be through
        peer.wake = partial(host.wake, self)

    @property
    def delay(self) -> float:
        """Seconds from here to the other side."""
        return self.host.latency + self.other.host.latency

    def arrival(self, leaves_at: float) -> float:
        """When what leaves then is there, behind everything before it."""
        host, receiver = self.host, self.other.host
        at = leaves_at + host.latency + receiver.latency
        jitter = host.jitter + receiver.jitter
        if jitter:
            at += jitter * host.network.rng.random()
        if at < self.arrives_at:
            return self.arrives_at
        self.arrives_at = at
        return at
