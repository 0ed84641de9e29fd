"""Show what runs on stderr: a live picture on a terminal, plain lines now and then elsewhere.

`Screen` knows when, whoever makes it knows what. Torrents are shown here; nothing knows an engine: `Snapshot` is all
it is told, `status_line` is pure. Downloads are shown in `fetch_screen.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TextIO, TypeVar

from shoal.cli.text import can_be_redrawn, counted, printable
from shoal.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

LIVE_EVERY = 0.4  # seconds between pictures
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
    web_seed_count: int = 0

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
    parts.append(givers(now) or "no peers yet")
    if not now.is_complete and now.seconds_left is not None:
        parts.append(f"{format_duration(now.seconds_left)} left")
    return "  ".join(parts)


def givers(now: Snapshot) -> str:
    """`"5 peers, 1 web seed"`; `""` for nobody."""
    counts = {"peer": now.peer_count, "web seed": now.web_seed_count}
    return ", ".join(counted(count, kind) for kind, count in counts.items() if count)


Shown = TypeVar("Shown")


class Screen(AbstractContextManager["Screen[Shown]"], Generic[Shown]):
    """`lines` and `picture` make of what is shown the lines of text or what rich draws."""

    def __init__(
        self,
        lines: Callable[[Shown], list[str]],
        picture: Callable[[Shown], RenderableType],
        *,
        is_silent: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._lines = lines
        self._picture = picture
        self._stream = stream or sys.stderr
        self._is_live = can_be_redrawn(self._stream)
        self._next_at = float("inf") if is_silent else time.monotonic() + FIRST_AFTER
        self._live: Live | None = None

    def draw(self, shown: Shown) -> None:
        """Call it as often as you like."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + (LIVE_EVERY if self._is_live else PLAIN_EVERY)
        if self._is_live:
            self._draw_live(shown)
            return
        for line in self._lines(shown):
            print(line, file=self._stream, flush=True)

    def _draw_live(self, shown: Shown) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._stream), auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(self._picture(shown), refresh=True)

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def torrent_screen(*, seeding: bool, is_silent: bool = False) -> Screen[Sequence[Snapshot]]:
    return Screen(
        lambda snapshots: [status_line(snapshot, seeding=seeding) for snapshot in snapshots],
        lambda snapshots: table(snapshots, seeding=seeding),
        is_silent=is_silent,
    )


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
        peers = givers(now) or counted(0, "peer")
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
