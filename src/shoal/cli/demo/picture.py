"""Draw a story: a row for each machine with its pieces in the colours of who gave them, and at the end a matrix.

Everything here is a pure function from a story to something rich can print. Where there are no colours the pieces
are drawn as the letters of their givers.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from shoal.cli.demo.story import Story
from shoal.units import format_duration, format_rate, format_size

# For each machine in order; told apart by most colour-blind people, on dark and on light ground.
COLOURS = ("#4c8dff", "#f0a020", "#14b88a", "#e8599b", "#9d6bff")
FIRST_LETTER = ord("A")
GROUND = "#404040"  # where a piece is missing
NOTHING = "·"

LEFT_HALF = "▌"  # its foreground is one piece, its background the next: two to a character
MIN_STRIP, MAX_STRIP = 16, 64  # characters
PERCENT_WIDTH, RATE_WIDTH = len("100 %"), len("↓ 1023 MiB/s")  # room from the start: nothing moves sideways


def sampled(givers: Sequence[int | None], width: int) -> list[int | None]:
    """`width` pieces at even distances: in a picture every giver has the share that it has of all pieces."""
    return [givers[(2 * index + 1) * len(givers) // (2 * width)] for index in range(width)]


class Strip:
    """A machine's pieces from first to last, as wide as there is room."""

    def __init__(self, givers: Sequence[int | None]) -> None:
        self.givers = givers

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, MAX_STRIP)
        if console.color_system is None:
            yield Segment(strip_letters(self.givers, width))
        else:
            yield from strip_segments(self.givers, width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(MIN_STRIP, MAX_STRIP)


def strip_letters(givers: Sequence[int | None], width: int) -> str:
    return "".join(
        NOTHING if giver is None else chr(FIRST_LETTER + giver) for giver in sampled(givers, width)
    )


def strip_segments(givers: Sequence[int | None], width: int) -> list[Segment]:
    colours = [GROUND if giver is None else COLOURS[giver] for giver in sampled(givers, 2 * width)]
    return [
        Segment(LEFT_HALF, Style(color=left, bgcolor=right))
        for left, right in zip(colours[::2], colours[1::2], strict=True)
    ]


def name_of(story: Story, machine: int) -> Text:
    """A machine's name in its colour; its last letter is the one that strips have without colours."""
    return Text(story.machines[machine].name, style=f"bold {COLOURS[machine]}")


def live(story: Story | None, headline: str, now: float) -> RenderableType:
    """How things stand."""
    if story is None:
        return Text(headline, style="dim")
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column()
    for width in (PERCENT_WIDTH, RATE_WIDTH, RATE_WIDTH):
        grid.add_column(no_wrap=True, justify="right", min_width=width)
    for machine, (down, up) in enumerate(story.rates(now)):
        share = story.share_had(machine)
        grid.add_row(
            name_of(story, machine),
            Strip(story.piece_givers(machine)),
            ProgressBar(completed=100 * share, width=10, complete_style=COLOURS[machine]),
            f"{100 * share:.0f} %",
            Text(f"↓ {format_rate(down)}" if down else "", style="cyan"),
            Text(f"↑ {format_rate(up)}" if up else "", style="magenta"),
        )
    return Group(Text(headline, style="dim", no_wrap=True), "", grid)


def plain_line(story: Story, now: float) -> str:
    """`"leecher C 37 %  leecher D 41 %  together 310 MiB/s"`."""
    parts = [
        f"{machine.name} {100 * story.share_had(index):.0f} %" for index, machine in enumerate(story.machines)
    ]
    return "  ".join([*parts, f"together {format_rate(sum(down for down, _ in story.rates(now)))}"])


def final(story: Story, leechers: Sequence[int], size: int, seconds: float) -> RenderableType:
    """Who has what from whom, piece by piece and in bytes, and what it comes to."""
    result = summary(story, leechers, size, seconds)
    caption = Text("the pieces of each machine, from first to last, as who gave them", style="dim")
    return Group(caption, pieces_table(story), "", matrix_table(story, leechers), "", Text(result))


def pieces_table(story: Story) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for machine in range(len(story.machines)):
        grid.add_row(name_of(story, machine), Strip(story.piece_givers(machine)))
    return grid


def matrix_table(story: Story, leechers: Sequence[int]) -> Table:
    """A row for each giver, a column for each receiver."""
    matrix = story.matrix()
    table = Table(box=None, padding=(0, 2, 0, 0), show_footer=True, footer_style="bold")
    table.add_column("who gave what to whom", footer="got", no_wrap=True)
    for receiver in leechers:
        got = sum(row[receiver] for row in matrix)
        table.add_column(name_of(story, receiver), footer=format_size(got), justify="right", no_wrap=True)
    everything = sum(map(sum, matrix))
    table.add_column("gave", footer=format_size(everything), justify="right", style="bold", no_wrap=True)
    for giver, row in enumerate(matrix):
        cells = ["" if giver == receiver else format_size(row[receiver]) for receiver in leechers]
        table.add_row(name_of(story, giver), *cells, format_size(sum(row)))
    return table


def summary(story: Story, leechers: Sequence[int], size: int, seconds: float) -> str:
    """`size` of the file; `seconds` of everything, with starting and comparing."""
    matrix = story.matrix()
    everything = sum(map(sum, matrix))
    from_leechers = sum(sum(matrix[leecher]) for leecher in leechers)
    copies = (everything - from_leechers) / size
    return (
        f"{len(leechers)} machines have the {format_size(size)}, each file verified by its SHA-256.\n"
        f"The seeds sent {copies:.2f} copies of it; {100 * from_leechers / everything:.0f} % of all bytes came from "
        f"other leechers.\n"
        f"The pieces travelled for {format_duration(story.seconds)}; all in all it took {format_duration(seconds)}."
    )
