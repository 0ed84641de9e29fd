"""A simulated pool: several members fetch one file, each by its own `Plan` and `Board`, on virtual time.

Each member has a link to the origin, shared evenly by its connections, and one to the others. Both are fluids: bytes
move in ticks. A request takes a latency until its first byte; what members say to each other takes one too. The swarm
is as simple as can be: a requester pulls each piece it lacks from one of those that have it. The books say the rest.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from shoal.errors import PeerError
from shoal.fetch.pieces import piece_length_for
from shoal.fetch.plan import Plan
from shoal.fetch.pool.board import Board
from shoal.fetch.pool.runs import PieceRun
from shoal.formats.bitfield import iter_bits, random_bit, without
from shoal.testing.origin import share_evenly
from shoal.testing.pool_kinds import NEVER, Books, Kind, Transfer
from shoal.units import KIB, MIB

TICK = 0.01  # seconds
TICKS_A_LOOK = 5
PROBE = 64 * KIB  # a requester's first request, for what the origin says of the file
MOST_PULLS = 8  # at once, by one requester from one holder
SENT_ANEW = 1.0  # seconds of silence after which a piece is asked of another holder, as the engine does


@dataclass(slots=True)
class Pull:
    """A piece on its way from one member to another."""

    piece: int
    holder: Member
    left: float
    heard_at: float


class Member:
    def __init__(self, number: int, kind: Kind, pool: SimulatedPool) -> None:
        self.name = number.to_bytes(32, "big")
        self.kind = kind
        self.pool = pool
        self.books = Books()
        self.is_there = self.is_frozen = False
        self.plan = Plan(pool.length, pool.some_of_all(kind.keeps))
        self.plan.limit(pool.fetchers, pool.fetchers)
        self.board: Board | None = None
        self.known: dict[bytes, Member] = {}  # with whom it is connected
        self.has_of: dict[bytes, int] = {}
        self.out: set[bytes] = set()
        self.transfers: dict[int, Transfer] = {}
        self.pulls: dict[int, Pull] = {}
        self.told: tuple[PieceRun, ...] = ()
        self._numbers = count(1)
        self._rng = random.Random(number)

    @property
    def acts(self) -> bool:
        return self.is_there and not self.is_frozen

    # -- beginning and end ---------------------------------------------------------------------------

    def begin(self) -> None:
        """It has read what the origin says of the file."""
        pool, plan = self.pool, self.plan
        self.is_there = True
        probe = next(self._numbers)
        if plan.next_run(probe, pool.now) is not None:
            if not self.kind.is_helper:
                plan.on_bytes(probe, min(PROBE, pool.length), pool.now)
            plan.on_ended(probe, pool.now, ok=False)
        plan.withhold(0, pool.length)
        self.books.requests += 1
        self.board = Board(
            plan.piece_count, plan.piece_length, pool.length, self.name,
            have=plan.have_bits, is_helper=self.kind.is_helper, now=pool.now, salt=pool.salt,
        )  # fmt: skip
        if plan.is_complete:
            self.books.complete_at = pool.now

    def meet(self, other: Member) -> None:
        if not self.acts or self.board is None:
            return
        self.known[other.name] = other
        self.has_of[other.name] = 0
        self.board.join(other.name, self.pool.now, is_helper=other.kind.is_helper)
        self.say(other, lambda: other.on_have(self, self.plan.have_bits))
        self.told = ()
        self.look()

    def part(self, other: Member) -> None:
        if self.board is not None and other.name in self.known:
            del self.known[other.name]
            self.board.leave(other.name, self.pool.now)
            for piece in [piece for piece, pull in self.pulls.items() if pull.holder is other]:
                del self.pulls[piece]
            self.look()

    # -- what others say -----------------------------------------------------------------------------

    def say(self, other: Member, act: Callable[[], None]) -> None:
        self.books.messages += 1
        self.pool.at(self.pool.now + self.pool.message_latency, lambda: self._hear(other, act))

    def _hear(self, other: Member, act: Callable[[], None]) -> None:
        if self.name in other.known and other.acts:
            act()

    def on_have(self, other: Member, bits: int) -> None:
        assert self.board is not None
        self.has_of[other.name] = self.has_of.get(other.name, 0) | bits
        self.board.on_have(other.name, bits, self.pool.now)

    def on_claims(self, other: Member, runs: tuple[PieceRun, ...], rate: float) -> None:
        assert self.board is not None
        try:
            self.board.on_claims(other.name, runs, rate, self.pool.now)
        except PeerError:
            self.out.add(other.name)
            self.part(other)
            other.part(self)

    def on_here(self, piece: int) -> None:
        """A piece is whole now."""
        assert self.board is not None
        self.board.on_piece(piece, self.pool.now)
        for other in self.known.values():
            self.say(other, lambda other=other: other.on_have(self, 1 << piece))  # type: ignore[misc]
        if self.plan.is_complete:
            self.books.complete_at = min(self.books.complete_at, self.pool.now)

    # -- the origin ----------------------------------------------------------------------------------

    def look(self) -> None:
        board, plan, now = self.board, self.plan, self.pool.now
        if board is None or not self.acts or self.plan.is_complete:
            self._tell(())
            return
        for stop in plan.tick(now):
            self._end(stop.fetcher)
        decision = board.decide(plan.demand(now), now)
        if not self.kind.only_claims:
            for run in decision.take:
                plan.offer(*self.pool.bytes_of(run))
            for run in decision.drop:
                plan.withhold(*self.pool.bytes_of(run))
        self._tell(board.my_runs)
        while plan.wants_another_fetcher(now) and self._ask(next(self._numbers)):
            pass

    def _tell(self, runs: tuple[PieceRun, ...]) -> None:
        if runs == self.told and not (self.kind.floods and runs):
            return
        self.told = runs
        rate = min(self.plan.rate(self.pool.now), 0.0 if self.board is None else self.board.rate)
        for other in self.known.values():
            for _ in range(20 if self.kind.floods else 1):
                self.say(other, lambda other=other: other.on_claims(self, runs, rate))  # type: ignore[misc]

    def _ask(self, number: int) -> bool:
        run = self.plan.next_run(number, self.pool.now)
        if run is None:
            return False
        self.books.requests += 1
        self.transfers[number] = Transfer(self.pool.now + self.pool.wait(), run.end)
        return True

    def _end(self, number: int) -> None:
        transfer = self.transfers.pop(number)
        under_way = self.kind.rate_at(self.pool.seconds) * self.pool.origin_latency
        self.books.cut_off += min(transfer.end - self.plan.position_of(number), under_way)
        self.plan.on_ended(number, self.pool.now, ok=True)
        self._ask(number)

    def fetch(self) -> bool:
        """A tick of its link to the origin. -> Whether a transfer ended."""
        if not self.acts or self.board is None:
            return False
        now, has_ended = self.pool.now, False
        can = {number: NEVER for number, transfer in self.transfers.items() if transfer.opens_at <= now}
        rate = self.kind.rate_at(self.pool.seconds)
        if not can and self.board.unclaimed(now) and not self.plan.is_complete:
            self.books.idle += TICK
        for number, share in share_evenly(can, rate * TICK).items():
            left = self.plan.end_of(number) - self.plan.position_of(number)
            size = min(left, int(share + self.pool.rng.random()))
            if size:
                for piece in self.plan.on_bytes(number, size, now):
                    self.on_here(piece)
            if size == left and number in self.transfers:
                has_ended = True
                self._is_over(number)
        return has_ended

    def _is_over(self, number: int) -> None:
        """Its last byte came, or what was left was taken away: the end of the transfer shows a moment later."""
        self.transfers[number].opens_at = NEVER
        self.pool.at(self.pool.now + TICK, lambda: self._end(number) if number in self.transfers else None)

    # -- the others ----------------------------------------------------------------------------------

    def pull(self) -> None:
        """Ask those that have it for what is not here."""
        if self.kind.is_helper or not self.acts or self.board is None or self.plan.is_complete:
            return
        now = self.pool.now
        load = dict.fromkeys(self.known, 0)
        for piece, pull in list(self.pulls.items()):
            if now - pull.heard_at > SENT_ANEW and any(
                has >> piece & 1 and name != pull.holder.name
                for name, has in self.has_of.items()
                if name in self.known
            ):
                del self.pulls[piece]
            else:
                load[pull.holder.name] += 1
        lacking = without(self.pool.everything, self.plan.have_bits)
        for name in sorted(load, key=lambda name: load[name]):
            wanted = self.has_of[name] & lacking
            for piece in self._scattered(wanted) if self.known[name].kind.keeps else iter_bits(wanted):
                if load[name] >= MOST_PULLS:
                    break
                if piece not in self.pulls:
                    self.pulls[piece] = Pull(piece, self.known[name], self.pool.piece_size(piece), now)
                    load[name] += 1
        for name in self.known:
            if not load[name]:
                self._take_over(self.known[name])
            self.board.on_owing(name, load[name] > 0, now)

    def _take_over(self, idle: Member) -> None:
        """What it has and a keeper is at is asked of it, too, as in the engine's end game."""
        for piece, pull in self.pulls.items():
            if pull.holder.kind.keeps and self.has_of[idle.name] >> piece & 1 and pull.holder is not idle:
                self.pulls[piece] = Pull(piece, idle, self.pool.piece_size(piece), self.pool.now)

    def _scattered(self, bits: int) -> Iterator[int]:
        """In any order, as rarest first comes to where one member has them all."""
        while bits:
            piece = random_bit(bits, self._rng)
            bits ^= 1 << piece
            yield piece


@dataclass
class SimulatedPool:
    kinds: list[Kind]
    length: int = 256 * MIB
    seed: int = 0
    discovery: float = 0.1  # seconds until two members are connected
    origin_latency: float = 0.05  # from a request to its first byte
    message_latency: float = 0.002
    fetchers: int = 2
    now: float = 1.0
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.salt = self.rng.randbytes(20)
        self.began_at = self.now
        self._piece_length = piece_length_for(self.length)
        self.everything = (1 << -(-self.length // self._piece_length)) - 1
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.members = [Member(number, kind, self) for number, kind in enumerate(self.kinds, 1)]
        for number, member in enumerate(self.members):
            self._arrange(member, self.members[:number])

    @property
    def seconds(self) -> float:
        return self.now - self.began_at

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), act))

    def wait(self) -> float:
        return self.origin_latency * self.rng.uniform(0.8, 1.2)

    def bytes_of(self, run: PieceRun) -> tuple[int, int]:
        end = (run.first + run.count) * self._piece_length
        return run.first * self._piece_length, min(end, self.length)

    def piece_size(self, piece: int) -> int:
        begin, end = self.bytes_of(PieceRun(piece, 1))
        return end - begin

    def run(self, *, limit: float = 600.0) -> SimulatedPool:
        """Until every requester that lives has the file. Raises `TimeoutError` if it is not over after `limit`."""
        self.until(lambda: not any(self._waits(member) for member in self.members), limit=limit)
        return self

    def until(self, is_over: Callable[[], bool], *, limit: float) -> None:
        ticks = 0
        while not is_over():
            if self.seconds > limit:
                raise TimeoutError(f"seed {self.seed}: not over after {limit} s")
            self.now += TICK
            ticks += 1
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            for number, member in enumerate(self.members):
                if member.fetch() or (ticks + number) % TICKS_A_LOOK == 0:
                    member.look()
            self._move_pieces()

    def _waits(self, member: Member) -> bool:
        kind = member.kind
        is_out = kind.is_helper or kind.only_claims or member.is_frozen or kind.dies_at <= self.seconds
        return not is_out and not member.plan.is_complete

    def some_of_all(self, part: float) -> int:
        """So large a part of the pieces, here and there."""
        rng = random.Random(self.seed)
        return sum(1 << piece for piece in iter_bits(self.everything) if rng.random() < part)

    # -- books ---------------------------------------------------------------------------------------

    @property
    def took(self) -> float:
        """Seconds until the last requester had it all."""
        complete = [member.books.complete_at for member in self.members if not member.kind.is_helper]
        return max(when for when in complete if when < NEVER) - self.began_at

    @property
    def origin_bytes(self) -> int:
        """With what was under way when a transfer was ended."""
        return sum(member.plan.received + int(member.books.cut_off) for member in self.members)

    @property
    def requests(self) -> int:
        return sum(member.books.requests for member in self.members)

    # -- inside --------------------------------------------------------------------------------------

    def _arrange(self, member: Member, earlier: list[Member]) -> None:
        kind = member.kind
        starts_at = self.began_at + kind.starts_at
        probed = self.origin_latency + PROBE / kind.rate_at(kind.starts_at)
        self.at(starts_at + (self.discovery if kind.is_helper else probed), member.begin)
        for other in earlier:
            met_at = max(starts_at, self.began_at + other.kind.starts_at) + self.discovery
            self.at(met_at, lambda other=other: self._meet(member, other))  # type: ignore[misc]
        if kind.dies_at < NEVER:
            self.at(self.began_at + kind.dies_at, lambda: self._die(member))
        if kind.freezes_at < NEVER:
            self.at(self.began_at + kind.freezes_at, lambda: setattr(member, "is_frozen", True))

    def _meet(self, member: Member, other: Member) -> None:
        if member.board is None or other.board is None:
            self.at(self.now + TICK, lambda: self._meet(member, other))
        elif member.is_there and other.is_there:
            member.meet(other)
            other.meet(member)

    def _die(self, member: Member) -> None:
        member.is_there = False
        for other in self.members:
            self.at(self.now + self.message_latency, lambda other=other: other.part(member))  # type: ignore[misc]

    def _move_pieces(self) -> None:
        """A tick of the links between members."""
        down: dict[bytes, float] = {}
        by_holder: dict[bytes, list[tuple[Member, Pull]]] = {}
        for member in self.members:
            member.pull()
            down[member.name] = member.kind.lan_rate * TICK
            for pull in member.pulls.values():
                if pull.holder.acts and member.acts:
                    by_holder.setdefault(pull.holder.name, []).append((member, pull))
        for pulls in by_holder.values():
            up = pulls[0][1].holder.kind.lan_rate * TICK / len(pulls)
            for member, pull in pulls:
                size = min(up, down[member.name], pull.left)
                if not size:
                    continue
                down[member.name] -= size
                pull.left -= size
                pull.heard_at = self.now
                assert member.board is not None
                member.board.on_heard(pull.holder.name, self.now)
                if pull.left <= 0:
                    del member.pulls[pull.piece]
                    if not member.plan.have_bits >> pull.piece & 1:
                        member.plan.on_piece(pull.piece)
                        member.on_here(pull.piece)
