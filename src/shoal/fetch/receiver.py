"""The sink of one transfer: a response that is judged once, and its body in handy batches.

What is to be done with a batch is `keep`'s to say, which can change while the body comes: the first response of a
download arrives before anybody knows which file its bytes belong into.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from shoal.errors import ShoalError
from shoal.fetch.facts import Facts
from shoal.fetch.judging import Answer, Asked, Verdict, Whole, WriteAt, judge
from shoal.fetch.transfer import Flow
from shoal.units import KIB, MIB

BATCH: Final = (
    512 * KIB
)  # bytes; libcurl brings 16 KiB at a time, and a call for each would cost a third of a core
MOST_EARLY: Final = 4 * MIB  # bytes kept in memory while it is not known where to write

Keep = Callable[["Receiver"], Flow]


class Receiver:
    """`keep` is called with at least one chunk in hand, and takes all with `take`."""

    def __init__(
        self,
        asked: Asked,
        known: Callable[[], Facts | None],
        on_accepted: Callable[[Answer], None],
        keep: Keep,
    ) -> None:
        """`known` is asked when the response is there, and `on_accepted` told if it fits."""
        self.asked = asked
        self.answer: Answer | None = None
        self.verdict: Verdict | None = None
        self.error: ShoalError | None = None  # how the transfer failed, if it did
        self.is_over = False
        self.count = 0  # bytes in hand
        self.received = 0
        self.judged = asyncio.Event()  # or over
        self.go_on: Callable[[], None] = _nothing
        self._known = known
        self._on_accepted = on_accepted
        self._keep = keep
        self._chunks: list[bytes] = []
        self._has_enough = False  # `keep` said so between two chunks; the next one hears it

    @property
    def is_accepted(self) -> bool:
        return isinstance(self.verdict, WriteAt | Whole)

    def on_response(self, answer: Answer, go_on: Callable[[], None]) -> bool:
        self.answer = answer
        self.go_on = go_on
        self.verdict = judge(self._known(), self.asked, answer, time.time())
        if self.is_accepted:
            self._on_accepted(answer)
        self.judged.set()
        return self.is_accepted

    def on_data(self, data: bytes) -> Flow:
        self._chunks.append(data)
        self.count += len(data)
        if self.count < BATCH and self.received and not self._has_enough:
            return Flow.MORE
        return self._keep(self)  # the first one at once: somebody measures how long it took

    def take(self) -> tuple[list[bytes], int]:
        """What is in hand, which is the caller's now."""
        chunks, count = self._chunks, self.count
        self._chunks, self.count = [], 0
        self.received += count
        return chunks, count

    def flush(self) -> None:
        if self.count:
            self._has_enough = self._keep(self) is Flow.END

    def hand_to(self, keep: Keep) -> None:
        """From now on batches go there; the first is what is in hand."""
        self._keep = keep
        flow = keep(self) if self.count else Flow.MORE
        self._has_enough = flow is Flow.END
        if flow is not Flow.HOLD:
            self.go_on()

    def on_over(self, error: ShoalError | None) -> None:
        self.error = error
        self.is_over = True
        self.judged.set()


def trimmed(chunks: list[bytes], count: int) -> list[bytes]:
    """The first `count` bytes of them."""
    kept = []
    for chunk in chunks:
        if count <= 0:
            break
        kept.append(chunk[:count])
        count -= len(chunk)
    return kept


def without_first(chunks: list[bytes], count: int) -> list[bytes]:
    """All but the first `count` bytes of them."""
    kept = []
    for chunk in chunks:
        if count < len(chunk):
            kept.append(chunk[max(count, 0) :])
        count -= len(chunk)
    return kept


def keep_in(body: bytearray, most: int) -> Keep:
    """Into memory, up to so much."""

    def keep(receiver: Receiver) -> Flow:
        chunks, _ = receiver.take()
        body.extend(b"".join(chunks))
        return Flow.MORE if len(body) <= most else Flow.END

    return keep


def keep_early(receiver: Receiver) -> Flow:
    """Nobody knows yet: it stays in hand, and when that is much, the transfer is held."""
    return Flow.HOLD if receiver.count >= MOST_EARLY else Flow.MORE


def _nothing() -> None:
    """No response has come yet."""
