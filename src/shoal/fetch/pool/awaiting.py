"""Decide how long a requester leaves the origin alone while helpers say what they have kept of the file.

Always true: nothing is waited for where no member was met, nor answered when it was dialled; all waiting for one file
comes to `LONGEST` at most, whatever helpers say; nor is it worth it for little. Pure: told the time.
"""

from __future__ import annotations

from collections.abc import Callable

from shoal.units import MIB

MEETS_WITHIN = 0.3  # seconds; who was dialled and is there has said by then whether it is a helper
ANSWERS_WITHIN = 0.2  # seconds; a round trip half around the world, for a question that takes no looking
COMES_WITHIN = 1.2  # seconds from the answer until it told what it has: it hashes that first, a GiB or so
LONGEST = 1.5  # seconds, for all helpers together
LITTLE = 1 * MIB  # bytes; they come from the origin in the time in which a helper joins


class Awaiting:
    """Helpers are named by member and program."""

    def __init__(self, now: float, is_meeting: Callable[[], bool]) -> None:
        """`is_meeting`: whether a member is there of whom nothing is known yet."""
        self._began_at = now
        self._is_meeting = is_meeting
        self._until: dict[bytes, float] = {}  # for whom we wait, and how long
        self._left = LONGEST
        self._looked_at: float | None = None  # while we wait

    def on_asked(self, helper: bytes, now: float) -> None:
        self._until[helper] = now + ANSWERS_WITHIN

    def on_answer(self, helper: bytes, now: float, *, is_any: bool) -> None:
        """It has some of it, and will be there; or nothing."""
        if helper not in self._until:
            return
        if is_any:
            self._until[helper] = now + COMES_WITHIN
        else:
            del self._until[helper]

    def on_gone(self, helper: bytes) -> None:
        self._until.pop(helper, None)

    def is_waiting(self, left: int, has_told: Callable[[bytes], bool], now: float) -> bool:
        """`left` bytes of the file; `has_told`: that helper is here and said what it has."""
        if self._looked_at is not None:
            self._left -= now - self._looked_at
        self._until = {
            helper: until for helper, until in self._until.items() if now < until and not has_told(helper)
        }
        is_somebody = bool(self._until) or (now - self._began_at < MEETS_WITHIN and self._is_meeting())
        is_waiting = is_somebody and self._left > 0 and left > LITTLE
        self._looked_at = now if is_waiting else None
        return is_waiting
