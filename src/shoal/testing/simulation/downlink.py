"""A host's way in: what arrives is read in the order of its arrival, at the rate of the downlink.

A block comes in while it is being sent: it takes time here only as far as the downlink is slower than the sender's
uplink, or busy with others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shoal.testing.simulation.pipe import Block, Pipe

if TYPE_CHECKING:
    from shoal.testing.simulation.host import Host

AT_ONCE = 1e-9  # seconds; less is rounding


class Downlink:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._timeline = host.network.clock
        self._free_at = 0.0

    def take_block(self, pipe: Pipe, block: Block) -> None:
        """Its last byte reaches us; `pipe` is ours."""
        now, host = self._timeline.now, self._host
        began_at = max(now - block.size / pipe.other.host.up, self._free_at)
        self._free_at = began_at + block.size / host.down
        if self._free_at <= now + AT_ONCE and pipe.heard_at < now:
            host.hear_block(pipe, block)
        else:
            pipe.heard_at = max(self._free_at, now)
            self._timeline.call_at(pipe.heard_at, host.hear_block, pipe, block)

    def take_words(self, pipe: Pipe, data: bytes) -> None:
        """Control messages reach us; they wait for no other connection's blocks."""
        now = self._timeline.now
        if self._free_at > now:
            self._free_at += len(data) / self._host.down
        if pipe.heard_at < now:
            self._host.hear(pipe, data)
        else:
            self._timeline.call_at(pipe.heard_at, self._host.hear, pipe, data)


def deliver(words: Iterable[tuple[Pipe, bytes]]) -> None:
    """Control messages that arrive at the same moment, each at its (receiver's) pipe."""
    for pipe, data in words:
        pipe.host.downlink.take_words(pipe, data)
