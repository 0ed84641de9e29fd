"""Who knows whom: a random connected graph, as a tracker that hands out addresses at random would make it.

A host dials until it has most of the neighbours that it may have; the other places are for those who dial it. So there
is room for who comes later. Who has lost neighbours looks for new ones now and then, as the engine does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal.testing.simulation.host import Host
    from shoal.testing.simulation.network import Network

DIALLED_SHARE = 0.8  # of a host's places
LOOK_AROUND = 5.0  # seconds between two looks for neighbours that are missing


class Meeting:
    def __init__(self, network: Network, neighbours: int) -> None:
        if neighbours < 2:
            raise ValueError(f"a connected graph with {neighbours} neighbours a peer")
        self._network = network
        self._most = neighbours
        self._dialled = max(2, int(neighbours * DIALLED_SHARE))
        self._members: list[Host] = []
        network.clock.call_later(LOOK_AROUND, self._look_around)

    def open(self, hosts: Sequence[Host]) -> None:
        """They all come together: round the table first, so that nobody is left alone."""
        self._members += hosts
        circle = self._network.rng.sample(hosts, len(hosts))
        for host, following in pairwise(circle):
            self._network.connect(host, following)
        for host in circle:
            self._dial(host)

    def join(self, host: Host) -> None:
        """One more; it knows nobody yet."""
        self._members.append(host)
        self._dial(host)

    def _look_around(self) -> None:
        self._members = [host for host in self._members if not host.has_left]
        for host in self._members:
            if not host.is_frozen and len(host.pipes) < self._dialled:
                self._dial(host)
        self._network.clock.call_later(LOOK_AROUND, self._look_around)

    def _dial(self, host: Host) -> None:
        missing = self._dialled - len(host.pipes)
        if missing <= 0:
            return
        others = [other for other in self._members if self._would_meet(host, other)]
        for other in self._network.rng.sample(others, min(missing, len(others))):
            self._network.connect(host, other)

    def _would_meet(self, host: Host, other: Host) -> bool:
        return (
            other is not host
            and not (other.has_left or other.is_frozen)
            and len(other.pipes) < self._most
            and other.key not in host.pipes
            and other.key not in host.banned
            and host.key not in other.banned
            and not (host.is_complete and other.is_complete)  # neither wants anything
        )
