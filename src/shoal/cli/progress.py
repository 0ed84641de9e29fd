"""Show how far a long task is, on stderr; the tasks themselves only call `advance`.

On a terminal it is one live line (rich, imported when first drawn); without one, a plain line every few
seconds at most; with `--quiet`, or when the task is over within a second, nothing. stdout stays data.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from shoal.cli.text import can_be_redrawn
from shoal.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

FIRST_SHOWN_AFTER = 1.0  # seconds: what is over sooner needs no picture
PLAIN_EVERY = 5.0  # seconds between lines in a log file


def describe(label: str, done: int, total: int, seconds: float) -> str:
    """`"hashing  37 %  1.10 GiB of 3.00 GiB  900 MiB/s  2 s left"`."""
    rate = done / seconds if seconds > 0 else 0.0
    amount = f"{format_size(done)} of {format_size(total)}"
    parts = [label, f"{percent(done, total)} %", amount, format_rate(rate)]
    if rate > 0 and done < total:
        parts.append(f"{format_duration((total - done) / rate)} left")
    return "  ".join(parts)


def percent(done: int, total: int) -> int:
    """Whole percents, rounded down: 100 means done."""
    return 100 * done // total if total else 100


class Progress:
    """The progress of one task of `total` bytes. `advance` may be called from any thread, often."""

    def __init__(
        self,
        label: str,
        total: int,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.stream = stream or sys.stderr
        self.clock = clock
        self.started_at = clock()
        self._is_live = not quiet and can_be_redrawn(self.stream)
        self._next_shown_at = float("inf") if quiet else self.started_at + FIRST_SHOWN_AFTER
        self._bar: tuple[RichProgress, TaskID] | None = None

    def advance(self, done: int) -> None:
        """`done` bytes are done now, of `total`."""
        self.done = done
        now = self.clock()
        if now < self._next_shown_at:
            return
        if self._is_live:
            self._next_shown_at = now + 0.1
            self._draw()
        else:
            self._next_shown_at = now + PLAIN_EVERY
            line = describe(self.label, done, self.total, now - self.started_at)
            print(line, file=self.stream, flush=True)

    def _draw(self) -> None:
        if self._bar is None:
            self._bar = start_bar(self.label, self.total, self.stream)
        bar, task = self._bar
        bar.update(task, completed=self.done)

    def close(self) -> None:
        """Take the live line away: what the task came to is told by whoever ran it."""
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_bar(label: str, total: int, stream: TextIO) -> tuple[RichProgress, TaskID]:
    """A line of rich's that draws itself until it is stopped, and then vanishes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        SpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )
    task = bar.add_task(label, total=total)
    bar.start()
    return bar, task
