"""Troubles that come by chance. What a host does wrong by itself is in its `Manners` and its links."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from shoal.testing.simulation.host import Host
from shoal.testing.simulation.network import Network


def kill_at_random(
    network: Network,
    hosts: Iterable[Host],
    *,
    share_a_minute: float,
    then: Callable[[Host], object] = lambda _: None,
) -> None:
    """Each of `hosts` is killed at a random time, so that after a minute about that share of them is gone.

    `then` is told of each that was killed: it may send another.
    """
    if not 0 < share_a_minute < 1:
        raise ValueError(f"{share_a_minute} of the hosts killed a minute is not between 0 and 1")
    rate = -math.log(1 - share_a_minute) / 60
    for host in hosts:
        network.clock.call_later(network.rng.expovariate(rate), _kill, host, then)


def freeze_for(network: Network, host: Host, seconds: float) -> None:
    """Stop a host now, and let it go on later."""
    host.freeze()
    network.clock.call_later(seconds, host.thaw)


def _kill(host: Host, then: Callable[[Host], object]) -> None:
    if not host.has_left:
        host.leave("was killed")
        then(host)
