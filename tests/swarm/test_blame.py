"""Who sent the bad block: no honest peer is ever named, and no liar whose block spoiled a piece escapes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.swarm.blame import DIGEST_LENGTH, Blame, Verdict, digest_blocks

BLOCKS = 4
GOOD = [b"good-%d" % block for block in range(BLOCKS)]
EVERY_BLOCK = (1 << BLOCKS) - 1


def spoiled(*blocks: int, how: bytes = b"bad") -> list[bytes]:
    """The digests of a piece whose named blocks are wrong."""
    return [how + b"-%d" % block if block in blocks else GOOD[block] for block in range(BLOCKS)]


def test_the_only_sender_of_a_bad_piece_is_guilty_at_once() -> None:
    blame = Blame[str]()
    assert blame.on_bad_piece(7, {"liar": EVERY_BLOCK}, spoiled(2)) == Verdict(frozenset({"liar"}))
    assert not blame.is_suspect(7)
    assert blame.suspect_pieces == 0


def test_with_several_senders_nobody_is_named_before_the_piece_is_right() -> None:
    blame = Blame[str]()
    assert blame.on_bad_piece(7, {"a": 0b0011, "b": 0b1100}, spoiled(2)) == Verdict()
    assert blame.is_suspect(7)
    assert blame.suspect_pieces == 1 << 7


def test_the_right_piece_names_the_liar_and_clears_the_other() -> None:
    blame = Blame[str]()
    blame.on_bad_piece(7, {"a": 0b0011, "b": 0b1100}, spoiled(2))
    assert blame.on_good_piece(7, GOOD) == Verdict(frozenset({"b"}), frozenset({"a"}))
    assert blame.suspect_pieces == 0
    assert blame.on_good_piece(7, GOOD) == Verdict()


def test_two_liars_in_one_piece_are_both_named() -> None:
    blame = Blame[str]()
    blame.on_bad_piece(0, {"a": 0b0001, "b": 0b0110, "c": 0b1000}, spoiled(0, 2))
    assert blame.on_good_piece(0, GOOD) == Verdict(frozenset({"a", "b"}), frozenset({"c"}))


def test_a_peer_that_lies_only_the_first_time_is_named() -> None:
    blame = Blame[str]()
    blame.on_bad_piece(0, {"a": 0b0011, "b": 0b1100}, spoiled(0))
    blame.on_bad_piece(0, {"a": 0b0011, "c": 0b1100}, spoiled(3))
    assert blame.on_good_piece(0, GOOD) == Verdict(frozenset({"a", "c"}), frozenset({"b"}))


def test_a_liar_alone_with_a_suspect_piece_is_named_and_the_older_evidence_stays() -> None:
    blame = Blame[str]()
    blame.on_bad_piece(0, {"a": 0b0011, "b": 0b1100}, spoiled(0))
    assert blame.on_bad_piece(0, {"c": EVERY_BLOCK}, spoiled(1)).guilty == {"c"}
    assert blame.is_suspect(0)
    assert blame.on_good_piece(0, GOOD).guilty == {"a"}


def test_a_block_from_nobody_known_leaves_a_doubt() -> None:
    blame = Blame[str]()
    assert blame.on_bad_piece(0, {"a": 0b0111}, spoiled(3)) == Verdict()
    assert blame.on_good_piece(0, GOOD) == Verdict(cleared=frozenset({"a"}))


def test_a_liar_that_left_meanwhile_is_still_named_by_its_address() -> None:
    blame = Blame[tuple[str, int]]()
    gone, here = ("192.0.2.1", 6881), ("192.0.2.2", 6881)
    blame.on_bad_piece(0, {gone: 0b0001, here: 0b1110}, spoiled(0))
    assert blame.choose_source(0, [here]) == here
    assert blame.on_good_piece(0, GOOD).guilty == {gone}


def test_pieces_are_judged_apart() -> None:
    blame = Blame[str]()
    blame.on_bad_piece(1, {"a": 0b0011, "b": 0b1100}, spoiled(0))
    blame.on_bad_piece(2, {"a": 0b0011, "b": 0b1100}, spoiled(3))
    assert blame.on_good_piece(2, GOOD).guilty == {"b"}
    assert blame.suspect_pieces == 1 << 1
    assert blame.on_good_piece(1, GOOD).guilty == {"a"}


@pytest.mark.parametrize("senders", [{"a": 0b0011, "b": 0b0110}, {"a": 0b0011, "b": 0b10000}])
def test_a_block_with_two_senders_or_past_the_end_is_a_mistake_of_the_caller(senders: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"piece 5: blocks 0b.* of b overlap"):
        Blame[str]().on_bad_piece(5, senders, GOOD)


class TestSource:
    """A suspect piece is asked of one peer at a time."""

    def test_a_peer_without_part_in_the_failure_comes_first(self) -> None:
        blame = suspect_piece()
        assert blame.choose_source(0, ["a", "b", "fresh"]) == "fresh"

    def test_among_the_senders_the_one_with_fewest_blocks_comes_first(self) -> None:
        assert suspect_piece().choose_source(0, ["a", "b"]) == "b"

    def test_the_choice_holds_while_the_peer_is_there(self) -> None:
        blame = suspect_piece()
        assert blame.choose_source(0, ["b"]) == "b"
        assert blame.choose_source(0, ["fresh", "b"]) == "b"

    def test_another_peer_takes_over_when_the_source_is_gone(self) -> None:
        blame = suspect_piece()
        assert blame.choose_source(0, ["fresh", "other"]) == "fresh"
        assert blame.choose_source(0, ["other"]) == "other"
        assert blame.choose_source(0, []) is None

    def test_a_source_that_did_not_finish_waits_for_the_others(self) -> None:
        blame = suspect_piece()
        assert blame.choose_source(0, ["fresh"]) == "fresh"
        assert blame.choose_source(0, []) is None
        assert blame.choose_source(0, ["fresh", "other"]) == "other"

    def test_a_source_whose_piece_failed_again_is_not_asked_next(self) -> None:
        blame = suspect_piece()
        assert blame.choose_source(0, ["fresh", "other"]) == "fresh"
        blame.on_bad_piece(0, {"fresh": EVERY_BLOCK}, spoiled(1))
        assert blame.choose_source(0, ["fresh", "other"]) == "other"


def suspect_piece() -> Blame[str]:
    blame = Blame[str]()
    blame.on_bad_piece(0, {"a": 0b0111, "b": 0b1000}, spoiled(0))
    return blame


class TestBound:
    """Evidence is bounded; the oldest goes first."""

    def test_the_oldest_piece_is_forgotten(self) -> None:
        blame = Blame[str](max_kept_digests=2 * BLOCKS)
        for piece in range(3):
            blame.on_bad_piece(piece, {"a": 0b0011, "b": 0b1100}, spoiled(0))
        assert blame.suspect_pieces == 0b110
        assert blame.on_good_piece(0, GOOD) == Verdict()
        assert blame.on_good_piece(1, GOOD).guilty == {"a"}
        assert blame.on_good_piece(2, GOOD).guilty == {"a"}

    def test_the_oldest_version_of_the_oldest_piece_goes_before_the_piece(self) -> None:
        blame = Blame[str](max_kept_digests=2 * BLOCKS)
        for liar in ("first", "second", "third"):
            blame.on_bad_piece(0, {liar: 0b0001, "b": 0b1110}, spoiled(0))
        assert blame.on_good_piece(0, GOOD).guilty == {"second", "third"}

    def test_one_version_is_kept_even_when_it_alone_passes_the_bound(self) -> None:
        blame = Blame[str](max_kept_digests=1)
        blame.on_bad_piece(0, {"a": 0b0011, "b": 0b1100}, spoiled(0))
        assert blame.on_good_piece(0, GOOD).guilty == {"a"}

    def test_room_is_free_again_after_a_verdict(self) -> None:
        blame = Blame[str](max_kept_digests=2 * BLOCKS)
        for piece in range(50):
            blame.on_bad_piece(piece, {"a": 0b0011, "b": 0b1100}, spoiled(0))
            assert blame.on_good_piece(piece, GOOD).guilty == {"a"}


def test_each_block_has_its_own_digest_and_the_last_may_be_short() -> None:
    data = memoryview(b"aaaabbbbaaaacc")
    first, second, third, last = digest_blocks(data, 4)
    assert first == third != second
    assert last == digest_blocks(memoryview(b"cc"), 4)[0]
    assert len(first) == DIGEST_LENGTH


@given(
    seed=st.integers(0, 2**32),
    liar_count=st.integers(0, 5),
    honest_count=st.integers(1, 5),
    block_count=st.integers(1, 40),
    share=st.floats(0.01, 1.0),
)
def test_every_liar_that_spoiled_a_piece_is_named_and_nobody_honest_ever(
    seed: int, liar_count: int, honest_count: int, block_count: int, share: float
) -> None:
    """Blocks come from anybody at first, then from one source at a time that may leave halfway."""
    rng = random.Random(seed)
    good = [rng.randbytes(4) for _ in range(block_count)]
    liars = [f"liar {number}" for number in range(liar_count)]
    here = liars + [f"honest {number}" for number in range(honest_count)]
    blame = Blame[str]()
    named: set[str] = set()
    spoilers: set[str] = set()

    for _ in range(1000):
        sender_of = choose_senders(blame, here, block_count, rng)
        digests = list(good)
        wrong_senders = set()
        for block, sender in enumerate(sender_of):
            if sender in liars and rng.random() < share:
                digests[block] = b"wrong" + rng.randbytes(4)
                wrong_senders.add(sender)
        if not wrong_senders:
            named |= blame.on_good_piece(0, digests).guilty
            break
        spoilers |= wrong_senders
        senders = {peer: bits_of(sender_of, peer) for peer in set(sender_of)}
        guilty = blame.on_bad_piece(0, senders, digests).guilty
        named |= guilty
        here = [peer for peer in here if peer not in guilty]
    else:
        pytest.fail("the piece never came out right")

    assert named == spoilers


def choose_senders(blame: Blame[str], here: list[str], block_count: int, rng: random.Random) -> list[str]:
    if not blame.is_suspect(0):
        return [rng.choice(here) for _ in range(block_count)]
    shuffled = rng.sample(here, len(here))
    first = blame.choose_source(0, shuffled)
    assert first is not None
    others = [peer for peer in shuffled if peer != first]
    if not others or rng.random() < 0.5:
        return [first] * block_count
    second = blame.choose_source(0, others)  # the first source stalls halfway
    assert second is not None and second != first
    return [first if block < block_count // 2 else second for block in range(block_count)]


def bits_of(sender_of: list[str], peer: str) -> int:
    return sum(1 << block for block, sender in enumerate(sender_of) if sender == peer)
