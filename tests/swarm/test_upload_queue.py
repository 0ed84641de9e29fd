"""The requests of one peer: whatever is asked, taken back and answered, they are what a plain list would hold."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shoal.protocol.peer.messages import Request
from shoal.swarm.upload_queue import CHOICE, UploadQueue

PIECES = st.integers(0, 5)
BLOCKS = st.integers(0, 3)
LENGTH = 10


def block(piece: int, number: int = 0) -> Request:
    return piece, number * LENGTH, LENGTH


class QueueAgainstAList(RuleBasedStateMachine):
    """The model is a list in the order of arrival, the pieces in it, and the one that is being answered."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = UploadQueue()
        self.model: list[Request] = []
        self.pieces: list[int] = []
        self.current: int | None = None

    def settle(self) -> None:
        """A piece of which nothing is asked for any more has lost its place."""
        self.pieces = [piece for piece in self.pieces if self.of(piece)]
        if self.current not in self.pieces:
            self.current = None

    def of(self, piece: int) -> list[Request]:
        return [request for request in self.model if request[0] == piece]

    @rule(piece=PIECES, number=BLOCKS)
    def ask(self, piece: int, number: int) -> None:
        self.queue.append(block(piece, number))
        self.model.append(block(piece, number))
        if piece not in self.pieces:
            self.pieces.append(piece)

    @rule(piece=PIECES, number=BLOCKS)
    def take_back(self, piece: int, number: int) -> None:
        request = block(piece, number)
        assert self.queue.remove(request) == (request in self.model)
        if request in self.model:
            self.model.remove(request)
        self.settle()

    @rule(dropped=st.sets(PIECES))
    def drop(self, dropped: set[int]) -> None:
        expected = [request for piece in self.pieces if piece in dropped for request in self.of(piece)]
        assert self.queue.drop(lambda request: request[0] in dropped) == expected
        self.model = [request for request in self.model if request[0] not in dropped]
        self.settle()

    @precondition(lambda self: self.model)
    @rule(order=st.permutations(range(6)) | st.none())
    def choose(self, order: list[int] | None) -> None:
        if self.current is None:
            pieces = self.pieces
            self.current = pieces[0] if order is None else min(pieces, key=order.__getitem__)
        chosen = self.queue.next(None if order is None else lambda piece: (False, order[piece]))
        assert chosen == self.of(self.current)[0]

    @rule(piece=PIECES, start=BLOCKS, stop=st.integers(0, 4), limit=st.integers(0, 50))
    def answer(self, piece: int, start: int, stop: int, limit: int) -> None:
        expected: list[Request] = []
        for request in self.of(piece):
            _, begin, length = request
            if limit <= 0 or begin < start * LENGTH or begin + length > stop * LENGTH:
                break
            expected.append(request)
            limit -= length
        answered = self.queue.take_run(piece, start * LENGTH, stop * LENGTH, limit + len(expected) * LENGTH)
        assert answered == expected
        for request in expected:
            self.model.remove(request)
        self.settle()

    @invariant()
    def holds_what_the_list_holds(self) -> None:
        assert len(self.queue) == len(self.model)
        assert bool(self.queue) == bool(self.model)
        assert list(dict.fromkeys(piece for piece, _, _ in self.queue)) == self.pieces
        assert list(self.queue) == [request for piece in self.pieces for request in self.of(piece)]


test_a_queue_holds_what_a_list_would_hold = QueueAgainstAList.TestCase


def test_the_lowest_rank_is_answered_first_and_finished() -> None:
    queue = UploadQueue()
    for piece in (0, 1, 2):
        queue.append(block(piece))
        queue.append(block(piece, 1))
    ranks = {0: (True, 1), 1: (True, 0), 2: (True, 2)}
    assert queue.next(ranks.__getitem__) == block(1)
    queue.take_run(1, 0, LENGTH, 1)
    ranks[2] = (False, 0)
    assert queue.next(ranks.__getitem__) == block(1, 1)
    queue.take_run(1, 0, 2 * LENGTH, 1)
    assert queue.next(ranks.__getitem__) == block(2)


@pytest.mark.parametrize("piece_count", [CHOICE, 50 * CHOICE])
def test_no_more_than_a_few_are_ranked_however_many_are_asked_for(piece_count: int) -> None:
    queue, ranked = UploadQueue(), 0
    for piece in range(piece_count):
        queue.append(block(piece))

    def rank(piece: int) -> tuple[bool, int]:
        nonlocal ranked
        ranked += 1
        return True, -piece

    assert queue.next(rank) == block(CHOICE - 1)
    assert ranked == CHOICE
