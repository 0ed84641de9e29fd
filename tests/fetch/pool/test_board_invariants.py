"""What is true of a board after any events in any order, and of pools of any members."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import PeerError
from shoal.fetch.claims import Demand
from shoal.fetch.pool.board import Board
from shoal.fetch.pool.member import MOST_CLAIMED, MOST_RUNS
from shoal.fetch.pool.runs import PieceRun, bits_of
from shoal.formats.bitfield import all_bits, lowest_bit, run_mask
from shoal.testing.pool import SimulatedPool
from shoal.testing.pool_kinds import NEVER, Kind
from shoal.units import KIB, MIB

PIECE = 256 * KIB
MEMBERS = [bytes([number]) * 32 for number in range(1, 4)]
KINDS_OF_EVENTS = (
    "join", "leave", "have", "claims", "heard", "owing", "piece", "bring", "lose", "dispute", "decide",
)  # fmt: skip
EVENTS = st.lists(
    st.tuples(
        st.sampled_from([*KINDS_OF_EVENTS, "bring", "decide"]),
        st.sampled_from(MEMBERS),
        st.floats(0.0, 1.0),
        st.floats(0.0, 1.0),
    ),
    max_size=80,
)


class Life:
    """One board, what is told to it, and what must be true of its answers."""

    def __init__(self, piece_count: int, is_helper: bool) -> None:
        self.count = piece_count
        self.now = 0.0
        self.board = Board(
            piece_count, PIECE, piece_count * PIECE, b"m" * 32,
            have=0, is_helper=is_helper, now=0.0, salt=b"salt",
        )  # fmt: skip
        self.mine = 0
        self.forced = 0
        self.members: dict[bytes, bool] = {}

    def make(self, event: str, member: bytes, where: float, size: float) -> None:
        board = self.board
        self.now += size / 2
        first = int(where * (self.count - 1))
        run = PieceRun(first, 1 + int(size * (self.count - first - 1)))
        if event == "join" and member not in self.members:
            self.members[member] = size < 0.5
            board.join(member, self.now, is_helper=size < 0.5)
        elif event == "piece":
            self.on_piece(first)
        elif event == "bring" and self.mine:
            self.on_piece(lowest_bit(self.mine))
        elif event in ("lose", "dispute"):
            board.lose(run_mask(*run), must_fetch=event == "dispute")
            self.forced |= run_mask(*run) if event == "dispute" else 0
        elif event == "decide":
            self.decide(Demand(where * 4e6, 0.05, 2, int(size * 3), 0, self.mine & -self.mine))
        elif member in self.members:
            self.hear(event, member, run, size)

    def hear(self, event: str, member: bytes, run: PieceRun, size: float) -> None:
        board = self.board
        if event == "leave":
            del self.members[member]
            board.leave(member, self.now)
        elif event == "have":
            board.on_have(member, run_mask(*run), self.now)
        elif event == "claims":
            with suppress(PeerError):
                board.on_claims(member, [run], size * 4e6, self.now)
        elif event == "heard":
            board.on_heard(member, self.now)
        elif event == "owing":
            board.on_owing(member, size < 0.5, self.now)

    def on_piece(self, piece: int) -> None:
        self.board.on_piece(piece, self.now)
        self.mine &= ~(1 << piece)
        self.forced &= ~(1 << piece)

    def decide(self, demand: Demand) -> None:
        board = self.board
        before = self.mine
        decision = board.decide(demand, self.now)
        take, drop = bits_of(decision.take), bits_of(decision.drop)
        unclaimed = board.unclaimed(self.now) | take  # so far as it is nobody else's
        assert take & board.have == 0, "what is here is not fetched"
        assert drop & ~before == 0, "only what was ours is dropped"
        self.mine = (before & ~drop) | take
        theirs = take & ~self.forced
        for member in board._members.values():
            if not board._members.is_silent(member, self.now):
                theirs &= ~(member.live | member.has)
        if take & ~self.forced & ~theirs:
            assert unclaimed & ~take == 0, "twice is fetched only when nothing is unclaimed"
        told = bits_of(board.my_runs)
        assert len(board.my_runs) <= MOST_RUNS
        assert told.bit_count() * PIECE <= max(MOST_CLAIMED, MOST_RUNS * PIECE)
        if (take & ~before) | drop:
            assert told & ~self.mine == 0


@settings(max_examples=300)
@given(st.integers(1, 300), st.booleans(), EVENTS)
def test_after_any_events_a_requester_fetches_all_that_nobody_brings(
    piece_count: int, is_helper: bool, events: list[tuple[str, bytes, float, float]]
) -> None:
    life = Life(piece_count, is_helper)
    for event in events:
        life.make(*event)
    if is_helper:
        return
    for _ in range(2000):
        if life.board.have == all_bits(piece_count):
            return
        life.now += 0.2
        life.decide(Demand(1e6, 0.05, 2, 2 if not life.mine else 0, 0, life.mine & -life.mine))
        for _ in range(4):
            if life.mine:
                life.on_piece(lowest_bit(life.mine))
    raise AssertionError(f"{piece_count - life.board.have.bit_count()} pieces are left to nobody")


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    trouble = draw(st.sampled_from(["", "", *(f.name for f in fields(Kind) if f.name.endswith("s_at"))]))
    kind = Kind(
        rate=draw(st.sampled_from([3e5, 2e6, 1e7])),
        is_helper=draw(st.booleans()),
        starts_at=draw(st.floats(0.0, 3.0)),
        only_claims=draw(st.integers(0, 5)) == 0,
        floods=draw(st.integers(0, 5)) == 0,
        lan_rate=draw(st.sampled_from([5e5, 1e8])),
    )
    if trouble in ("dies_at", "freezes_at", "crawls_at"):
        setattr(kind, trouble, draw(st.floats(0.1, 6.0)))
    return kind


@settings(max_examples=60)
@given(st.lists(kinds(), max_size=5), st.integers(1, 12 * MIB), st.integers(0, 1000), st.floats(0.0, 0.2))
def test_a_requester_gets_the_file_whoever_else_is_there(
    others: list[Kind], length: int, seed: int, message_latency: float
) -> None:
    for other in others:
        if not other.is_helper:
            other.only_claims = False
    pool = SimulatedPool([Kind(2e6), *others], length=length, seed=seed, message_latency=message_latency)
    me = pool.members[0]
    pool.until(lambda: me.plan.is_complete, limit=60.0)
    assert me.books.complete_at < NEVER
    assert me.books.complete_at - pool.began_at <= 2.0 + 1.3 * length / 2e6 + 3.0
