"""Blocks on their way out of the disk, with a disk and links that the test holds in its hands."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from shoal.disk.storage import Storage
from shoal.disk.workers import Workers
from shoal.engine.outgoing import CACHE_BYTES, UNIT_LENGTH, Outgoing
from shoal.errors import ShoalError
from shoal.formats.bitfield import all_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.net.link import PeerLink
from shoal.swarm.peer import Peer
from shoal.swarm.swarm import Swarm


class SlowDisk:
    """Nothing of it is in memory, as far as the system can tell (macOS cannot)."""

    def read_cached_into(self, offset: int, buffer: memoryview) -> bool:
        return False

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = bytes([offset // UNIT_LENGTH % 256]) * len(buffer)


class OneAtATime:
    """Workers that do the oldest job when they are told to."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    def submit(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((job, done))

    def work(self) -> None:
        job, done = self.jobs.popleft()
        done(job())


class EagerLink:
    """A socket that takes everything at once, and then has room for one block more."""

    def __init__(self, outgoing: Outgoing, peer: Peer) -> None:
        self.outgoing, self.peer = outgoing, peer
        self.queued = 0

    @property
    def sent(self) -> int:
        return self.queued

    def queue_all(self, buffers: list[Any], size: int) -> None:
        self.queued += size

    def flush(self) -> None:
        self.outgoing.fill(self.peer, cast(PeerLink, self), BLOCK_LENGTH)


def test_a_crowd_that_asks_for_more_units_than_are_kept_is_served_by_one_read_each() -> None:
    crowd = 3 * CACHE_BYTES // UNIT_LENGTH
    workers, unreadable = OneAtATime(), list[tuple[int, ShoalError]]()
    layout = Layout(UNIT_LENGTH, [crowd * UNIT_LENGTH])
    outgoing = Outgoing(
        layout,
        cast(Storage, SlowDisk()),
        cast(Workers, workers),
        Swarm(layout, now=0.0, rng=random.Random(0), have=all_bits(crowd)),
        on_unreadable=lambda piece, error: unreadable.append((piece, error)),
    )
    links = []
    for piece in range(crowd):
        peer = Peer(("192.0.2.1", 1 + piece), 0.0)
        peer.uploads.append((piece, 0, BLOCK_LENGTH))
        links.append(EagerLink(outgoing, peer))
        links[-1].flush()
    for _ in range(crowd):
        workers.work()
    assert all(link.queued for link in links)
    assert not workers.jobs
    assert not unreadable
