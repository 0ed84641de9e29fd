"""Whose turn it is: equal parts, nobody starves, and who goes first pays for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.net.turns import Rank, Share, Turns

CREDIT = 1000
PORTION = 100


def never(most: int) -> int:
    raise AssertionError("these tests move nothing")


def make_shares(turns: Turns, count: int) -> list[Share]:
    shares = [Share(never) for _ in range(count)]
    for share in shares:
        turns.join(share, Rank.FRESH)
    return shares


def serve(turns: Turns, size: int = PORTION, rank: Rank = Rank.FRESH) -> Share:
    """The next one gets `size` bytes and joins anew."""
    share = turns.next()
    assert share is not None
    turns.begin(share)
    share.given += size
    turns.join(share, rank)
    return share


@given(st.integers(1, 12), st.lists(st.integers(1, PORTION), min_size=1, max_size=200))
def test_those_who_always_wait_never_differ_by_more_than_a_portion(count: int, sizes: list[int]) -> None:
    turns = Turns(CREDIT)
    shares = make_shares(turns, count)
    for size in sizes:
        serve(turns, size)
        given_bytes = [share.given for share in shares]
        assert max(given_bytes) - min(given_bytes) <= PORTION


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["join", "leave", "serve"]), st.sampled_from(Rank)),
        max_size=200,
    )
)
def test_while_anybody_waits_there_is_a_next_one_and_only_then(steps: list[tuple[int, str, Rank]]) -> None:
    turns = Turns(CREDIT)
    shares = [Share(never) for _ in range(5)]
    waiting: set[Share] = set()
    for number, what, rank in steps:
        share = shares[number]
        if what == "join":
            turns.join(share, rank)
            waiting.add(share)
        elif what == "leave":
            turns.leave(share)
            waiting.discard(share)
        elif waiting:
            chosen = turns.next()
            assert chosen in waiting
            turns.begin(chosen)
            chosen.given += PORTION
            waiting.remove(chosen)
        assert bool(turns) == bool(waiting)
        assert (turns.next() is None) == (not waiting)
        assert {share for share in shares if share in turns} == waiting


def test_one_that_comes_back_after_a_pause_has_saved_nothing_up() -> None:
    turns = Turns(CREDIT)
    idler, worker = make_shares(turns, 2)
    turns.leave(idler)
    for _ in range(50):
        assert serve(turns) is worker
    turns.join(idler, Rank.FRESH)
    served = [serve(turns) for _ in range(20)]
    assert 9 <= served.count(idler) <= 11


def test_a_message_goes_before_data_and_the_rest_of_a_block_before_the_next() -> None:
    turns = Turns(CREDIT)
    talker, midway, fresh = make_shares(turns, 3)
    turns.join(midway, Rank.MIDWAY)
    turns.join(talker, Rank.TALKING)
    order = []
    while (share := turns.next()) is not None:
        turns.begin(share)
        order.append(share)
    assert order == [talker, midway, fresh]


@pytest.mark.parametrize("rank", [Rank.TALKING, Rank.MIDWAY])
def test_one_that_goes_first_all_the_time_gets_no_more_than_its_part(rank: Rank) -> None:
    turns = Turns(CREDIT)
    greedy, modest = make_shares(turns, 2)
    turns.join(greedy, rank)
    for _ in range(200):
        share = turns.next()
        assert share is not None
        turns.begin(share)
        share.given += PORTION
        turns.join(share, rank if share is greedy else Rank.FRESH)
    assert 0 <= greedy.given - modest.given <= CREDIT + PORTION
