"""Keep all transfers of a download together below a rate. libcurl pauses whoever is over it.

Always true: in any `t` seconds at most `rate * t` bytes, a tenth of a second's worth and one chunk (16 KiB) pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from shoal.net.bucket import Bucket
from shoal.units import KIB

CHUNK: Final = 16 * KIB  # bytes that libcurl hands over at once, at most
LEAST_WAIT: Final = 0.002  # seconds; the loop has something else to do


def longest_pause(rate: int | None) -> float:
    """Seconds for which one transfer alone may be held by a `Limit` of this rate."""
    return 0.0 if rate is None else 2 * CHUNK / rate


class Limit:
    """`rate` in bytes a second."""

    def __init__(self, rate: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._bucket = Bucket(rate, loop.time(), least_burst=CHUNK)
        self._paused: dict[Callable[[], None], None] = {}  # in the order in which they go on
        self._timer: asyncio.TimerHandle | None = None

    def passes(self, count: int, go_on: Callable[[], None]) -> bool:
        """Whether `count` bytes may pass; if not, `go_on` is called when it is worth asking again."""
        if self._bucket.level(self._loop.time()) > 0:
            self._bucket.take(count)
            return True
        self._paused[go_on] = None
        self._wait()
        return False

    def forget(self, go_on: Callable[[], None]) -> None:
        self._paused.pop(go_on, None)

    def close(self) -> None:
        self._paused.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        if self._timer is None and self._paused:
            seconds = self._bucket.seconds_until(1, self._loop.time())
            self._timer = self._loop.call_later(max(seconds, LEAST_WAIT), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        while self._paused and self._bucket.level(self._loop.time()) > 0:
            go_on = next(iter(self._paused))
            del self._paused[go_on]
            go_on()
        self._wait()
