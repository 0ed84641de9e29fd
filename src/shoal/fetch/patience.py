"""Decide how long to wait for a source that failed, and when to give it up.

Always true: a source is not asked before its wait is over; Retry-After is obeyed, and one that is too long is the
end of the source rather than ignored; the tries are limited, and begin anew once it has brought something. Pure: time
and chance are arguments.
"""

from __future__ import annotations

import random

from shoal.errors import NetworkError, ShoalError
from shoal.units import KIB, format_duration

DEFAULT_MOST_TRIES = (
    8  # with the waits between them about a minute: a server that is started again, a new line
)
FIRST_WAIT = 0.5  # seconds; most failures are over at once
LONGEST_WAIT = 30.0  # seconds; what a person who waits still takes for trying
JITTER = 0.25  # of the wait, either way: a server that comes back meets no wave
LONGEST_RETRY_AFTER = 600.0  # seconds; whoever is told more than ten minutes wants to know, and come back
USUAL_TIMES = 4.0  # of the longest silence so far: what drips is not dead
LONGEST_SILENCE = 30.0  # seconds, however it drips
OUTAGE_SHOWS = (
    2.0  # seconds; when all breaks, who was refused so shortly before was its first sign, not one too many
)
PROGRESS = 64 * KIB  # bytes that make a try a success though it ended badly


class Silence:
    """How long a stream that brought something has brought nothing more."""

    __slots__ = ("_heard_at", "_longest", "_position", "_shortest", "is_too_long")

    def __init__(self, shortest: float) -> None:
        """`shortest`: seconds that are never too long."""
        self._shortest = shortest
        self._position = 0
        self._heard_at = 0.0
        self._longest = 0.0  # that it came back from
        self.is_too_long = False

    def look(self, position: int, now: float, *, is_held: bool) -> None:
        """It has come so far; `is_held`: it would have come further, but for us."""
        if not self._position and not position:
            return
        if position != self._position or is_held:
            if self._position and not is_held:
                self._longest = max(self._longest, now - self._heard_at)
            self._position, self._heard_at = position, now
        limit = min(max(self._shortest, USUAL_TIMES * self._longest), LONGEST_SILENCE)
        self.is_too_long = now - self._heard_at > limit


class Patience:
    """What failures of one source come to."""

    __slots__ = ("_failed_at", "_most_tries", "_rng", "failures", "gave_up", "ready_at")

    def __init__(self, rng: random.Random, *, most_tries: int = DEFAULT_MOST_TRIES) -> None:
        self._rng = rng
        self._most_tries = most_tries
        self._failed_at = 0.0
        self.failures = 0  # since it last brought something
        self.ready_at = 0.0  # no request before
        self.gave_up: ShoalError | None = None

    def is_ready(self, now: float) -> bool:
        return self.gave_up is None and now >= self.ready_at

    def on_failure(
        self,
        now: float,
        error: ShoalError,
        *,
        asked_at: float,
        received: int = 0,
        retry_after: float | None = None,
    ) -> None:
        """A request sent at `asked_at` failed; `received` bytes came since the last failure."""
        if received >= PROGRESS:
            self.failures = 0
        if (
            self.failures == 0 or asked_at >= self._failed_at
        ):  # many connections that break at once broke once
            self.failures += 1
            self._failed_at = now
            wait = min(FIRST_WAIT * 2 ** (self.failures - 1), LONGEST_WAIT)
            self.ready_at = max(self.ready_at, now + wait * self._rng.uniform(1 - JITTER, 1 + JITTER))
        if self.failures >= self._most_tries:
            tries = "try" if self.failures == 1 else "tries"
            self.give_up(type(error)(f"{error.message} ({self.failures} {tries})", hint=error.hint))
        self.wait(now, retry_after)

    def wait(self, now: float, retry_after: float | None) -> None:
        """The server named a time."""
        if retry_after is None:
            return
        if retry_after > LONGEST_RETRY_AFTER:
            self.give_up(NetworkError(f"asks to come back in {format_duration(retry_after)}"))
        self.ready_at = max(self.ready_at, now + retry_after)

    def give_up(self, error: ShoalError) -> None:
        """No use asking it again. The first reason stays."""
        self.gave_up = self.gave_up or error
