"""Draw what does not come by a link from the links' throttle, so that all of it together stays below one rate."""

from __future__ import annotations

from collections.abc import Callable

from shoal.net.throttle import Throttle
from shoal.net.turns import Share


class SharedLimit:
    """As `fetch/limit.py` has it, with the throttle's turns: what passed without credit is paid for before more may."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._share = Share(self._move)
        self._credit = 0
        self._is_asking = False
        self._paused: dict[Callable[[], None], None] = {}  # in the order in which they go on

    def passes(self, count: int, go_on: Callable[[], None]) -> bool:
        """Whether `count` bytes may pass; if not, `go_on` is called when it is worth asking again."""
        if self._credit <= 0:
            self._paused[go_on] = None
            self._is_asking = True  # its turn may be now, and then nobody is to be called: the answer says so
            self._throttle.ask(self._share)
            self._is_asking = False
            if self._credit <= 0:
                return False
            del self._paused[go_on]
        self._credit -= count
        return True

    def forget(self, go_on: Callable[[], None]) -> None:
        self._paused.pop(go_on, None)
        if not self._paused:
            self._throttle.leave(self._share)

    def close(self) -> None:
        self._paused.clear()
        self._throttle.leave(self._share)

    def _move(self, most: int) -> int:
        if not self._paused:
            return 0
        self._credit += most
        while self._paused and self._credit > 0 and not self._is_asking:
            go_on = next(iter(self._paused))
            del self._paused[go_on]
            go_on()
        if self._paused and not (self._is_asking and self._credit > 0):
            self._throttle.ask(self._share)
        return most
