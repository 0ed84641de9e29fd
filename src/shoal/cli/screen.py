"""Show running torrents on stderr: a live table on a terminal, a plain line now and then elsewhere.

Nothing here knows an engine: `Snapshot` is all it is told, `status_line` is pure.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from shoal.cli.text import counted, printable
from shoal.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

LIVE_EVERY = 0.5  # seconds between pictures
PLAIN_EVERY = 5.0  # seconds between lines where there is no terminal
FIRST_AFTER = 1.0  # seconds; what is over sooner needs no picture


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One torrent at one moment. Bytes, and bytes a second."""

    name: str
    have: int
    wanted: int
    down_rate: float
    up_rate: float
    sent: int
    peer_count: int
    seed_count: int

    @property
    def is_complete(self) -> bool:
        return self.have >= self.wanted

    @property
    def seconds_left(self) -> float | None:
        return (self.wanted - self.have) / self.down_rate if self.down_rate > 0 else None


def status_line(now: Snapshot, *, seeding: bool) -> str:
    """`"data.iso  37 %  1.10 of 3.00 GiB  down 90 MiB/s  up 1 MiB/s  5 peers  21 s left"`."""
    parts = [printable(now.name)]
    if seeding or now.is_complete:
        parts += ["seeding", f"up {format_rate(now.up_rate)}", f"{format_size(now.sent)} sent"]
    else:
        percent = 100 * now.have // now.wanted if now.wanted else 100
        parts += [
            f"{percent} %",
            f"{format_size(now.have)} of {format_size(now.wanted)}",
            f"down {format_rate(now.down_rate)}",
            f"up {format_rate(now.up_rate)}",
        ]
    parts.append(counted(now.peer_count, "peer") if now.peer_count else "no peers yet")
    if not now.is_complete and now.seconds_left is not None:
        parts.append(f"{format_duration(now.seconds_left)} left")
    return "  ".join(parts)


class Screen(AbstractContextManager["Screen"]):
    def __init__(self, *, seeding: bool, stream: TextIO | None = None) -> None:
        self._seeding = seeding
        self._stream = stream or sys.stderr
        self._is_live = self._stream.isatty()
        self._next_at = time.monotonic() + FIRST_AFTER
        self._live: Live | None = None

    def draw(self, snapshots: Sequence[Snapshot]) -> None:
        now = time.monotonic()
        if now < self._next_at:
            return
        if self._is_live:
            self._draw_live(snapshots)
            return
        self._next_at = now + PLAIN_EVERY
        for snapshot in snapshots:
            print(status_line(snapshot, seeding=self._seeding), file=self._stream, flush=True)

    def _draw_live(self, snapshots: Sequence[Snapshot]) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._stream), auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(table(snapshots, seeding=self._seeding), refresh=True)

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def table(snapshots: Sequence[Snapshot], *, seeding: bool) -> RenderableType:
    """One row a torrent: a bar while it comes, rates and peers always."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, max_width=32, overflow="ellipsis")
    for _ in range(6):
        grid.add_column(no_wrap=True)
    for now in snapshots:
        is_seeding = seeding or now.is_complete
        left = "" if now.seconds_left is None or is_seeding else f"{format_duration(now.seconds_left)} left"
        peers = counted(now.peer_count, "peer")
        grid.add_row(
            Text(printable(now.name), style="bold"),
            Text("seeding", style="green")
            if is_seeding
            else ProgressBar(total=max(now.wanted, 1), completed=now.have, width=24),
            f"{format_size(now.sent)} sent"
            if is_seeding
            else f"{format_size(now.have)} of {format_size(now.wanted)}",
            "" if is_seeding else Text(f"↓ {format_rate(now.down_rate)}", style="cyan"),
            Text(f"↑ {format_rate(now.up_rate)}", style="magenta"),
            f"{peers}, {now.seed_count} with all" if now.seed_count else peers,
            left,
        )
    return grid
