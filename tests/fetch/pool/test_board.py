from __future__ import annotations

from itertools import pairwise

import pytest

from shoal.errors import PeerError
from shoal.fetch.claims import Demand
from shoal.fetch.pool.board import ALONE_AFTER, Board, Decision
from shoal.fetch.pool.lagging import LAGS_AFTER
from shoal.fetch.pool.member import CROSSING, MOST_RUNS, SETTLED_AFTER, SILENT_AFTER
from shoal.fetch.pool.runs import PieceRun, Places, bits_of, runs_of
from shoal.formats.bitfield import all_bits, run_mask
from shoal.units import KIB, MIB

PIECE = 256 * KIB
COUNT = 400
ME, OTHER, THIRD = b"m" * 32, b"o" * 32, b"t" * 32
SALT = b"salt"


def a_board(*, is_helper: bool = False, have: int = 0, now: float = 0.0, me: bytes = ME) -> Board:
    return Board(COUNT, PIECE, COUNT * PIECE, me, have=have, is_helper=is_helper, now=now, salt=SALT)


def a_pair(*, is_helper: bool = False, have: int = 0) -> Board:
    """Us, and a requester that knows of us."""
    board = a_board(is_helper=is_helper, have=have)
    board.join(OTHER, 0.0, is_helper=False)
    return board


def idle(rate: float = 2e6, *, fetchers: int = 2, idle: int = 2, waiting: int = 0, begun: int = 0) -> Demand:
    return Demand(rate, 0.05, fetchers, idle, waiting, begun)


def board_begun(board: Board) -> int:
    """The first pieces of its runs, which are what its fetchers are at."""
    return bits_of(PieceRun(first, 1) for first, _ in board.my_runs)


BUSY = idle(idle=0)


def taken(decision: Decision) -> int:
    return bits_of(decision.take)


def first_of_rank(names: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """The one whose claim stands where both claim the same, and the other."""
    places = Places(COUNT, SALT)
    first, second = sorted(names, key=places.rank, reverse=True)
    return first, second


def test_who_found_nobody_takes_runs_at_first_and_then_everything() -> None:
    board = a_board()
    first = taken(board.decide(idle(), 0.1))
    assert 0 < first.bit_count() * PIECE < 16 * MIB
    rest = taken(board.decide(BUSY, ALONE_AFTER))
    assert first | rest == all_bits(COUNT)
    assert first & rest == 0


def test_who_had_everything_goes_on_where_it_is_when_somebody_joins() -> None:
    board = a_board()
    board.decide(BUSY, ALONE_AFTER)
    board.join(OTHER, 4.0, is_helper=True)
    dropped = bits_of(board.decide(idle(idle=0, begun=1 << 100), 4.0).drop)
    kept = all_bits(COUNT) & ~dropped
    assert kept == bits_of(board.my_runs)
    assert kept & run_mask(100, 4) == run_mask(100, 4)
    assert kept.bit_count() * PIECE <= 16 * MIB


def test_when_the_last_member_leaves_everything_is_ours_at_once() -> None:
    board = a_pair()
    mine = taken(board.decide(idle(), 0.1))
    board.leave(OTHER, 0.2)
    assert mine | taken(board.decide(BUSY, 0.2)) == all_bits(COUNT)


def test_a_helper_brings_nothing_that_nobody_wants() -> None:
    board = a_board(is_helper=True)
    assert board.decide(idle(), 10.0) == Decision()
    board.join(OTHER, 10.0, is_helper=False)
    assert taken(board.decide(idle(), 10.0))
    board.leave(OTHER, 11.0)
    board.join(THIRD, 11.0, is_helper=True)
    assert board.decide(idle(), 11.0).drop
    assert board.my_runs == ()


def test_a_run_goes_on_behind_the_last_one() -> None:
    board = a_pair()
    last = board.decide(idle(idle=1), 0.1).take[-1]
    assert board.decide(idle(idle=1), 0.2).take[0].first == last.first + last.count


def test_no_more_is_taken_while_what_was_offered_is_not_begun() -> None:
    board = a_pair()
    offered = taken(board.decide(idle(), 0.1)).bit_count() * PIECE
    for tick in range(10):
        assert board.decide(idle(waiting=offered), 0.2 + tick).take == ()


def test_while_most_of_a_run_waits_no_other_is_taken() -> None:
    """Else runs are taken and given back in turn, each time a connection stumbles."""
    board = a_pair()
    board.decide(idle(5e6), 0.1)
    assert not board.decide(idle(5e6, idle=1, waiting=8 * MIB), 0.2).take
    assert board.decide(idle(5e6, idle=1, waiting=2 * MIB), 0.3).take


def test_at_a_low_rate_idle_connections_make_nobody_take_runs_and_give_them_back_in_turn() -> None:
    """Each time it would break off requests, and nobody counts on who talks without end and brings nothing."""
    board, now, told = a_pair(is_helper=True), 0.1, []
    for _ in range(50):
        board.decide(idle(2e5, fetchers=15, idle=12, begun=board_begun(board)), now)
        told.append(board.my_runs)
        now += 0.1
    assert told[-1]
    assert sum(one != other for one, other in pairwise(told)) <= 4


def test_when_the_rate_falls_what_was_not_asked_for_goes_first() -> None:
    """To break off what is on its way costs the origin what lies in buffers."""
    board = a_pair()
    mine = taken(board.decide(idle(4e6), 0.1))
    first, count = next(runs_of(mine)).first, 20
    asked = Demand(2e6, 0.05, 2, 0, 0, begun_bits=1 << first, asked_bits=run_mask(first, count))
    assert bits_of(board.decide(asked, 2.0).drop) == mine ^ run_mask(first, count)


def test_when_the_rate_falls_to_little_even_what_was_asked_for_is_cut() -> None:
    board = a_pair()
    mine = taken(board.decide(idle(4e6), 0.1))
    first, count = next(runs_of(mine))
    asked = Demand(1e5, 0.05, 2, 0, 0, begun_bits=1 << first, asked_bits=run_mask(first, count))
    assert mine & ~bits_of(board.decide(asked, 2.0).drop) == run_mask(first, MIB // PIECE)


def test_what_another_claims_or_has_is_left_to_it() -> None:
    board = a_pair()
    board.on_have(OTHER, run_mask(0, 150), 0.1)
    board.on_claims(OTHER, [(150, 200)], 1e6, 0.1)
    for tick in range(20):
        assert taken(board.decide(idle(), 0.1 + tick / 100)) & run_mask(0, 350) == 0


def test_a_claim_of_which_nothing_comes_is_void_and_so_is_what_that_member_claims_next() -> None:
    board = a_pair(have=run_mask(0, 300))
    board.on_claims(OTHER, [(300, 100)], 2e6, 0.1)
    assert board.unclaimed(1.0) == 0
    board.decide(BUSY, 2.0)
    assert board.unclaimed(2.0) == run_mask(300, 100)
    board.on_claims(OTHER, [(320, 50)], 2e6, 2.1)
    assert board.unclaimed(2.1) == run_mask(300, 100)
    board.on_have(OTHER, 1 << 320, 2.2)
    assert board.unclaimed(2.2) == run_mask(300, 20) | run_mask(370, 30), (
        "it has brought a piece: believed again"
    )


def test_a_slow_member_s_claim_stands_as_long_as_its_pieces_come_as_it_said() -> None:
    board = a_pair(have=run_mask(0, 396))
    board.on_claims(OTHER, [(396, 4)], PIECE / 2, 0.0)  # a piece every two seconds
    for piece in range(396, 400):
        now = 2.0 * (piece - 395)
        board.decide(BUSY, now)
        assert board.unclaimed(now) == 0
        board.on_have(OTHER, 1 << piece, now)


def test_of_two_who_claim_the_same_at_once_one_withdraws() -> None:
    boards = {}
    for me, other in ((ME, OTHER), (OTHER, ME)):
        boards[me] = a_board(me=me, have=run_mask(0, 396))
        boards[me].join(other, 0.0, is_helper=False)
        assert taken(boards[me].decide(idle(fetchers=4, idle=4), 1.0)) == run_mask(396, 4)
    boards[ME].on_claims(OTHER, boards[OTHER].my_runs, 2e6, 1.01)
    boards[OTHER].on_claims(ME, boards[ME].my_runs, 2e6, 1.01)
    dropped = {me: bits_of(board.decide(BUSY, 1.05).drop) for me, board in boards.items()}
    first, second = first_of_rank((ME, OTHER))
    assert dropped == {first: 0, second: run_mask(396, 4)}


def test_who_claims_what_is_long_known_to_be_ours_brings_it_sooner_and_gets_what_is_not_begun() -> None:
    board = a_pair(have=run_mask(0, 396))
    board.decide(idle(fetchers=4, idle=4), 1.0)
    board.on_claims(OTHER, [(396, 4)], 2e7, 1.1 + CROSSING)
    decision = board.decide(idle(idle=0, begun=1 << 396), 1.2 + CROSSING)
    assert decision.drop == (PieceRun(397, 3),)


def test_when_nothing_is_unclaimed_the_back_of_what_ends_last_is_fetched_by_us_too() -> None:
    board = a_pair(have=run_mask(0, 380))
    board.on_claims(OTHER, [(380, 20)], 2e5, 0.0)
    board.decide(idle(2e6), 0.1)
    assert board.decide(idle(2e6), 0.2).take == (), "it was claimed just now"
    doubled = board.decide(idle(2e6), 0.1 + SETTLED_AFTER).take
    assert len(doubled) == 1
    assert doubled[0].first + doubled[0].count == COUNT
    assert 4 <= doubled[0].count <= 18


def test_what_two_are_fetching_is_not_fetched_by_a_third() -> None:
    board = a_pair(have=run_mask(0, 380))
    board.join(THIRD, 0.0, is_helper=True)
    board.on_claims(OTHER, [(380, 20)], 2e5, 0.0)
    board.on_claims(THIRD, [(380, 20)], 2e5, 0.0)
    for tick in range(12):
        assert board.decide(idle(2e6), 0.1 + tick / 10).take == ()


def test_a_frozen_neighbour_s_claims_and_what_only_it_has_are_anybody_s() -> None:
    board = a_pair(have=run_mask(0, 350))
    board.join(THIRD, 0.0, is_helper=True)
    board.on_have(OTHER, run_mask(350, 30), 0.5)
    board.on_claims(OTHER, [(380, 10)], 1e5, 0.5)
    board.on_owing(OTHER, True, 0.5)
    board.on_heard(THIRD, 0.6 + SILENT_AFTER)
    assert board.unclaimed(0.6 + SILENT_AFTER) == run_mask(350, 50)
    board.on_heard(OTHER, 0.7 + SILENT_AFTER)
    assert board.unclaimed(0.7 + SILENT_AFTER) == run_mask(390, 10)


def test_where_everybody_is_silent_it_is_our_own_line() -> None:
    board = a_pair()
    board.on_have(OTHER, run_mask(0, 30), 0.5)
    board.on_owing(OTHER, True, 0.5)
    assert board.unclaimed(5.0) & run_mask(0, 30) == 0


def test_what_a_neighbour_has_and_is_slow_to_pass_on_is_fetched_by_us_in_the_end() -> None:
    board = a_pair()
    board.on_have(OTHER, all_bits(COUNT), 0.0)
    assert board.decide(idle(), 1.0).take == ()
    assert board.decide(idle(), 1.1 + LAGS_AFTER).take
    assert board.decide(BUSY, 1.2 + LAGS_AFTER).drop == ()


def test_a_helper_waits_for_requesters_that_do_not_take_what_it_brought() -> None:
    board = a_pair(is_helper=True)
    brought = 0
    for tick in range(200):
        decision = board.decide(idle(2e6), tick / 10)
        for run in decision.take:
            for piece in range(run.first, run.first + run.count):
                board.on_piece(piece, tick / 10)
                brought |= 1 << piece
    assert 4 * MIB <= brought.bit_count() * PIECE <= 9 * MIB
    board.on_have(OTHER, brought, 21.0)
    assert board.decide(idle(2e6), 21.0).take


def test_what_is_in_dispute_is_fetched_by_ourselves_whoever_has_it() -> None:
    board = a_pair(have=all_bits(COUNT))
    board.on_have(OTHER, all_bits(COUNT), 0.1)
    board.lose(0b110, must_fetch=True)
    assert board.decide(idle(), 0.2).take == (PieceRun(1, 2),)
    assert board.decide(idle(idle=0), 0.3).drop == ()


@pytest.mark.parametrize(
    ("runs", "what"),
    [
        ([(COUNT - 1, 2)], "where 400 are"),
        ([(-1, 2)], "where 400 are"),
        ([(0, 0)], "where 400 are"),
        ([(number * 10, 1) for number in range(MOST_RUNS + 1)], "17 runs"),
        ([(0, 300)], "300 pieces"),
    ],
)
def test_claims_that_no_honest_member_makes_are_refused(runs: list[tuple[int, int]], what: str) -> None:
    with pytest.raises(PeerError, match=what):
        a_pair().on_claims(OTHER, runs, 1e6, 0.1)


def test_who_claims_all_the_time_and_brings_nothing_is_out() -> None:
    board = a_pair()
    with pytest.raises(PeerError, match="brought nothing"):
        for number in range(100):
            board.on_claims(OTHER, [(number, 1)], 1e6, number / 5)


def test_who_talks_all_the_time_is_out_though_it_brings_something() -> None:
    board = a_pair()
    with pytest.raises(PeerError, match="times a second"):
        for number in range(300):
            board.on_claims(OTHER, [(number, 1)], 1e6, number / 1000)
            board.on_have(OTHER, 1 << number, number / 1000)


def test_members_that_know_nothing_of_each_other_begin_far_apart() -> None:
    begun = 0
    together = 0
    for number in range(8):
        mine = taken(a_board(me=bytes([number]) * 32).decide(idle(0.0), 0.0))
        together += (mine & begun).bit_count()
        begun |= mine
    assert together <= 4


def test_runs_are_as_many_as_there_are_and_no_more() -> None:
    bits = 0b1011_0111_0000_0001
    assert list(runs_of(bits)) == [PieceRun(0, 1), PieceRun(8, 3), PieceRun(12, 2), PieceRun(15, 1)]
    assert bits_of(runs_of(bits)) == bits
