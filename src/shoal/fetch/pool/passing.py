"""How fast requesters take off a helper what it has, and how much of it waits: pure.

A helper whose own way to the others is narrower than that from the origin (a limit of its owner's, or of theirs) is
worth only what it passes on, and claims no more than that. Pieces that wait when the others are done would be fetched
twice.
"""

from __future__ import annotations

from shoal.formats.bitfield import without
from shoal.swarm.rate import RateMeter
from shoal.units import MIB

LEAST_AHEAD = 1 * MIB  # bytes that wait: a run of those that come in one request
MOST_SECONDS_AHEAD = 1.5  # of what requesters take; a helper that has more waits for them
FIRST_SECONDS_AHEAD = 0.5  # of what it brings, as long as it is not known what they take ...
MOST_FIRST = 8 * MIB  # ... and no more than that; on a gigabit they take it in a moment
FIRST_RATE = 2.5e6  # bytes a second; as long as it is not known, no more is claimed than with such a line
KNOWN_AFTER = 0.6  # seconds since they took the first piece
BEHIND = 0.5  # seconds of what they take; if more waits, it is they who are slower
BEHIND_FOR = 2.0  # seconds that this is remembered
GROWTH = 1.25  # times what is taken: so that more is taken if it can be


class Passing:
    """Call `look` before its figures are read."""

    def __init__(self, piece_length: int, now: float) -> None:
        self.is_enough = False  # that waits
        self.seconds = 0.0  # until they have taken all that waits, if they are the slower ones
        self.waiting = 0  # pieces, if they are
        self.rate = 0.0  # bytes a second that we bring and they take
        self._piece_length = piece_length
        self._taken = 0  # what any requester has
        self._meter = RateMeter(now)
        self._first_at: float | None = None
        self._behind_at: float | None = None

    def on_taken(self, bits: int, have: int, now: float) -> None:
        """A requester has these; `have`: what is here."""
        taken = without(bits & have, self._taken)
        self._taken |= bits
        if taken:
            self._first_at = self._first_at or now
            self._meter.add(taken.bit_count() * self._piece_length, now)

    def look(self, have: int, rate: float, now: float) -> None:
        """`rate`: bytes a second that we bring."""
        count = without(have, self._taken).bit_count()
        waiting = count * self._piece_length
        taking = self._meter.rate(now)
        is_known = self._first_at is not None and now - self._first_at > KNOWN_AFTER
        first = 0.0 if is_known else min(FIRST_SECONDS_AHEAD * rate, MOST_FIRST)
        self.is_enough = waiting > max(LEAST_AHEAD, first, MOST_SECONDS_AHEAD * taking)
        if waiting > max(LEAST_AHEAD, BEHIND * taking):
            self._behind_at = now
        is_behind = is_known and self._behind_at is not None and now - self._behind_at < BEHIND_FOR
        self.waiting = count if is_behind else 0
        self.rate = rate if is_known else min(rate, FIRST_RATE)
        if is_behind:
            self.rate = min(rate, max(GROWTH * taking, 1.0))
        self.seconds = waiting / max(taking, 1.0) if is_behind else 0.0
