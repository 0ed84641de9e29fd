"""What the logs of a swarm's machines tell together: who has which piece, and who gave it to whom.

Knows no processes and no pictures. A log names peers by address, and one that was dialled sees an address that is
used once; `listens` lines join that to the address at which the other one is known. Since the logs are read one
after the other, addresses become machines only when somebody asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

RATE_WINDOW = 1.0  # seconds; short, since a demo is


@dataclass(frozen=True, slots=True)
class Gift:
    """Verified bytes of one piece, from an address to a machine."""

    time: float
    giver: str
    receiver: int
    size: int


@dataclass(slots=True)
class Machine:
    """One machine's part. Pieces it had from the start have itself as giver."""

    name: str
    givers: list[str | None]  # piece -> the address that gave most of it; "" for itself
    aliases: dict[str, str] = field(default_factory=dict)  # address as seen here -> where it listens


class Story:
    """`had` are the pieces that each machine has from the start."""

    def __init__(self, piece_count: int, had: Sequence[tuple[str, Iterable[int]]]) -> None:
        self.piece_count = piece_count
        self.machines: list[Machine] = []
        for name, pieces in had:
            machine = Machine(name, [None] * piece_count)
            for piece in pieces:
                machine.givers[piece] = ""
            self.machines.append(machine)
        self.gifts: list[Gift] = []
        self._recent: deque[Gift] = deque()
        self._listening: dict[str, int] = {}  # address -> machine

    def tell(self, teller: int, record: dict[str, Any]) -> None:
        """A line of a machine's log."""
        machine = self.machines[teller]
        match record["event"]:
            case "listening":
                self._listening[record["address"]] = teller
            case "listens":
                machine.aliases[record["peer"]] = record["address"]
            case "piece":
                sources: dict[str, int] = record["sources"]
                machine.givers[record["piece"]] = max(sources, key=sources.__getitem__)
                gifts = [Gift(record["time"], giver, teller, size) for giver, size in sources.items()]
                self.gifts += gifts
                self._recent += gifts

    def is_listening(self, machine: int) -> bool:
        return machine in self._listening.values()

    def has_all(self, machine: int) -> bool:
        return None not in self.machines[machine].givers

    def share_had(self, machine: int) -> float:
        """0.0 to 1.0."""
        givers = self.machines[machine].givers
        return 1 - givers.count(None) / len(givers)

    def piece_givers(self, machine: int) -> list[int | None]:
        """For each piece the machine that gave it (itself, if it had it); None while it is missing."""
        return [
            None if giver is None else self._machine_at(giver, machine)
            for giver in self.machines[machine].givers
        ]

    def matrix(self) -> list[list[int]]:
        """Bytes: `matrix[giver][receiver]`."""
        size = len(self.machines)
        totals = [[0] * size for _ in range(size)]
        for gift in self.gifts:
            giver = self._machine_at(gift.giver, gift.receiver)
            if giver is not None:
                totals[giver][gift.receiver] += gift.size
        return totals

    def rates(self, now: float) -> list[tuple[float, float]]:
        """For each machine bytes a second: (to it, from it)."""
        while self._recent and self._recent[0].time < now - RATE_WINDOW:
            self._recent.popleft()
        down, up = [0.0] * len(self.machines), [0.0] * len(self.machines)
        for gift in self._recent:
            down[gift.receiver] += gift.size / RATE_WINDOW
            giver = self._machine_at(gift.giver, gift.receiver)
            if giver is not None:
                up[giver] += gift.size / RATE_WINDOW
        return list(zip(down, up, strict=True))

    @property
    def seconds(self) -> float:
        """From the first piece that arrived to the last."""
        times = [gift.time for gift in self.gifts]
        return max(times) - min(times) if times else 0.0

    def _machine_at(self, address: str, seen_by: int) -> int | None:
        if address == "":
            return seen_by
        return self._listening.get(self.machines[seen_by].aliases.get(address, address))
