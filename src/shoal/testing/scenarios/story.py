"""One run of a scenario: who takes part, who is waited for, when it is over, and what no swarm could beat.

A story begins at time 0; the network's clock does not, so every time in here is `seconds` since the beginning. Who
comes, goes or is killed is remembered, because the bound depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.layout import Layout
from shoal.swarm.tactics import Tactics
from shoal.testing.bounds import Bound, Machine, Origin, fluid_bound, piece_bound
from shoal.testing.simulation import Host, Manners, Network
from shoal.units import KIB

LINK = 5_000_000.0  # bytes a second each way: the 40 Mbit/s of the real lab
LATENCY = 0.005  # seconds to the middle; 20 ms there and back
PATIENCE = 30  # times the file over one link; a story that takes longer has gone wrong
LONGEST_RUN_UP = 240.0  # seconds that a story may take beside that: choking rounds, arrivals


@dataclass(frozen=True, slots=True)
class Size:
    """How big a story is."""

    leechers: int
    pieces: int
    piece_length: int = 256 * KIB  # bytes
    link: float = LINK  # bytes a second, each way, of a host of which nothing else is said

    @property
    def bytes(self) -> int:
        return self.pieces * self.piece_length


@dataclass(slots=True)
class Member:
    """A host, and what the story knows of it."""

    host: Host
    group: str
    had: int  # pieces, when it came
    is_awaited: bool
    joined_at: float
    left_at: float | None = None

    @property
    def is_settled(self) -> bool:
        """It has everything, or will never have."""
        return self.host.completed_at is not None or self.host.has_left


@dataclass(slots=True)
class Story:
    seed: int
    size: Size
    tactics: Tactics = field(default_factory=Tactics)  # of every host that is not said to be another client's
    net: Network = field(init=False)
    members: list[Member] = field(default_factory=list)
    most_seconds: float = field(init=False)
    _expected: int = 0  # who is going to come
    _awaited: list[Member] = field(default_factory=list)
    _began_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.net = Network(self.seed, Layout(self.size.piece_length, [self.size.bytes]))
        self._began_at = self.net.clock.now
        self.most_seconds = PATIENCE * self.size.bytes / self.size.link + LONGEST_RUN_UP

    @property
    def seconds(self) -> float:
        return self.net.clock.now - self._began_at

    @property
    def all_pieces(self) -> int:
        return all_bits(self.size.pieces)

    # Building

    def add(
        self,
        name: str,
        *,
        group: str = "leechers",
        have: int = 0,
        up: float | None = None,
        down: float | None = None,
        manners: Manners | None = None,
        tactics: Tactics | None = None,
        is_awaited: bool = True,
    ) -> Host:
        """A host that knows nobody yet. The story waits for it unless it has everything, or is said not to matter."""
        host = self.net.add(
            name,
            have=have,
            up=self.size.link if up is None else up,
            down=self.size.link if down is None else down,
            latency=LATENCY,
            manners=manners,
            tactics=self.tactics if tactics is None else tactics,
        )
        member = Member(host, group, have, is_awaited and not host.is_complete, self.seconds)
        self.members.append(member)
        if member.is_awaited:
            self._awaited.append(member)
        return host

    def add_seed(self) -> Host:
        return self.add("seed", group="seeds", have=self.all_pieces)

    def add_leechers(self) -> list[Host]:
        return [self.add(f"leecher {number}") for number in range(1, self.size.leechers + 1)]

    def expect(self, at: float, arrive: Callable[[], object]) -> None:
        """Somebody is going to come at `at` seconds: the story is not over before."""
        self._expected += 1

        def come() -> None:
            self._expected -= 1
            arrive()

        self.net.clock.call_later(at - self.seconds, come)

    def note_leaving(self, host: Host) -> None:
        """It has left just now."""
        next(member for member in self.members if member.host is host).left_at = self.seconds

    # Running

    def run(self) -> None:
        """To the end. A `TimeoutError` is raised if there is none."""
        self.net.run(self.is_over, limit=self.most_seconds)
        if not self.is_over():
            raise TimeoutError(f"seed {self.seed}: nothing happens any more at {self.seconds:.3f} s")

    def is_over(self) -> bool:
        waiting = (
            self._awaited
        )  # asked after every event: only the last of those who were not settled is looked at
        while waiting and waiting[-1].is_settled:
            waiting.pop()
        return not waiting and not self._expected

    # What became of it

    def completed_at(self, member: Member) -> float | None:
        at = member.host.completed_at
        return None if at is None else at - self._began_at

    def missing_bytes(self, member: Member) -> int:
        """What it lacked when it came."""
        return (self.all_pieces & ~member.had).bit_count() * self.size.piece_length

    @property
    def finishers(self) -> list[Member]:
        """Who was waited for and has everything, the earliest first."""
        done = [
            member for member in self.members if member.is_awaited and member.host.completed_at is not None
        ]
        return sorted(done, key=lambda member: member.host.completed_at or 0.0)

    def bound(self) -> Bound:
        """For those who came to the end; who was killed on the way lent its uplink and needs nothing."""
        counted = {id(member) for member in self.members if member.is_awaited and member.left_at is None}
        machines = [self._machine(member, id(member) in counted) for member in self.members]
        fluid = fluid_bound(machines, self._origins())
        had_anything = [member.had for member in self.members if member.had]
        if had_anything != [self.all_pieces]:  # the piece bound speaks of one seed
            return Bound(fluid)
        fastest = max(member.host.up for member in self.members)
        first = min(member.joined_at for member in self.members if member.is_awaited)
        seconds = piece_bound(self.size.pieces, len(counted), self.size.piece_length / fastest)
        return Bound(fluid, first + seconds)

    def _machine(self, member: Member, is_counted: bool) -> Machine:
        return Machine(
            member.host.up,
            member.host.down,
            missing=self.missing_bytes(member) if is_counted else 0,
            joins_at=member.joined_at,
            leaves_at=float("inf") if member.left_at is None else member.left_at,
        )

    def _origins(self) -> list[Origin]:
        """The pieces by who had them. They can leave once somebody is there to take them."""
        holders = [member for member in self.members if member.had]
        pieces_of: dict[tuple[int, ...], int] = {}
        for piece in iter_bits(self.all_pieces):
            who = tuple(number for number, member in enumerate(holders) if member.had >> piece & 1)
            pieces_of[who] = pieces_of.get(who, 0) + 1
        opens_at = min(member.joined_at for member in self.members if member.is_awaited)
        return [
            Origin(count * self.size.piece_length, sum(holders[number].host.up for number in who), opens_at)
            for who, count in pieces_of.items()
        ]
