"""The sink of one transfer: batches, and the word that it is enough."""

from __future__ import annotations

from shoal.fetch.judging import Asked
from shoal.fetch.receiver import BATCH, Receiver
from shoal.fetch.transfer import Flow

CHUNK = bytes(1000)


class Wish:
    """Takes everything until `enough` bytes are here."""

    def __init__(self, enough: int) -> None:
        self.enough = enough
        self.got = 0

    def keep(self, receiver: Receiver) -> Flow:
        self.got += receiver.take()[1]
        return Flow.END if self.got >= self.enough else Flow.MORE


def receiver_for(wish: Wish) -> Receiver:
    return Receiver(Asked("http://h/f", 0), lambda: None, lambda answer: None, wish.keep)


def test_what_comes_after_the_first_chunk_is_kept_in_batches() -> None:
    wish = Wish(10 * BATCH)
    receiver = receiver_for(wish)
    assert receiver.on_data(CHUNK) is Flow.MORE
    assert wish.got == len(CHUNK)
    assert receiver.on_data(CHUNK) is Flow.MORE
    assert wish.got == len(CHUNK)
    receiver.on_data(bytes(BATCH))
    assert wish.got == 2 * len(CHUNK) + BATCH


def test_a_slow_transfer_that_brought_enough_between_two_batches_is_ended_by_its_next_chunk() -> None:
    wish = Wish(2 * len(CHUNK))
    receiver = receiver_for(wish)
    receiver.on_data(CHUNK)
    assert receiver.on_data(CHUNK) is Flow.MORE
    receiver.flush()
    assert wish.got == wish.enough
    assert receiver.on_data(CHUNK) is Flow.END
