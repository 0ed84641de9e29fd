"""Whether what members keep is left to them, or fetched from the origin as well."""

from __future__ import annotations

import pytest

from shoal.fetch.pool.lagging import GOOD
from shoal.fetch.pool.member import Member
from shoal.fetch.pool.others import Others
from shoal.fetch.pool.runs import PieceRun
from shoal.fetch.pool.stock import BEGINS_WITHIN, STILL_AFTER, Stock
from shoal.formats.bitfield import all_bits, without
from shoal.units import KIB

PIECE = 256 * KIB
COUNT = 400
EVERYTHING = all_bits(COUNT)
KEEPER, REQUESTER, HELPER = b"k" * 32, b"r" * 32, b"h" * 32


def company(now: float = 0.0) -> Others:
    """A helper that keeps everything, a requester and another helper."""
    others = Others(now)
    others[KEEPER] = Member(KEEPER, now, True, 0)
    others[KEEPER].on_have(EVERYTHING, PIECE, now)
    others[REQUESTER] = Member(REQUESTER, now, False, 0)
    others[HELPER] = Member(HELPER, now, True, 0)
    return others


def taken_at(rate: float, others: Others, *, ours: float, seconds: float = 4.0) -> Stock:
    """What we think of it when a requester took so many bytes a second of it for a while."""
    stock = Stock(PIECE, 0.0)
    for tick in range(1, round(seconds * 20) + 1):
        now = tick / 20
        stock.look(others, 0, ours, now)
        count = min(COUNT, int(now * rate / PIECE)) - others[REQUESTER].has.bit_count()
        if count > 0:
            bits = all_bits(others[REQUESTER].has.bit_count() + count)
            others[REQUESTER].has = bits
            stock.on_taken(bits, now)
    return stock


def test_what_a_helper_tells_without_having_claimed_it_is_kept_until_somebody_gets_it() -> None:
    others = company()
    assert others.stock == EVERYTHING
    others[REQUESTER].on_have(0b1, PIECE, 0.1)  # what it tells first may be from another run
    others[REQUESTER].on_have(0b10, PIECE, 0.2)
    others[HELPER].on_claims((PieceRun(2, 1),), 1e6, PIECE, 0.3)
    others[HELPER].on_have(0b100, PIECE, 0.4)
    assert others.stock == EVERYTHING ^ 0b110
    del others[HELPER]
    assert others.stock == EVERYTHING ^ 0b10


def test_whoever_keeps_it_has_time_to_begin() -> None:
    assert not taken_at(0.0, company(), ours=1e6, seconds=BEGINS_WITHIN * 0.9).is_slow
    assert taken_at(0.0, company(), ours=1e6, seconds=BEGINS_WITHIN * 1.1).is_slow


@pytest.mark.parametrize("rate", [1e6, 5e6])
def test_it_is_left_alone_while_it_comes_as_fast_as_all_would_bring_it(rate: float) -> None:
    others = company()
    others[HELPER].told_rate = rate
    assert not taken_at(2.2 * rate, others, ours=rate).is_slow
    assert taken_at(1.8 * rate, others, ours=rate).is_slow


def test_the_origin_is_not_asked_just_to_find_out_how_fast_it_is() -> None:
    assert not taken_at(GOOD * 1.1, company(), ours=0.0, seconds=2.5).is_slow
    assert taken_at(GOOD / 10, company(), ours=0.0).is_slow


def test_when_nothing_more_of_it_comes_whoever_keeps_it_was_fast_for_nothing() -> None:
    others = company()
    stock = taken_at(10e6, others, ours=1e6)
    stock.look(others, 0, 1e6, 4.0 + STILL_AFTER * 0.9)
    assert not stock.is_slow
    stock.look(others, 0, 1e6, 4.1 + STILL_AFTER)
    assert stock.is_slow
    assert stock.beside(0) == others.stock


def test_where_a_requester_fetches_of_it_others_do_at_once() -> None:
    others, stock = company(), Stock(PIECE, 0.0)
    others[HELPER].on_claims((PieceRun(0, 10),), 1e6, PIECE, 0.0)
    stock.look(others, 0, 1e6, 0.1)
    assert not stock.is_slow
    others[REQUESTER].on_claims((PieceRun(0, 10),), 1e6, PIECE, 0.1)
    stock.look(others, 0, 1e6, 0.2)
    assert stock.is_slow
    assert stock.beside(others.fetched(0.2)) == EVERYTHING ^ all_bits(10)


def test_what_every_requester_has_is_wanted_by_none() -> None:
    members = Others(0.0)
    for name, is_helper, has in ((b"a", False, 0b0111), (b"b", False, 0b1110), (b"c", True, 0b0001)):
        members[name] = Member(name, 0.0, is_helper, has)
    assert without(0b11111, members.wanted_by_none) == 0b11001
