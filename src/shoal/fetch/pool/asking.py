"""Decide whether helpers are worth asking: only where they make the download end sooner.

Always true: nobody is asked while what is left comes by ourselves before a helper could bring any of it, while our own
line or the person's limit is full, or while we have all the connections that a group may have to an origin: there each
member would only take some of them. Where nothing shows yet how fast we are, nobody is asked either, but for files
that are long at any rate that is to be expected of what came so far. Pure: told the time.
"""

from __future__ import annotations

JOINING = (
    1.5  # seconds until what a helper brings is felt: it is asked, dials, asks the origin, passes a piece on
)
FULL = 100e6  # bytes a second: a gigabit line. What members bring comes by the same line, and through TLS
NEARLY = 0.8  # of a limit: that is full, for nobody's bytes come evenly
FIRST_LOOK = 0.05  # seconds; the members are not met sooner
SHOWN_AFTER = 0.3  # seconds in which our own rate shows ...
HEADROOM = 10.0  # ... times what is seen before: connections begin slowly


class Asking:
    """Ask it some times a second. `limit`: bytes a second that may come, from all together."""

    def __init__(self, now: float, limit: int | None = None) -> None:
        self._began_at = now
        self._received = 0  # until then
        self._has_waited = False  # and nothing came since
        self._full = FULL if limit is None else min(FULL, NEARLY * limit)

    def wait(self, now: float, received: int) -> None:
        """Nothing is fetched, on purpose: what came until now shows nothing, nor does the wait for what comes next."""
        self._began_at, self._received, self._has_waited = now, received, True

    def is_worth_it(
        self, left: int, received: int, rate: float, now: float, *, has_all: bool = False
    ) -> bool:
        """`left` bytes of the file, that nobody has who passes them on; `received` by ourselves since the beginning;
        `rate`: bytes a second of all; `has_all`: so many connections are ours as the group may have.
        """
        if self._has_waited:
            if received == self._received and now - self._began_at < SHOWN_AFTER:
                return False
            self._began_at, self._has_waited = now, False
        elapsed = now - self._began_at
        if elapsed < FIRST_LOOK or has_all:
            return False
        usual = max(rate, (received - self._received) / elapsed)
        if elapsed < SHOWN_AFTER:
            usual *= HEADROOM
        return usual < self._full and left > usual * JOINING
