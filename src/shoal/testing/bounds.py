"""How fast a file can reach everybody at best: lower bounds that no protocol can beat.

Pure arithmetic: bytes, seconds, bytes a second. Two bounds hold at once, and the larger one counts.

The *fluid* bound takes the file for a liquid that can be passed on as it arrives (R. Kumar and K. W. Ross,
"Peer-Assisted File Distribution: The Minimum Distribution Time", IEEE HOTWEB 2006). For a file of F bytes, seeds with
u_S of uplink together, and N leechers with uplinks u_i and downlinks d_i, all there from the start:

    max( F / u_S,  F / min d_i,  N F / (u_S + sum u_i) )

Each of the three is an argument of its own, and each is generalised here: every byte must leave those who had it at
the start (`Origin`), everybody must take in what it lacks (`Machine.missing`), and all that is lacking must fit through
the uplinks that are there at the time. So there may be several seeds, partial holders, and machines that come and go.

The *piece* bound knows that only whole pieces are passed on (J. Mundinger, R. Weber and G. Weiss, "Optimal Scheduling
of Peer-to-Peer File Dissemination", Journal of Scheduling 11, 2008): with one seed, N leechers and equal uplinks, M
pieces need M + floor(log2 N) times the time of one piece. For unequal uplinks take the fastest of all: nothing gets
slower when a link gets faster. Nor when somebody comes earlier, so it holds for late comers too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """One that gives `up` and takes `down` bytes a second from `joins_at` until `leaves_at`."""

    up: float
    down: float
    missing: int = 0  # bytes it must still get; 0 too for one that nobody waits for
    joins_at: float = 0.0
    leaves_at: float = math.inf


@dataclass(frozen=True, slots=True)
class Origin:
    """Bytes that the same machines had at the start, and how fast these can send together from `opens_at` on."""

    size: int
    up: float
    opens_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds from the start until the last one can have everything."""

    fluid: float
    pieces: float = 0.0

    @property
    def seconds(self) -> float:
        return max(self.fluid, self.pieces)


def fluid_bound(machines: Sequence[Machine], origins: Sequence[Origin]) -> float:
    """What Kumar and Ross' three arguments say of these machines."""
    sending = max((origin.opens_at + origin.size / origin.up for origin in origins), default=0.0)
    taking = max((one.joins_at + one.missing / one.down for one in machines if one.missing), default=0.0)
    return max(sending, taking, _capacity_bound(machines))


def _capacity_bound(machines: Sequence[Machine]) -> float:
    """When the uplinks have had the time to send all that is missing; infinite if they leave before."""
    missing = sum(one.missing for one in machines)
    if not missing:
        return 0.0
    opens_at = min(one.joins_at for one in machines if one.missing)  # before, there is nobody to send to
    changes = sorted(
        (max(at, opens_at), rate)
        for one in machines
        for at, rate in ((one.joins_at, one.up), (one.leaves_at, -one.up))
    )
    now, capacity, sent = opens_at, 0.0, 0.0
    for at, rate in changes:
        if capacity > 0 and sent + capacity * (at - now) >= missing:
            break
        sent += capacity * (at - now) if capacity > 0 else 0.0
        now, capacity = at, capacity + rate
        if at == math.inf:
            return math.inf
    return now + (missing - sent) / capacity


def piece_bound(piece_count: int, leecher_count: int, piece_seconds: float) -> float:
    """Mundinger, Weber and Weiss: one seed, and leechers that had nothing; `piece_seconds` is what one uplink needs."""
    if leecher_count < 1:
        return 0.0
    return (piece_count + leecher_count.bit_length() - 1) * piece_seconds
