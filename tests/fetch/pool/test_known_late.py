"""Digests of all pieces that come when some pieces are here already: what is wrong of those is nowhere any more."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.disk.part_file import PartFile
from shoal.fetch.group.signing import MemberKey, new_member_key, verify
from shoal.fetch.plan import Plan
from shoal.fetch.pool.audits import Audit, Audits
from shoal.fetch.pool.authors import Authors, News
from shoal.fetch.pool.board import Board
from shoal.fetch.pool.pool import Pool
from shoal.protocol.group.messages import PieceRecord

from .room import made_up
from .signing import INFO_HASH

PIECES = 4
RIGHT, FALSE = [
    [hashlib.sha256(kind + bytes([piece])).digest() for piece in range(PIECES)]
    for kind in (b"right", b"false")
]


class Owner:
    """Whose sources gave everything."""

    is_on_mirrors = False

    def __init__(self) -> None:
        self.wrong: list[int] = []
        self.has_mirrors = False

    def is_of_origin(self, piece: int) -> bool:
        return not self.has_mirrors

    def on_wrong(self, piece: int) -> None:
        self.wrong.append(piece)

    def wake(self) -> None:
        """Nothing waits."""

    def on_lost(self) -> None:
        """Nothing is checked besides."""

    def note(self, text: str) -> None:
        """Nobody reads."""

    def on_failure(self, error: BaseException) -> None:
        raise error

    def can_audit(self) -> bool:
        return False

    def audit(self, audit: Audit) -> None:
        raise AssertionError(audit)


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def pool(tmp_path: Path, owner: Owner) -> Iterator[Pool]:
    plan = Plan(PIECES * Plan(1).piece_length)
    part = PartFile.open(tmp_path, "file.bin", b"identity", plan.length, piece_length=plan.piece_length)
    me = new_member_key()
    board = Board(
        PIECES, plan.piece_length, plan.length, me.public + bytes(20),
        have=0, is_helper=False, now=0.0, salt=INFO_HASH,
    )  # fmt: skip
    authors = Authors(INFO_HASH, me.public, PIECES, verify)
    audits = Audits(plan.length, plan.piece_length, random.Random(1))
    pool = Pool(
        INFO_HASH, part, plan, board, authors, audits, me,
        wanted_bits=0, is_helper=lambda program: False, clock=lambda: 0.0,
    )  # fmt: skip
    pool.owner = owner
    part.write(0, made_up(plan.length))
    yield pool
    pool.store.close()
    part.close()


def tell(pool: Pool, member: MemberKey, piece: int, digest: bytes) -> News:
    record = PieceRecord(piece, member.public, digest, member.sign(INFO_HASH, piece, digest))
    news = pool.authors.on_record(record, member.public)
    if news is News.NEW:
        pool.holdings.vouch(piece)
    return news


def is_asked_for(pool: Pool, piece: int) -> bool:
    return not pool._backing.lacking(1 << piece)


def test_who_says_what_is_right_of_a_piece_that_the_origin_gave_wrong_is_believed(
    pool: Pool, owner: Owner
) -> None:
    pool.on_pieces([(0, FALSE[0]), (1, RIGHT[1])])
    pool.know(RIGHT)
    assert owner.wrong == [0]
    assert pool.holdings.told_bits == 1 << 1
    assert not is_asked_for(pool, 0)
    assert not pool.authors.is_good(0, b"false\0")
    assert tell(pool, new_member_key(), 0, RIGHT[0]) is News.NEW
    assert is_asked_for(pool, 0)
    assert pool.authors.is_good(0, b"right\0")


def test_a_liar_that_signed_what_the_origin_gave_wrong_is_out_and_the_piece_is_anybodys(
    pool: Pool, owner: Owner
) -> None:
    liar = new_member_key()
    tell(pool, liar, 0, FALSE[0])
    pool.on_pieces([(0, FALSE[0])])
    pool.know(RIGHT)
    assert pool.authors.is_banned(liar.public)
    assert owner.wrong == [0]
    assert pool.store.write_own(0, [bytes(pool.content.layout.piece_length)], [0]) == [0]
    assert tell(pool, new_member_key(), 0, RIGHT[0]) is News.NEW
    assert is_asked_for(pool, 0)


def test_a_piece_of_an_earlier_run_that_is_wrong_is_unproved_no_longer_and_asked_for(
    pool: Pool, owner: Owner
) -> None:
    pool._plan.on_piece(0)
    pool.store._part.on_piece(0, is_first_hand=True)
    pool.holdings.unproved_bits = 1 << 0
    pool.know(RIGHT)
    tell(pool, new_member_key(), 0, RIGHT[0])
    pool.on_pieces([(0, FALSE[0])])
    assert owner.wrong == [0]
    assert not pool.holdings.is_unproved
    assert is_asked_for(pool, 0)


def test_what_mirrors_gave_before_is_compared_when_it_is_known(pool: Pool, owner: Owner) -> None:
    owner.has_mirrors = True
    pool.on_pieces([(0, FALSE[0]), (1, RIGHT[1])])
    assert (pool.holdings.private_bits, pool.holdings.told_bits) == (0b11, 0)
    pool.know(RIGHT)
    assert owner.wrong == [0]
    assert (pool.holdings.private_bits, pool.holdings.told_bits) == (0, 0b10)
    assert pool.authors.author_of(1) == pool.company._me
    tell(pool, new_member_key(), 0, RIGHT[0])
    assert is_asked_for(pool, 0)
