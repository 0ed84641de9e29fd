"""Which pieces one web seed brings, kept in step with its plan and with the torrent.

Pure but for what it tells the two. Alone, a web seed has all that is missing, and its plan shares that out among
connections as of any file. With neighbours, or another web seed, it has what its connections bring within `WINDOW`,
directly in front of where they are; what a request asked for beyond that is taken up again, window by window, as long
as nobody else has begun it. So requests are long, and no neighbour waits for a piece that would come much later.

Always true: a piece is asked of neighbours, or brought by one web seed; by both only where a neighbour has been at it
for `SLOW` and nothing else is left.
"""

from __future__ import annotations

from typing import Final

from shoal.engine.torrent import Torrent
from shoal.fetch.plan import Plan
from shoal.formats.bitfield import iter_bits, iter_runs, longest_run, lowest_bit, run_mask, without
from shoal.units import MIB

WINDOW: Final = (
    2.0  # seconds; what is lost at most when the web seed goes silent, and neighbours wait for at most
)
FIRST_WINDOW: Final = 1 * MIB  # while no rate is known
LONGEST_REQUEST: Final = 30.0  # seconds; a request that ends early costs a connection
BEGUN_WITHIN: Final = 1.0  # seconds; what no connection came for is given back
SILENCE: Final = 1.0  # seconds without a byte, of all its connections
SLOW: Final = 3.0  # seconds that a piece may be in flight before the web seed brings it too


class SeedShare:
    def __init__(self, torrent: Torrent, plan: Plan) -> None:
        self._torrent = torrent
        self._pieces = torrent.swarm.pieces
        self._layout = torrent.content.layout
        self._plan = plan
        self._known = plan.have_bits  # what was here at the last look
        self._doubled = 0  # pieces that neighbours are at, too
        self._seen_at: dict[int, float] = {}  # since when a piece is in flight
        self._taken_at = 0.0
        self._received = 0
        self._heard_at = 0.0
        self.reserved = 0  # from neighbours
        self.useless = 0  # pieces that this web seed does not give
        plan.splits_offers = True
        plan.withhold(0, plan.length)

    @property
    def free(self) -> int:
        """What is to be had of neighbours, and could be had here."""
        return without(self._pieces.missing, self.useless | self._doubled)

    @property
    def has_rivals(self) -> bool:
        """Whether anybody else could bring what is missing."""
        others = without(self._pieces.suspended, self.reserved)
        needed = self._pieces.needed
        return bool(others) or any(peer.has & needed for peer in self._torrent.swarm.peers.values())

    def look(self) -> int:
        """What came, or was lost, since the last look. -> The pieces of which nothing more is needed."""
        have = self._pieces.have
        came, lost = without(have, self._known), without(self._known, have)
        self._known = have
        for piece in iter_bits(came):
            self._plan.on_piece(piece)
        self._let_go(came)
        for begin, end in iter_runs(lost):
            self._plan.lose(*self._bytes(begin, end))
            self._plan.withhold(*self._bytes(begin, end))
        return came

    def deal(self, now: float, busy: int) -> int:
        """Take what the connections have use for, give back what they have not. `busy`: pieces that are being checked.

        -> The pieces that were given back; what came of them is to be forgotten.
        """
        if self._plan.received != self._received:
            self._received, self._heard_at = self._plan.received, now
        given_back = 0
        if self.has_rivals:
            given_back = self.give_back(self._beyond_windows(now) & ~busy)
            self._go_on(now)
            self._admit_slowness(now)
        demand = self._plan.demand(now)
        wanted = demand.idle * self._window(now) - demand.waiting
        while wanted > 0 and (free := self.free):
            wanted -= self._take(free, now)
        if wanted > 0 and demand.idle:
            self._double(now)
        return given_back

    def give_back(self, bits: int) -> int:
        """Others bring these. -> Those that were ours."""
        ours = bits & (self.reserved | self._doubled)
        for begin, end in iter_runs(ours):
            self._plan.lose(*self._bytes(begin, end))  # half of a piece is of no use to anybody
            self._plan.withhold(*self._bytes(begin, end))
        self._let_go(ours)
        return ours

    def on_wrong(self, piece: int) -> None:
        """Its bytes came, and are not those of the torrent."""
        begin, end = self._bytes(piece, piece + 1)
        self._plan.lose(begin, end)
        self._plan.withhold(begin, end)
        self._let_go(1 << piece)

    # ---- how much

    def _window(self, now: float) -> int:
        """Bytes that one connection brings within the time."""
        running = self._plan.running
        rate = self._plan.rate(now) / running if running else 0.0
        return max(self._layout.piece_length, int(rate * WINDOW) or FIRST_WINDOW)

    def _take(self, free: int, now: float) -> int:
        """One row of pieces, as long as a request may be. -> Its bytes."""
        first, count = longest_run(free)
        if self.has_rivals:
            most = self._window(now) * LONGEST_REQUEST / WINDOW
            connections = max(1, self._plan.target)
            count = min(count, max(1, int(most) // self._layout.piece_length, -(-count // connections)))
        bits = run_mask(first, count)
        self._taken_at = now
        self.reserved |= bits
        self._torrent.suspend(bits)
        begin, end = self._bytes(first, first + count)
        self._plan.offer(begin, end)
        return end - begin

    def _beyond_windows(self, now: float) -> int:
        """Reserved pieces that no connection comes to within its window."""
        near = begun = 0
        window = self._window(now)
        for _, run in self._plan.claimed():
            near |= self._pieces_of(run.begin, min(run.end, run.begin + window))
            begun |= self._pieces_of(run.begin, run.end)
        if now - self._taken_at < BEGUN_WITHIN:
            near |= without(self.reserved, begun)  # for those who are about to end
        return without(self.reserved, near | self._plan.have_bits)

    def _go_on(self, now: float) -> None:
        """What lies directly behind a connection's run, and is free still, is its own again."""
        window = self._window(now)
        for _, run in list(self._plan.claimed()):
            end = run.end // self._layout.piece_length
            last = -(-(run.begin + window) // self._layout.piece_length)
            ahead = self.free >> end & ((1 << max(0, last - end)) - 1)
            count = lowest_bit(~ahead)  # as many as follow each other
            if run.end % self._layout.piece_length or not count:
                continue
            bits = run_mask(end, count)
            self.reserved |= bits
            self._torrent.suspend(bits)
            self._plan.offer(*self._bytes(end, end + count))

    def _admit_slowness(self, now: float) -> None:
        """Neighbours have nothing left to be asked for: what does not come from here soon, they may bring, too."""
        if self._pieces.missing:
            return
        late = 0
        is_silent = now - self._heard_at > SILENCE
        for number, run in self._plan.claimed():
            rate = 0.0 if is_silent else self._plan.rate_of(number, now)
            soon = run.begin + int(rate * SLOW)
            if soon < run.end:
                first = soon // self._layout.piece_length
                late |= self._pieces_of(run.begin, run.end) >> first << first
        late &= self.reserved
        if late:
            self.reserved ^= late
            self._doubled |= late
            self._torrent.resume(late)

    def _double(self, now: float) -> None:
        """Nothing is left but what neighbours are at: the piece that one has been at for longest, if that is long."""
        in_flight = self._pieces.in_flight
        self._seen_at = {piece: self._seen_at.get(piece, now) for piece in in_flight}
        slow = [
            piece
            for piece, since in self._seen_at.items()
            if now - since > SLOW and not (self._doubled | self.useless) >> piece & 1
        ]
        if slow:
            piece = min(slow, key=self._seen_at.__getitem__)
            self._doubled |= 1 << piece
            self._plan.offer(*self._bytes(piece, piece + 1))

    # ---- bookkeeping

    def _pieces_of(self, begin: int, end: int) -> int:
        """The pieces that hold a byte of the row."""
        first = begin // self._layout.piece_length
        return run_mask(first, -(-end // self._layout.piece_length) - first)

    def _let_go(self, bits: int) -> None:
        ours = self.reserved & bits
        self.reserved ^= ours
        self._doubled = without(self._doubled, bits)
        if ours:
            self._torrent.resume(ours)

    def _bytes(self, first: int, end: int) -> tuple[int, int]:
        """Where a row of pieces lies."""
        return first * self._layout.piece_length, min(end * self._layout.piece_length, self._plan.length)
