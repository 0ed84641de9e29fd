"""What the requester's log tells in `shoal demo url`: which bytes of the file which machine brought, and when.

Knows no processes and no pictures. Machines are told apart by the host of their address: each has one of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shoal.units import KIB

GRAIN = 16 * KIB  # bytes; the picture is no finer, pieces are longer
RATE_WINDOW = 2.0  # seconds; pieces come a few a second


@dataclass(frozen=True, slots=True)
class Portion:
    time: float
    machine: int
    size: int


@dataclass(frozen=True, slots=True)
class Result:
    """What both downloads came to. Rates are bytes a second; `sent` is what the origin sent for the pooled one."""

    seconds: float
    alone_size: int
    alone_seconds: float
    sent: int
    client_rate: int


class UrlStory:
    """`hosts` are the addresses of `names`; the first is the requester, whose log it is."""

    def __init__(self, length: int, names: Sequence[str], hosts: Sequence[str]) -> None:
        self.length = length
        self.names = tuple(names)
        self.fetched = [0] * len(names)  # bytes that each brought from the origin
        self.owners: list[int | None] = [None] * -(-length // GRAIN)  # who brought each grain
        self._machines = {host: machine for machine, host in enumerate(hosts)}
        self._recent: deque[Portion] = deque()

    def tell(self, teller: int, record: dict[str, Any]) -> None:
        """A line of the requester's log."""
        if record["event"] != "brought":
            return
        host = str(record["member"]).rpartition(":")[0]
        machine = 0 if record["is_us"] else self._machines.get(host)
        if machine is None:
            return
        begin, end = int(record["begin"]), int(record["end"])
        first, last = begin // GRAIN, -(-end // GRAIN)
        self.owners[first:last] = [machine] * (last - first)
        self.fetched[machine] += end - begin
        self._recent.append(Portion(float(record["time"]), machine, end - begin))

    def rates(self, now: float) -> list[float]:
        """Bytes a second that each brings."""
        while self._recent and self._recent[0].time < now - RATE_WINDOW:
            self._recent.popleft()
        rates = [0.0] * len(self.names)
        for portion in self._recent:
            rates[portion.machine] += portion.size / RATE_WINDOW
        return rates

    @property
    def share_here(self) -> float:
        """0.0 to 1.0."""
        return sum(self.fetched) / self.length
