"""Draw the story of a URL: the file in the colours of who brought what, and what each came to.

Pure functions from a story to something rich can print; without colours, members are the last letters of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from shoal.cli.demo.picture import COLOURS, MAX_STRIP, RATE_WIDTH, sampled, strip_letters, strip_segments
from shoal.cli.demo.url_story import Result, UrlStory
from shoal.units import format_duration, format_rate, format_size

ROWS = 3  # of the file's picture
SIZE_WIDTH = len("1023 MiB")


class Field:
    """The whole file, row below row."""

    def __init__(self, owners: Sequence[int | None]) -> None:
        self.owners = owners

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, MAX_STRIP)
        if console.color_system is None:
            for row in rows(self.owners, width):
                yield Segment(strip_letters(row, width) + "\n")
        else:
            for row in rows(self.owners, 2 * width):
                yield from [*strip_segments(row, width), Segment.line()]


def rows(owners: Sequence[int | None], width: int) -> Iterator[list[int | None]]:
    samples = sampled(owners, width * ROWS)
    for begin in range(0, len(samples), width):
        yield samples[begin : begin + width]


def live(story: UrlStory | None, headline: str, now: float) -> RenderableType:
    """How things stand."""
    if story is None:
        return Text(headline, style="dim")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for width in (SIZE_WIDTH, RATE_WIDTH):
        grid.add_column(no_wrap=True, justify="right", min_width=width)
    for machine, rate in enumerate(story.rates(now)):
        grid.add_row(
            name_of(story, machine),
            format_size(story.fetched[machine]),
            Text(f"↓ {format_rate(rate)}" if rate else "", style="cyan"),
        )
    return Group(Text(headline, style="dim", no_wrap=True), "", Field(story.owners), grid)


def name_of(story: UrlStory, machine: int) -> Text:
    return Text(story.names[machine], style=f"bold {COLOURS[machine]}")


def plain_line(story: UrlStory, now: float) -> str:
    """`"37 %  requester A 2.0 MiB/s  helper B 1.9 MiB/s"`."""
    parts = [f"{name} {format_rate(rate)}" for name, rate in zip(story.names, story.rates(now), strict=True)]
    return "  ".join([f"{100 * story.share_here:.0f} %", *parts])


def final(story: UrlStory, result: Result) -> RenderableType:
    """Who brought what, and what it comes to."""
    caption = Text(
        "the file, from its first byte to its last, as who fetched it from the server", style="dim"
    )
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right"):
        table.add_column(no_wrap=True, justify=justify)
    for machine, size in enumerate(story.fetched):
        share = f"{100 * size / story.length:.0f} %"
        table.add_row(name_of(story, machine), format_size(size), share)
    return Group(caption, Field(story.owners), table, "", Text(summary(story, result)))


def summary(story: UrlStory, result: Result) -> str:
    together = story.length / result.seconds
    alone = result.alone_size / result.alone_seconds
    return (
        f"The server gives {format_rate(result.client_rate)} to an address, half of that to a connection.\n"
        f"Alone: {format_size(result.alone_size)} in {format_duration(result.alone_seconds)}, {format_rate(alone)}.\n"
        f"With {len(story.names) - 1} helpers: {format_size(story.length)} in {format_duration(result.seconds)}, "
        f"{format_rate(together)}: {together / alone:.1f} times as fast.\n"
        f"Both files verified by SHA-256; the server sent {result.sent / story.length:.2f} copies of the large one."
    )
