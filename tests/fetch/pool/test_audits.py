"""Audits: the first pieces of everybody, then some at random, and never much of the file."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.fetch.pool.audits import (
    FIRST_AUDITS,
    LAST_AUDITS,
    MOST_GROUNDLESS,
    MOST_TRIES,
    MOST_WAITING,
    PATIENCE,
    SHARE_WITH_DIGEST,
    Audit,
    Audits,
)
from shoal.formats.layout import BLOCK_LENGTH
from shoal.units import GIB, KIB, MIB

from .signing import key

ANNA, BERT, CARA = key("anna"), key("bert"), key("cara")


def audits_of(length: int = GIB, piece_length: int = MIB, seed: int = 1, **settings: float) -> Audits:
    requesters = int(settings.pop("requesters", 1))
    return Audits(length, piece_length, random.Random(seed), requesters=requesters, **settings)


def take(audits: Audits, now: float = 0.0) -> list[Audit]:
    """All that is to be compared now, each found to be right."""
    taken = []
    while (audit := audits.next(now)) is not None:
        audits.on_same(audit)
        taken.append(audit)
    return taken


def taken_of(audits: Audits, authors: list[bytes], piece_count: int) -> list[Audit]:
    """What is compared if the authors bring all pieces in turn."""
    taken = []
    for piece in range(piece_count):
        audits.on_piece(piece, authors[piece % len(authors)])
        taken += take(audits)
    return taken


def test_nothing_is_compared_before_anything_came() -> None:
    audits = audits_of()
    assert audits.next(0.0) is None
    assert audits.pending == 0


def test_the_first_four_pieces_of_every_author_are_compared() -> None:
    audits = audits_of(share=0.001)
    for piece in range(40):
        audits.on_piece(piece, (ANNA, BERT)[piece % 2])
    assert audits.pending == 2 * FIRST_AUDITS
    firsts = [audits.next(0.0) for _ in range(audits.pending)]
    assert sorted(audit.piece for audit in firsts if audit) == list(range(8))
    assert {audit.author for audit in firsts if audit} == {ANNA, BERT}


def test_the_number_of_blocks_compared_is_told() -> None:
    audits = audits_of(length=MIB + 100)
    audits.on_piece(0, ANNA)
    audits.on_piece(1, BERT)
    assert sorted(audit.length for audit in take(audits)) == [100, BLOCK_LENGTH]
    assert (audits.checked_count, audits.checked_bytes) == (2, BLOCK_LENGTH + 100)
    assert audits.pending == 0


@given(
    length=st.integers(1, 40 * MIB),
    piece_length=st.sampled_from([16 * KIB, 256 * KIB, MIB]),
    seed=st.integers(0, 99),
)
def test_an_audit_is_a_block_of_a_piece(length: int, piece_length: int, seed: int) -> None:
    audits = audits_of(length, piece_length, seed, share=0.5)
    for audit in taken_of(audits, [ANNA, BERT], -(-length // piece_length)):
        assert audit.begin % BLOCK_LENGTH == 0
        assert 0 < audit.length <= BLOCK_LENGTH
        offset = audit.piece * piece_length + audit.begin
        assert offset + audit.length <= min(length, (audit.piece + 1) * piece_length)
        is_cut = offset + audit.length in (length, (audit.piece + 1) * piece_length)
        assert audit.length == BLOCK_LENGTH or is_cut


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("requesters", [1, 3, 10])
def test_all_audits_of_a_group_stay_below_one_percent(seed: int, requesters: int) -> None:
    members = [key(f"{number}") for number in range(requesters + 3)]
    group = sum(
        audit.length
        for number in range(requesters)
        for audit in taken_of(
            audits_of(requesters=requesters, seed=100 * seed + number),
            [member for member in members if member != members[number]],
            1024,
        )
    )
    assert 0.002 * GIB < group < 0.01 * GIB


def test_a_large_group_still_compares_something_of_nearly_everybody() -> None:
    authors = [key(f"{number}") for number in range(100)]
    group: Counter[bytes] = Counter()
    for number in range(100):
        audits = audits_of(requesters=100, seed=number)
        group.update(audit.author for audit in taken_of(audits, authors, 1024))
    assert len(group) >= 95
    assert group.total() * BLOCK_LENGTH < 0.1 * GIB


def test_with_a_digest_of_the_whole_fewer_are_compared() -> None:
    usual, fewer = audits_of(), audits_of(share=SHARE_WITH_DIGEST)
    assert len(taken_of(fewer, [ANNA], 1024)) < len(taken_of(usual, [ANNA], 1024)) / 2


@pytest.mark.parametrize("requesters", [1, 2, 4])
def test_of_a_small_file_the_group_compares_four_blocks_of_each_author(requesters: int) -> None:
    authors = [ANNA, BERT, CARA]
    group = [
        taken_of(audits_of(4 * MIB, 64 * KIB, requesters=requesters), authors, 60) for _ in range(requesters)
    ]
    counts = Counter(audit.author for taken in group for audit in taken)
    assert counts == dict.fromkeys(authors, FIRST_AUDITS)


def test_later_pieces_are_drawn_in_no_order_that_can_be_known() -> None:
    drawn = {
        tuple(audit.piece for audit in taken_of(audits_of(seed=seed), [ANNA], 1024)[FIRST_AUDITS:])
        for seed in range(5)
    }
    assert len(drawn) == 5
    pieces = [piece for one in drawn for piece in one]
    for quarter in range(4):
        share = sum(quarter * 256 <= piece < (quarter + 1) * 256 for piece in pieces) / len(pieces)
        assert 0.15 < share < 0.35


@pytest.mark.parametrize("seed", range(20))
def test_an_author_that_lies_in_a_tenth_of_its_pieces_is_found(seed: int) -> None:
    audits = audits_of(seed=seed)
    found = None
    for piece in range(1024):
        author = (ANNA, BERT)[piece % 2]
        audits.on_piece(piece, author)
        while (audit := audits.next(0.0)) is not None:
            if audit.author == BERT and audit.piece % 20 == 1:
                found = audits.on_different(audit)
                audits.on_banned(BERT)
            else:
                audits.on_same(audit)
        if found:
            break
    assert found == BERT


# ---- what is lost, and who is out


def test_a_lost_piece_proves_nothing_and_another_is_compared_in_its_place() -> None:
    audits = audits_of()
    audits.on_piece(0, ANNA)
    audit = audits.next(0.0)
    assert audit is not None
    audits.on_lost(1 << 0)
    assert audits.on_different(audit) is None
    assert audits.pending == 0
    for piece in range(1, 6):
        audits.on_piece(piece, ANNA)
    assert audits.pending == FIRST_AUDITS


def test_nothing_more_is_compared_of_one_who_is_out() -> None:
    audits = audits_of()
    for piece in range(300):
        audits.on_piece(piece, (ANNA, BERT)[piece % 2])
    audits.on_banned(BERT)
    assert {audit.author for audit in take(audits)} == {ANNA}


# ---- an origin that does not answer


def test_an_audit_without_an_answer_is_made_again_thrice_in_all() -> None:
    audits = audits_of()
    audits.on_piece(0, ANNA)
    now = 0.0
    for _ in range(MOST_TRIES):
        audit = audits.next(now)
        assert audit is not None
        assert audits.pending == 1
        audits.on_failed(audit, now, wait=5.0)
        assert audits.next(now) is None
        now += 5.0
    assert audits.pending == 0
    assert audits.next(now) is None
    assert audits.checked_count == 0


def test_an_audit_nobody_reports_on_is_given_out_again() -> None:
    audits = audits_of()
    audits.on_piece(0, ANNA)
    first = audits.next(0.0)
    assert audits.next(PATIENCE - 0.1) is None
    assert audits.next(PATIENCE) == first
    assert audits.next(2 * PATIENCE) == first
    assert audits.next(3 * PATIENCE) is None
    assert audits.pending == 0


def test_where_the_origin_is_slow_a_bounded_number_waits() -> None:
    audits = audits_of(length=16 * GIB)
    for piece in range(16 * 1024):
        audits.on_piece(piece, ANNA)
    assert len(take(audits)) <= MOST_WAITING + FIRST_AUDITS


def test_the_end_waits_for_the_first_pieces_and_a_few_of_those_drawn() -> None:
    audits = audits_of(length=16 * GIB)
    for piece in range(4 * 1024):
        audits.on_piece(piece, ANNA)
    assert audits.pending == FIRST_AUDITS
    audits.on_whole()
    assert audits.pending == FIRST_AUDITS + LAST_AUDITS
    assert len(take(audits)) == FIRST_AUDITS + LAST_AUDITS
    assert audits.pending == 0


# ---- accusations


def quiet_audits(piece_count: int = 64) -> Audits:
    """Everything is Anna's, and nothing is waiting."""
    audits = audits_of(length=piece_count * MIB)
    for piece in range(piece_count):
        audits.on_piece(piece, ANNA)
    take(audits)
    return audits


def test_an_accused_block_is_compared_next() -> None:
    audits = quiet_audits()
    audits.on_piece(0, CARA)
    assert audits.accuse(BERT, ANNA, 7, 3 * BLOCK_LENGTH)
    audit = audits.next(0.0)
    assert audit == Audit(7, 3 * BLOCK_LENGTH, BLOCK_LENGTH, ANNA)
    assert audits.on_different(audit) == ANNA


def test_an_accused_piece_that_is_not_here_is_compared_when_it_comes() -> None:
    audits = audits_of()
    assert audits.accuse(BERT, ANNA, 700, 0)
    assert audits.next(0.0) is None
    for piece in range(690, 701):
        take(audits)
        audits.on_piece(piece, ANNA)
    assert audits.next(0.0) == Audit(700, 0, BLOCK_LENGTH, ANNA)


def test_the_same_accusation_by_many_is_one_audit() -> None:
    audits = quiet_audits()
    for accuser in range(20):
        assert audits.accuse(key(f"{accuser}"), ANNA, 7, 0)
    assert len(take(audits)) == 1


@pytest.mark.parametrize(
    ("piece", "begin"), [(64, 0), (-1, 0), (7, 1), (7, MIB), (7, -BLOCK_LENGTH), (2**32 - 1, 0)]
)
def test_an_accusation_of_no_block_is_not_heard(piece: int, begin: int) -> None:
    assert not quiet_audits().accuse(BERT, ANNA, piece, begin)


def test_a_flood_of_accusations_costs_the_accuser_its_word() -> None:
    audits = quiet_audits()
    heard = [audits.accuse(BERT, ANNA, piece, 0) for piece in range(64)]
    assert heard == [True] * MOST_GROUNDLESS + [False] * (64 - MOST_GROUNDLESS)
    assert len(take(audits)) == MOST_GROUNDLESS
    assert audits.accuse(CARA, ANNA, 60, 0)


def test_who_was_right_is_heard_again() -> None:
    audits = quiet_audits()
    for piece in range(MOST_GROUNDLESS):
        audits.accuse(BERT, ANNA, piece, 0)
    assert not audits.accuse(BERT, CARA, 0, 0)
    audits.on_banned(ANNA)
    assert audits.accuse(BERT, CARA, 0, 0)


def test_accusing_one_who_is_out_already_costs_nothing() -> None:
    audits = quiet_audits()
    audits.on_banned(ANNA)
    for piece in range(20):
        assert not audits.accuse(BERT, ANNA, piece, 0)
    assert audits.accuse(BERT, CARA, 0, 0)


def test_the_waiting_accusations_of_a_lost_piece_come_back_with_it() -> None:
    audits = quiet_audits()
    audits.accuse(BERT, ANNA, 7, 0)
    audits.on_lost(1 << 7)
    assert audits.pending == 0
    audits.on_piece(7, ANNA)
    assert audits.next(0.0) == Audit(7, 0, BLOCK_LENGTH, ANNA)
