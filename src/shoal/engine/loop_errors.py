"""Hear of errors in callbacks that code of ours raised: nobody awaits those.

The loop may be another program's, and several engines may run in it. Always true: while any of them does, each hears of
errors that came by code of ours; everything else goes to whoever handled it before; when the last one has left, that
handler is back.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any, Final

PACKAGE: Final = __name__.partition(".")[0]

OnError = Callable[[BaseException], None]


class _LoopErrors:
    """Of one loop, while anybody listens."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.listeners: list[OnError] = []
        self._before = loop.get_exception_handler()
        loop.set_exception_handler(self.on_error)

    def on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and is_ours(error):
            for on_error in list(self.listeners):
                on_error(error)
        elif self._before is not None:
            self._before(loop, context)
        else:
            loop.default_exception_handler(context)

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop.get_exception_handler() == self.on_error:  # else somebody else's is there now, and stays
            loop.set_exception_handler(self._before)


_heard: Final[dict[asyncio.AbstractEventLoop, _LoopErrors]] = {}


def listen(loop: asyncio.AbstractEventLoop, on_error: OnError) -> None:
    """From now on `on_error` hears of them; until `unlisten` with the same."""
    if loop not in _heard:
        _heard[loop] = _LoopErrors(loop)
    _heard[loop].listeners.append(on_error)


def unlisten(loop: asyncio.AbstractEventLoop, on_error: OnError) -> None:
    heard = _heard[loop]
    heard.listeners.remove(on_error)
    if not heard.listeners:
        del _heard[loop]
        heard.end(loop)


def is_ours(error: BaseException) -> bool:
    """Whether it came by code of this package."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE for frame in frames)
