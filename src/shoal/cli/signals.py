"""Run a command's async main, and turn Ctrl-C, SIGTERM and SIGHUP (a terminal that is gone) into a request to stop.

The first signal sets an event: the command says goodbye to tracker and peers, saves its state and returns.
The second one ends the process at once, for the person who has waited long enough; not a second SIGHUP, which shell
and system both send. Where SIGHUP is ignored, as below nohup, it stays so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TypeVar

from shoal.errors import ExitCode

Result = TypeVar("Result")

_left: set[int] = set()  # descriptors that were a terminal that is gone

HANGUP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows has none
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *HANGUP)


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
    def on_signal(number: signal.Signals) -> None:
        if number in HANGUP:
            leave_terminal()
        if stop.is_set() and number not in HANGUP:
            sys.stderr.flush()
            os._exit(ExitCode.UNFINISHED)
        stop.set()

    for number in numbers:
        if number in HANGUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, on_signal, number)
        except (NotImplementedError, RuntimeError):  # Windows' loops have no such thing: the plain way

            def on_plain_signal(number: int, frame: FrameType | None) -> None:
                loop.call_soon_threadsafe(on_signal, signal.Signals(number))

            signal.signal(number, on_plain_signal)


def has_lost_terminal() -> bool:
    """Whether stdout or stderr was a terminal that is gone, also one that was left."""
    if _left:
        return True
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # it is closed, or no file
            if _is_hung_up(stream.fileno()):
                return True
    return False


def _is_hung_up(descriptor: int) -> bool:
    """Whether it is a terminal that is gone, and not `/dev/null`, which looks alike."""
    found = os.fstat(descriptor)
    is_device = stat.S_ISCHR(found.st_mode) and not os.isatty(descriptor)
    return is_device and found.st_rdev != Path(os.devnull).stat().st_rdev


def leave_terminal() -> None:
    """What is still said goes nowhere, where stdout or stderr was a terminal that is gone: writing would fail."""
    for stream in (sys.stdout, sys.stderr):
        try:
            descriptor = stream.fileno()
            if _is_hung_up(descriptor):
                _left.add(descriptor)
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
        except (OSError, ValueError):
            continue  # it is closed, or no file
