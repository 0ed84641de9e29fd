"""Whose turn is it: links that share a limit are served so that each gets as much as any other.

Start-time fair queueing: each share counts the bytes it was given, and whoever was given least is next; one that
comes back after a pause starts level with the others, so nobody saves up while idle. Two exceptions, in this order:
short messages (requests, haves) go before data, for a download must not wait for an upload; and a link that is amid
what it was given goes on before another begins. Both are paid for by the same count, and end when a share is ahead
by more than a credit: a peer that makes us talk without end gets no more than its part.

Pure: no clock, no socket. Always true: while anybody waits there is a next one.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class Rank(enum.IntEnum):
    TALKING = 0  # short messages wait
    MIDWAY = 1  # part of what it was given is out
    FRESH = 2


class Share:
    """One direction of one link. `move(most)` moves at most so many bytes, and tells how many it moved."""

    __slots__ = ("given", "move", "rank")

    def __init__(self, move: Callable[[int], int]) -> None:
        self.move = move
        self.rank = Rank.FRESH
        self.given = 0  # bytes, and the head start of others when it came


class Turns:
    """`credit`: bytes by which a share may be ahead and still go before others."""

    def __init__(self, credit: int) -> None:
        self._credit = credit
        self._waiting: dict[Share, None] = {}  # in the order in which they came
        self._level = 0  # what the share that was last served in turn had been given

    def __contains__(self, share: Share) -> bool:
        return share in self._waiting

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, share: Share, rank: Rank) -> None:
        """It has something to move; if it waits already, only its rank changes."""
        share.rank = rank
        if share not in self._waiting:
            share.given = max(share.given, self._level)
            self._waiting[share] = None

    def leave(self, share: Share) -> None:
        self._waiting.pop(share, None)

    def next(self) -> Share | None:
        """Who is to be served now; it goes on waiting until `begin`."""
        return min(self._waiting, key=self._order) if self._waiting else None

    def begin(self, share: Share) -> None:
        """Its turn: it does not wait any more, and joins anew if it has more to move."""
        self._waiting.pop(share, None)
        if self._rank(share) is Rank.FRESH:
            self._level = max(self._level, share.given)

    def _order(self, share: Share) -> tuple[Rank, int]:
        return (
            self._rank(share),  # a message before data, the rest of a block before the next
            share.given,  # who was given least; equals in the order in which they came
        )

    def _rank(self, share: Share) -> Rank:
        return share.rank if share.given <= self._level + self._credit else Rank.FRESH
