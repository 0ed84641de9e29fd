from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.fetch.claims import BLOCK, FIRST_BYTE_STALL, LONGEST_STALL, SHORTEST_STALL, Run, Stop, StopReason
from shoal.fetch.pieces import MOST_PIECES, SHORTEST_PIECE, piece_length_for
from shoal.fetch.plan import DOUBLED_MOST, Plan
from shoal.formats.bitfield import all_bits
from shoal.testing.origin import covered
from shoal.units import GIB, KIB, MIB

PIECE = SHORTEST_PIECE


def started(plan: Plan, count: int, now: float = 1.0) -> list[Run]:
    runs = [plan.next_run(number, now) for number in range(1, count + 1)]
    assert None not in runs
    return [run for run in runs if run is not None]


def fetch(plan: Plan, number: int, count: int, now: float) -> list[int]:
    """`count` bytes in chunks as they come from a socket."""
    whole = []
    while count:
        chunk = min(count, BLOCK)
        whole += plan.on_bytes(number, chunk, now)
        count -= chunk
    return whole


@given(st.integers(0, 1 << 50))
def test_the_pieces_of_any_length_are_at_most_100000_and_a_power_of_two(length: int) -> None:
    piece_length = piece_length_for(length)
    assert piece_length & (piece_length - 1) == 0
    assert -(-length // piece_length) <= MOST_PIECES
    assert piece_length == SHORTEST_PIECE or -(-length // (piece_length // 2)) > MOST_PIECES


def test_the_first_fetcher_claims_everything() -> None:
    plan = Plan(10 * MIB + 1)
    assert plan.wants_another_fetcher(1.0)
    assert plan.next_run(1, 1.0) == Run(0, 10 * MIB + 1)
    assert not plan.wants_another_fetcher(1.0)


def test_an_empty_file_is_complete() -> None:
    plan = Plan(0)
    assert plan.is_complete
    assert not plan.wants_another_fetcher(1.0)
    assert plan.next_run(1, 1.0) is None


def test_the_second_fetcher_takes_the_far_half_from_the_border_of_a_piece_on() -> None:
    plan = Plan(10 * MIB + 1, first_fetchers=2)
    first, second = started(plan, 2)
    assert first == Run(0, 10 * MIB + 1)
    assert second.begin % PIECE == 0
    assert abs(second.begin - 5 * MIB) <= PIECE
    assert second.end == plan.length
    assert plan.end_of(1) == second.begin


def test_several_that_come_at_once_get_equal_parts_and_none_is_cut_short_for_the_next() -> None:
    plan = Plan(16 * MIB, most_fetchers=4, first_fetchers=4)
    runs = started(plan, 4)
    assert [run.begin for run in runs[1:]] == [4 * MIB, 8 * MIB, 12 * MIB]
    assert [plan.end_of(number) for number in (2, 3, 4)] == [run.end for run in runs[1:]]


def test_a_run_that_only_begins_to_come_is_left_alone_for_a_moment() -> None:
    plan = Plan(16 * MIB, most_fetchers=2, first_fetchers=2)
    started(plan, 2)
    fetch(plan, 1, 16 * KIB, 1.05)
    fetch(plan, 2, 8 * MIB, 1.1)
    plan.on_ended(2, 1.1, ok=True)
    assert plan.next_run(2, 1.1) is None
    assert plan.next_run(2, 1.3) is not None


def test_nobody_takes_the_place_of_one_whose_transfer_is_about_to_end() -> None:
    plan = Plan(16 * MIB)
    plan.withhold(MIB, 16 * MIB)
    started(plan, 1)
    fetch(plan, 1, MIB, 1.1)
    plan.offer(MIB, 16 * MIB)
    assert not plan.wants_another_fetcher(1.1)
    plan.on_ended(1, 1.1, ok=True)
    assert plan.next_run(1, 1.1) == (MIB, 16 * MIB)


def test_a_faster_fetcher_takes_more_so_that_both_end_together() -> None:
    plan = Plan(100 * MIB, have_bits=0, first_fetchers=2)
    started(plan, 2)
    for tick in range(1, 41):  # 1 MiB/s and 10 MiB/s
        now = 1.0 + tick / 10
        fetch(plan, 1, 104 * KIB, now)
        fetch(plan, 2, 1040 * KIB, now)
    fetch(plan, 2, plan.end_of(2) - plan.position_of(2), 5.0)
    left = plan.end_of(1) - plan.position_of(1)
    run = plan.next_run(2, 5.0)
    assert run is not None
    assert (run.end - run.begin) / left == pytest.approx(10 / 11, abs=0.03)


def test_a_piece_is_whole_once_whoever_had_a_part_of_it_has_brought_it() -> None:
    plan = Plan(2 * PIECE, first_fetchers=2)
    plan.next_run(1, 1.0)
    assert fetch(plan, 1, PIECE + 3 * BLOCK, 1.1) == [0]
    plan.on_ended(1, 1.2, ok=False)  # what is in hand is kept
    assert plan.next_run(2, 1.2) == Run(PIECE + 3 * BLOCK, 2 * PIECE)
    assert fetch(plan, 2, PIECE - 3 * BLOCK, 1.3) == [1]
    assert plan.is_complete
    assert plan.have_bits == 0b11


def test_bytes_beyond_the_end_of_a_run_are_refused() -> None:
    plan = Plan(2 * PIECE)
    plan.next_run(1, 1.0)
    with pytest.raises(ValueError, match="where the run ends"):
        plan.on_bytes(1, 2 * PIECE + 1, 1.1)


def test_a_tail_is_fetched_twice_and_whoever_is_first_ends_the_other() -> None:
    plan = Plan(4 * PIECE, have_bits=0b0111, first_fetchers=2)
    plan.next_run(1, 1.0)
    fetch(plan, 1, PIECE - BLOCK, 1.2)
    assert plan.next_run(2, 1.2) is None  # it would end at once
    assert plan.wants_another_fetcher(2.2)  # but it fell silent
    assert plan.next_run(2, 2.2) == Run(4 * PIECE - BLOCK, 4 * PIECE)
    assert not plan.wants_another_fetcher(2.2)
    assert plan.on_bytes(2, BLOCK, 2.3) == [3]
    assert plan.is_complete
    assert plan.tick(2.3) == [Stop(1, StopReason.TAKEN)]
    assert plan.end_of(1) == plan.position_of(1)


def test_who_was_doubled_and_is_first_ends_the_double() -> None:
    plan = Plan(PIECE, first_fetchers=2)
    plan.next_run(1, 1.0)
    fetch(plan, 1, PIECE - BLOCK, 1.2)
    plan.next_run(2, 2.2)
    assert plan.on_bytes(1, BLOCK, 2.25) == [0]
    assert plan.tick(2.3) == [Stop(2, StopReason.TAKEN)]
    plan.on_ended(2, 2.3, ok=True)
    assert plan.tick(2.4) == []
    assert plan.received == PIECE


def test_a_fetcher_that_stalls_while_others_do_not_loses_its_run_and_nothing_in_hand() -> None:
    plan = Plan(64 * MIB, first_fetchers=2)
    started(plan, 2)
    fetch(plan, 1, MIB, 1.1)
    began, end = plan.position_of(1), plan.end_of(1)
    now = 1.1
    while now < 1.1 + SHORTEST_STALL:
        fetch(plan, 2, 128 * KIB, now)
        assert plan.tick(now) == []
        now += 0.1
    fetch(plan, 2, 128 * KIB, now + 0.1)
    assert plan.tick(now + 0.1) == [Stop(1, StopReason.STALLED)]
    plan.on_ended(1, now + 0.1, ok=True)
    assert plan.next_run(1, now + 0.1) == Run(began, end)


def test_a_server_that_sends_in_lots_is_not_taken_for_stalled_between_two() -> None:
    plan = Plan(64 * MIB, first_fetchers=2)
    started(plan, 2)
    for tick in range(1, 75):
        now = 1.0 + tick / 10
        fetch(plan, 2, 16 * KIB, now)
        if now <= 2.6 and tick % 15 == 1:
            fetch(plan, 1, MIB, now)  # at 1.1 and 2.6 s: 1.5 s apart, so that 6 s are nothing yet
        assert plan.tick(now) == []


def test_what_ends_soon_is_not_fetched_twice_if_it_is_much() -> None:
    plan = Plan(9 * PIECE + 24 * MIB, have_bits=1 << 8, first_fetchers=2)
    assert started(plan, 2) == [Run(0, 8 * PIECE), Run(9 * PIECE, plan.length)]
    for tick in range(6):
        now = 1.2 + tick / 10
        fetch(plan, 1, 200 * KIB, now)
        fetch(plan, 2, 4 * MIB, now)
    left = plan.end_of(1) - plan.position_of(1)
    assert left > DOUBLED_MOST
    assert plan.next_run(2, now) is None, "too soon for another request, too much to fetch it twice"


def test_when_all_are_silent_the_line_gets_more_time() -> None:
    plan = Plan(64 * MIB, first_fetchers=2)
    started(plan, 2)
    for number in (1, 2):
        fetch(plan, number, MIB, 1.1)
    assert plan.tick(1.1 + LONGEST_STALL) == []
    assert {stop.reason for stop in plan.tick(1.2 + LONGEST_STALL)} == {StopReason.STALLED}


def test_a_response_may_take_longer_than_a_chunk() -> None:
    plan = Plan(64 * MIB, first_fetchers=2)
    started(plan, 2)
    now = 1.0
    while now < 1.0 + FIRST_BYTE_STALL:
        now += 0.1
        assert plan.tick(now - 0.1) == []
        fetch(plan, 2, 16 * KIB, now)
    assert plan.tick(now + 0.1) == [Stop(1, StopReason.STALLED)]


def test_a_server_that_refuses_one_gets_one_fewer() -> None:
    plan = Plan(64 * MIB, first_fetchers=4)
    started(plan, 4)
    plan.on_ended(4, 1.1, ok=False)
    plan.on_refused(1.1)
    assert plan.target == 3
    assert not plan.wants_another_fetcher(1.2)
    assert plan.next_run(4, 1.2) is None


def test_a_piece_that_came_some_other_way_is_not_fetched() -> None:
    plan = Plan(4 * PIECE, first_fetchers=2)
    plan.next_run(1, 1.0)
    fetch(plan, 1, BLOCK, 1.1)
    plan.on_piece(2)
    assert plan.end_of(1) == 2 * PIECE
    assert plan.next_run(2, 1.2) == Run(3 * PIECE, 4 * PIECE)
    plan.on_piece(3)
    assert plan.tick(1.3) == [Stop(2, StopReason.TAKEN)]
    assert plan.bytes_left == 2 * PIECE - BLOCK
    plan.on_ended(2, 1.3, ok=True)
    assert fetch(plan, 1, 2 * PIECE - BLOCK, 1.4) == [0, 1]
    assert plan.is_complete


def test_wrong_bytes_are_fetched_again_and_nothing_else_is() -> None:
    plan = Plan(4 * PIECE, have_bits=0b1000)
    plan.next_run(1, 1.0)
    fetch(plan, 1, PIECE + BLOCK, 1.1)
    plan.lose(PIECE - BLOCK, 2 * PIECE)  # reaches into what is still on its way
    assert plan.have_bits == 0b1000
    assert plan.bytes_left == 2 * PIECE + BLOCK
    assert fetch(plan, 1, 2 * PIECE - BLOCK, 1.2) == [2]
    plan.on_ended(1, 1.2, ok=True)
    assert plan.next_run(1, 1.2) == Run(PIECE - BLOCK, PIECE + BLOCK)
    assert fetch(plan, 1, 2 * BLOCK, 1.3) == [0, 1]
    assert plan.is_complete


LENGTHS = st.integers(1, 40 * PIECE)
KINDS_OF_MOVES = (
    "come", "ask", "fail", "end", "tick", "refuse", "piece", "lose", "withhold", "offer", "limit",
)  # fmt: skip
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["come", "come", *KINDS_OF_MOVES]),
        st.integers(0, 7),
        st.floats(0.0, 1.0),
    ),
    max_size=120,
)


@settings(max_examples=300)
@given(LENGTHS, st.data(), MOVES)
def test_whatever_happens_every_byte_is_fetched_and_none_is_believed_too_early(
    length: int, data: st.DataObject, moves: list[tuple[str, int, float]]
) -> None:
    piece_count = -(-length // PIECE)
    have_bits = data.draw(st.integers(0, all_bits(piece_count)))
    plan = Plan(length, have_bits, most_fetchers=8, first_fetchers=8)
    books = Books(plan)
    now = 1.0
    for move, number, share in moves:
        now += share * 0.5
        books.make(move, number, share, now)
        books.check()
    plan.offer(0, plan.length)
    for _ in range(1000):  # and then one fetcher, with nobody in its way, finishes it
        if plan.is_complete:
            break
        now += 0.1
        for stop in plan.tick(now):
            plan.on_ended(stop.fetcher, now, ok=False)
        for number, run in list(plan.claimed()):
            books.come(number, run.end - run.begin, now)
        for number in list(books.done):
            books.end(number, now, ok=False)
        plan.next_run(100, now)
    assert plan.is_complete
    assert plan.have_bits == all_bits(piece_count)
    books.check()


class Books:
    """What really is here, kept apart from the plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.done: set[int] = set()  # fetchers whose runs are whole, and whose transfers are not over
        self.rows = [
            (piece * PIECE, min((piece + 1) * PIECE, plan.length))
            for piece in range(plan.piece_count)
            if plan.have_bits >> piece & 1
        ]

    def make(self, move: str, number: int, share: float, now: float) -> None:
        plan = self.plan
        running = [fetcher for fetcher, _ in plan.claimed()]
        stopped = {stop.fetcher for stop in plan.tick(now)}
        if move == "piece":
            piece = int(share * (plan.piece_count - 1))
            plan.on_piece(piece)
            self.rows.append((piece * PIECE, min((piece + 1) * PIECE, plan.length)))
        elif move == "lose":
            begin = int(share * (plan.length - 1))
            end = min(begin + number * BLOCK + 1, plan.length)
            plan.lose(begin, end)
            self.rows = [
                row for low, high in self.rows for row in ((low, min(high, begin)), (max(low, end), high))
            ]
            self.rows = [(low, high) for low, high in self.rows if low < high]
        elif move in ("withhold", "offer"):
            begin = int(share * (plan.length - 1))
            end = min(begin + number * PIECE + 1, plan.length)
            (plan.withhold if move == "withhold" else plan.offer)(begin, end)
        elif move == "limit":
            plan.limit(1 + number)
        elif move == "refuse":
            plan.on_refused(now)
        elif number in stopped:
            plan.on_ended(number, now, ok=move == "end")
        elif number in self.done:
            self.end(number, now, ok=move != "fail")
        elif number not in running:
            plan.next_run(number, now)
        elif move == "come":
            self.come(number, int(share**2 * (plan.end_of(number) - plan.position_of(number))), now)
        elif move in ("fail", "end"):
            plan.on_ended(number, now, ok=move == "end")

    def come(self, number: int, count: int, now: float) -> None:
        position = self.plan.position_of(number)
        count = min(count, self.plan.end_of(number) - position)
        if count:
            self.rows.append((position, position + count))
            self.plan.on_bytes(number, count, now)
            if all(number != other for other, _ in self.plan.claimed()):
                self.done.add(number)

    def end(self, number: int, now: float, *, ok: bool) -> None:
        self.done.remove(number)
        self.plan.on_ended(number, now, ok=ok)

    def check(self) -> None:
        plan = self.plan
        assert plan.length - plan.bytes_left == covered(self.rows)
        for piece in range(plan.piece_count):
            low, high = piece * PIECE, min((piece + 1) * PIECE, plan.length)
            here = covered(
                [(max(low, begin), min(high, end)) for begin, end in self.rows if begin < high and low < end]
            )
            assert bool(plan.have_bits >> piece & 1) == (here == high - low)
        runs = sorted(run for _, run in plan.claimed())
        doubled = sum(max(0, before.end - after.begin) for before, after in itertools.pairwise(runs))
        assert doubled <= 8 * DOUBLED_MOST
        assert plan.running <= 8


def test_a_gib_of_pieces_is_counted_in_thousands() -> None:
    assert Plan(GIB).piece_count == 4096
