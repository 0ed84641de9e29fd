"""Run a command's async main, and turn Ctrl-C and SIGTERM into a request to stop.

The first signal sets an event: the command says goodbye to tracker and peers, saves its state and returns.
The second one ends the process at once, for the person who has waited long enough.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import TypeVar

from shoal.errors import ExitCode

Result = TypeVar("Result")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop where it is installed (everywhere but on Windows), asyncio's own loop elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run_until_stopped(
    main: Callable[[asyncio.Event], Awaitable[Result]], numbers: Sequence[signal.Signals] = STOP_SIGNALS
) -> Result:
    """`main(stop)` on a loop of its own; `stop` is set by the first of these signals."""

    async def watch() -> Result:
        stop = asyncio.Event()
        on_stop_signals(asyncio.get_running_loop(), stop, numbers)
        return await main(stop)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(watch())


def on_stop_signals(
    loop: asyncio.AbstractEventLoop, stop: asyncio.Event, numbers: Sequence[signal.Signals] = STOP_SIGNALS
) -> None:
    def on_signal() -> None:
        if stop.is_set():
            sys.stderr.flush()
            os._exit(ExitCode.UNFINISHED)
        stop.set()

    for number in numbers:
        try:
            loop.add_signal_handler(number, on_signal)
        except (NotImplementedError, RuntimeError):  # Windows' loops have no such thing: the plain way

            def on_plain_signal(number: int, frame: FrameType | None) -> None:
                loop.call_soon_threadsafe(on_signal)

            signal.signal(number, on_plain_signal)
