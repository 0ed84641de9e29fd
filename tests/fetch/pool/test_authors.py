"""Records: what counts, what is in dispute, who is a liar, and what a liar's word was worth."""

from __future__ import annotations

import pytest

from shoal.fetch.pool.authors import MAX_AUTHORS, MAX_INTRODUCED, MAX_RECORDS, Authors, News

from .signing import INFO_HASH, ME, digest, forged, key, signed, true_bytes, truth, verify

PIECES = 100
ANNA, BERT, CARA, LIAR = key("anna"), key("bert"), key("cara"), key("liar")


@pytest.fixture
def authors() -> Authors:
    return Authors(INFO_HASH, ME, PIECES, verify)


def test_a_signed_record_says_what_a_piece_must_be(authors: Authors) -> None:
    record = signed(3, ANNA, truth(3))
    assert not authors.is_good(3, true_bytes(3))
    assert authors.on_record(record, ANNA) is News.NEW
    assert authors.is_good(3, memoryview(true_bytes(3)))
    assert not authors.is_good(3, b"another thing")
    assert (authors.digest_of(3), authors.author_of(3), authors.record_of(3)) == (truth(3), ANNA, record)
    assert (authors.digest_of(4), authors.author_of(4), authors.record_of(4)) == (None, None, None)


def test_a_record_told_again_changes_nothing(authors: Authors) -> None:
    record = signed(3, ANNA, truth(3))
    authors.on_record(record, ANNA)
    assert authors.on_record(record, BERT) is News.KNOWN


def test_two_authors_of_one_digest_agree_and_the_first_is_passed_on(authors: Authors) -> None:
    authors.on_record(signed(3, ANNA, truth(3)), ANNA)
    assert authors.on_record(signed(3, BERT, truth(3)), CARA) is News.KNOWN
    assert authors.author_of(3) == ANNA
    assert authors.vouchers_of(3) == (ANNA, BERT)


@pytest.mark.parametrize("piece", [PIECES, -1, 2**32 - 1])
def test_a_record_of_no_piece_is_the_tellers_fault_though_it_is_signed(authors: Authors, piece: int) -> None:
    assert authors.on_record(signed(piece, ANNA, truth(piece)), BERT) is News.FORGED


def test_a_wrong_signature_is_the_tellers_fault_and_leaves_no_trace(authors: Authors) -> None:
    assert authors.on_record(forged(3, ANNA, digest("false")), LIAR) is News.FORGED
    assert authors.on_record(forged(3, ME, digest("false")), LIAR) is News.FORGED
    assert authors.digest_of(3) is None
    assert authors.settle(3, truth(3)) == ()


def test_a_signature_for_another_pool_is_wrong(authors: Authors) -> None:
    elsewhere = Authors(b"another info hash...", ME, PIECES, verify)
    record = signed(3, ANNA, truth(3))
    assert authors.on_record(record, ANNA) is News.NEW
    assert elsewhere.on_record(record, ANNA) is News.FORGED


# ---- disputes


def test_two_records_that_differ_leave_the_piece_without_a_digest(authors: Authors) -> None:
    authors.on_record(signed(3, ANNA, truth(3)), ANNA)
    assert authors.on_record(signed(3, LIAR, digest("false")), BERT) is News.CONFLICT
    assert authors.disputed == 1 << 3
    assert (authors.digest_of(3), authors.record_of(3)) == (None, None)
    assert not authors.is_good(3, true_bytes(3))
    assert authors.vouchers_of(3) == ()


def test_the_origin_settles_a_dispute_and_names_who_lied(authors: Authors) -> None:
    authors.on_record(signed(3, LIAR, digest("false")), LIAR)
    authors.on_record(signed(3, ANNA, truth(3)), ANNA)
    assert authors.settle(3, truth(3)) == (LIAR,)
    assert authors.disputed == 0
    assert authors.is_good(3, true_bytes(3))
    assert authors.author_of(3) == ANNA


def test_the_origin_may_show_that_everybody_lied(authors: Authors) -> None:
    authors.on_record(signed(3, LIAR, digest("false")), LIAR)
    authors.on_record(signed(3, BERT, digest("false too")), BERT)
    assert authors.settle(3, truth(3)) == (LIAR, BERT)


def test_who_signed_two_digests_of_one_piece_lied_at_least_once(authors: Authors) -> None:
    authors.on_record(signed(3, LIAR, truth(3)), LIAR)
    assert authors.on_record(signed(3, LIAR, digest("false")), BERT) is News.CONFLICT
    assert authors.settle(3, truth(3)) == (LIAR,)
    assert authors.ban(LIAR) == 0
    assert authors.is_good(3, true_bytes(3))


def test_what_differs_from_the_origin_afterwards_is_a_lie_at_once(authors: Authors) -> None:
    authors.settle(3, truth(3))
    assert authors.on_record(signed(3, ANNA, truth(3)), ANNA) is News.KNOWN
    assert authors.on_record(forged(3, ANNA, digest("false")), LIAR) is News.FORGED
    assert authors.on_record(signed(3, LIAR, digest("false")), BERT) is News.LIE
    assert authors.disputed == 0


def test_only_pieces_of_the_file_are_settled(authors: Authors) -> None:
    with pytest.raises(ValueError, match="piece 100 of 100"):
        authors.settle(PIECES, truth(PIECES))


# ---- our own records


@pytest.mark.parametrize("is_settled_first", [True, False])
def test_our_own_record_is_the_one_that_is_passed_on(authors: Authors, is_settled_first: bool) -> None:
    authors.on_record(signed(3, ANNA, truth(3)), ANNA)
    if is_settled_first:
        authors.settle(3, truth(3))
    authors.on_record(signed(3, ME, truth(3)), ME)
    assert authors.settle(3, truth(3)) == ()
    assert authors.author_of(3) == ME
    assert authors.vouchers_of(3) == (ME, ANNA)


def test_our_own_record_against_anothers_is_settled_by_the_origin(authors: Authors) -> None:
    authors.on_record(signed(3, LIAR, digest("false")), LIAR)
    assert authors.on_record(signed(3, ME, truth(3)), ME) is News.CONFLICT
    assert authors.settle(3, truth(3)) == (LIAR,)
    assert authors.author_of(3) == ME


def test_we_are_never_a_liar_to_ourselves(authors: Authors) -> None:
    authors.on_record(signed(3, ME, digest("of an earlier life")), ANNA)
    assert authors.settle(3, truth(3)) == ()
    assert authors.on_record(signed(3, ME, digest("of an earlier life")), ANNA) is News.KNOWN
    with pytest.raises(ValueError, match="out for itself"):
        authors.ban(ME)


# ---- who is out


def test_what_a_liar_alone_vouched_for_is_lost(authors: Authors) -> None:
    for piece in (1, 5, 9):
        authors.on_record(signed(piece, LIAR, digest("false")), LIAR)
    authors.on_record(signed(5, ANNA, digest("false")), ANNA)
    assert authors.ban(LIAR) == 1 << 1 | 1 << 9
    assert authors.digest_of(1) is None
    assert authors.author_of(5) == ANNA
    assert authors.is_banned(LIAR)
    assert not authors.is_banned(ANNA)


def test_the_word_of_one_who_is_out_counts_for_nothing(authors: Authors) -> None:
    assert authors.ban(LIAR) == 0
    assert authors.on_record(signed(1, LIAR, truth(1)), ANNA) is News.BANNED_AUTHOR
    assert authors.digest_of(1) is None


def test_a_dispute_with_a_liar_is_over_when_it_is_out(authors: Authors) -> None:
    authors.on_record(signed(1, ANNA, truth(1)), ANNA)
    authors.on_record(signed(1, LIAR, digest("false")), LIAR)
    assert authors.ban(LIAR) == 0  # what is here of the piece is here by Anna's word
    assert authors.disputed == 0
    assert authors.author_of(1) == ANNA


def test_a_piece_believed_on_a_liars_word_is_lost_though_another_record_takes_its_place(
    authors: Authors,
) -> None:
    authors.on_record(signed(1, LIAR, digest("false")), LIAR)
    authors.on_record(signed(1, ANNA, truth(1)), ANNA)
    assert authors.ban(LIAR) == 1 << 1
    assert authors.disputed == 0
    assert authors.is_good(1, true_bytes(1))


def test_a_dispute_of_three_goes_on_between_two(authors: Authors) -> None:
    authors.on_record(signed(1, LIAR, digest("false")), LIAR)
    authors.on_record(signed(1, ANNA, truth(1)), ANNA)
    authors.on_record(signed(1, BERT, digest("false too")), BERT)
    authors.ban(LIAR)
    assert authors.disputed == 1 << 1
    assert authors.settle(1, truth(1)) == (BERT,)


def test_what_we_fetched_ourselves_is_never_lost(authors: Authors) -> None:
    authors.on_record(signed(1, LIAR, truth(1)), LIAR)
    authors.settle(1, truth(1))
    assert authors.ban(LIAR) == 0
    assert authors.is_good(1, true_bytes(1))
    assert authors.record_of(1) is None


# ---- floods


def test_a_piece_has_room_for_a_few_records_and_always_for_one_that_contradicts(authors: Authors) -> None:
    liars = [key(f"liar {number}") for number in range(MAX_RECORDS + 3)]
    news = [authors.on_record(signed(1, liar, digest("false")), liar) for liar in liars]
    assert news == [News.NEW] + [News.KNOWN] * (MAX_RECORDS - 1) + [News.FULL] * 3
    assert authors.on_record(signed(1, ANNA, truth(1)), ANNA) is News.CONFLICT
    assert authors.on_record(signed(1, BERT, truth(1)), BERT) is News.FULL
    assert authors.settle(1, truth(1)) == tuple(liars[:MAX_RECORDS])


def test_one_member_introduces_some_authors_and_no_more(authors: Authors) -> None:
    invented = [signed(1, key(f"invented {number}"), digest(f"{number}")) for number in range(200)]
    for piece in range(2, PIECES):
        for one in invented:
            authors.on_record(signed(piece, one.author, one.digest), LIAR)
    heard = {author for piece in range(PIECES) for author in (authors.author_of(piece),) if author}
    heard |= {author for piece in range(PIECES) for author in authors.settle(piece, truth(piece))}
    assert 0 < len(heard) <= MAX_INTRODUCED
    assert authors.on_record(signed(1, ANNA, truth(1)), ANNA) is News.KNOWN  # settled: there is always room
    late = Authors(INFO_HASH, ME, PIECES, verify)
    for one in range(MAX_INTRODUCED):
        late.on_record(signed(one, key(f"invented {one}"), digest("false")), LIAR)
    assert late.on_record(signed(99, BERT, truth(99)), LIAR) is News.FULL
    assert late.on_record(signed(99, BERT, truth(99)), CARA) is News.NEW


def test_authors_are_bounded_and_those_that_are_out_count(authors: Authors) -> None:
    for number in range(MAX_AUTHORS - 1):
        made_up = key(f"made up {number}")
        assert authors.on_record(signed(number % PIECES, made_up, truth(number % PIECES)), made_up) in (
            News.NEW,
            News.KNOWN,
            News.FULL,
        )
        authors.ban(made_up)
    assert authors.on_record(signed(5, ANNA, truth(5)), ANNA) is News.NEW
    assert authors.on_record(signed(6, BERT, truth(6)), BERT) is News.FULL
    assert authors.on_record(signed(6, ANNA, truth(6)), BERT) is News.NEW


def test_a_full_house_does_not_even_check_signatures() -> None:
    checked = 0

    def counting(*_: object) -> bool:
        nonlocal checked
        checked += 1
        return True

    authors = Authors(INFO_HASH, ME, PIECES, counting)
    for number in range(500):
        authors.on_record(signed(number % PIECES, key(f"{number}"), digest("false")), LIAR)
    assert checked == MAX_INTRODUCED


# ---- what is known beforehand

ALL_TRUE = [truth(piece) for piece in range(PIECES)]


def test_a_record_of_what_is_known_counts_and_one_of_anything_else_is_a_lie_at_once(authors: Authors) -> None:
    assert not authors.knows_all
    assert authors.know(ALL_TRUE) == ()
    assert authors.on_record(signed(3, LIAR, digest("false")), BERT) is News.LIE
    assert authors.on_record(signed(3, ANNA, truth(3)), ANNA) is News.NEW
    assert authors.on_record(signed(3, LIAR, digest("false")), BERT) is News.LIE
    assert (authors.disputed, authors.author_of(3)) == (0, ANNA)
    assert authors.is_good(3, true_bytes(3))


def test_nobody_is_blamed_for_a_false_record_that_it_did_not_sign(authors: Authors) -> None:
    authors.know(ALL_TRUE)
    assert authors.on_record(forged(3, ANNA, digest("false")), LIAR) is News.FORGED


def test_that_it_is_known_says_not_that_anybody_has_it(authors: Authors) -> None:
    authors.know(ALL_TRUE)
    assert (authors.digest_of(3), authors.record_of(3)) == (None, None)


def test_who_lied_before_it_was_known_is_named_then(authors: Authors) -> None:
    authors.on_record(signed(3, ANNA, truth(3)), ANNA)
    authors.on_record(signed(3, LIAR, digest("false")), LIAR)
    authors.on_record(signed(4, LIAR, digest("false")), LIAR)
    authors.on_record(signed(5, BERT, digest("false too")), CARA)
    assert authors.know(ALL_TRUE) == (LIAR, BERT)
    assert authors.ban(LIAR) == 1 << 4
    assert authors.disputed == 0
    assert authors.is_good(3, true_bytes(3))


def test_our_own_record_may_be_wrong_too(authors: Authors) -> None:
    authors.settle(3, digest("of another file"))
    authors.on_record(signed(3, ME, digest("of another file")), ME)
    assert authors.know(ALL_TRUE) == (ME,)
    assert authors.is_contradicted(3, digest("of another file"))


@pytest.mark.parametrize("is_told_by_others", [False, True])
def test_what_the_origin_misled_us_to_sign_is_taken_back_when_it_is_known(
    authors: Authors, is_told_by_others: bool
) -> None:
    false = digest("of another file")
    if is_told_by_others:
        authors.on_record(signed(3, LIAR, false), LIAR)
    authors.settle(3, false)
    authors.on_record(signed(3, ME, false), ME)
    assert set(authors.know(ALL_TRUE)) == ({ME, LIAR} if is_told_by_others else {ME})
    assert authors.on_record(signed(3, ANNA, truth(3)), ANNA) in (News.NEW, News.CONFLICT)
    assert authors.ban(LIAR) == (1 << 3 if is_told_by_others else 0)
    assert authors.on_record(signed(3, ME, false), BERT) is News.KNOWN
    assert (authors.disputed, authors.author_of(3)) == (0, ANNA)
    assert authors.is_good(3, true_bytes(3))


def test_what_is_settled_wrong_counts_no_more_when_it_is_known(authors: Authors) -> None:
    authors.settle(3, digest("of another file"))
    assert authors.know(ALL_TRUE) == ()
    assert authors.digest_of(3) is None
    assert authors.on_record(signed(3, LIAR, digest("of another file")), BERT) is News.LIE


def test_digests_of_another_number_of_pieces_are_those_of_another_file(authors: Authors) -> None:
    with pytest.raises(ValueError, match="99 digests of 100 pieces"):
        authors.know(ALL_TRUE[1:])
