"""Show a download from a URL while it runs. What is shown is made by pure functions of one `Sight`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shoal.cli.screen import Screen
from shoal.cli.text import counted, printable
from shoal.fetch.progress import Phase, Progress
from shoal.formats.bitfield import run_mask
from shoal.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.text import Text

BAR_WIDTH = 60  # cells at most; with the margins it fits into 80 columns
MARGIN = 2  # cells, of the bar
LEAST_NAME = 8  # cells that a name keeps where not everything fits
DISPENSABLE = ("company", "amount", "rate")  # figures, in the order in which they go where a line is too long
WIDE_ENOUGH = 64  # columns; in fewer a member's row has its rate and name, and not what it brought
MEASURED_OVER = 5.0  # seconds; what comes in bursts comes oftener than that
COLOURS = (
    "cyan",
    "magenta",
    "yellow",
    "blue",
    "bright_red",
    "bright_cyan",
    "bright_magenta",
    "bright_yellow",
)
HERE, MISSING = 0, -1  # cells of the bar; any other is the number of who fetches it, or below, who brought it
BROUGHT = -2  # by the first other member of the group; -3 by the second, and so on
MOST_MEMBERS_SHOWN = 12  # a row each; a terminal has 24


@dataclass(slots=True)
class Sight:
    """The download as it was last seen."""

    now: Progress | None = None
    _marks: deque[tuple[float, int]] = field(default_factory=deque)  # (seconds, bytes here), oldest first

    def see(self, now: Progress) -> None:
        """Where nobody is at work at this very moment, the rate is what came lately."""
        if now.phase is Phase.FETCHING:
            lately = self._measure(now)
            now = now if now.rate > 0 else replace(now, rate=lately)
        self.now = now

    def _measure(self, now: Progress) -> float:
        marks = self._marks
        if marks and now.here < marks[-1][1]:  # it began anew
            marks.clear()
        marks.append((now.seconds, now.here))
        while marks[0][0] < now.seconds - MEASURED_OVER:
            marks.popleft()
        (began_at, before), *_ = marks
        return (now.here - before) / (now.seconds - began_at) if now.seconds > began_at else 0.0


def make_screen(*, is_silent: bool) -> Screen[Sight]:
    return Screen(lines, picture, is_silent=is_silent)


def lines(sight: Sight) -> list[str]:
    return [] if sight.now is None else [status_line(sight.now)]


def status_line(now: Progress) -> str:
    """`"data.iso  37 %  1.10 GiB of 3.00 GiB  90.0 MiB/s  8 connections  21 s left"`."""
    return "  ".join([printable(now.name) or "asking the server", *_figures(now).values()])


def seconds_left(now: Progress) -> float | None:
    if now.length is None or now.rate <= 0:
        return None
    return (now.length - now.here) / now.rate


def progress_record(now: Progress) -> dict[str, Any]:
    """The same for --json."""
    record: dict[str, Any] = {
        "event": "progress",
        "name": now.name,
        "phase": now.phase.value,
        "bytes": now.here,
        "size": now.length,
        "rate": round(now.rate),
        "connections": len(now.fetching),
    }
    if now.members:
        record["members"] = [
            {"name": one.name, "bytes": one.brought, "rate": round(one.rate)} for one in now.members
        ]
    return record


def _figures(now: Progress) -> dict[str, str]:
    """By kind, in the order in which they are shown; what is empty is left out."""
    if now.phase is Phase.WAITING:
        wait = f"waiting {format_duration(now.waits_for)}" if now.waits_for else "waiting"
        return {"state": f"{wait}: {printable(now.trouble)}" if now.trouble else wait}
    if now.phase is Phase.OPENING:
        return {"state": "looking at what is here"}
    if now.phase is Phase.CHECKING:
        return {"state": "checking"}
    if now.phase is Phase.ASKING:
        return {"state": "asking the server"} if now.name else {}
    figures = {"state": "making its torrent"} if now.phase is Phase.HASHING else {}
    if now.length:
        figures["percent"] = f"{100 * now.here // now.length} %"
        figures["amount"] = f"{format_size(now.here)} of {format_size(now.length)}"
    else:
        figures["amount"] = format_size(now.here)
    if now.phase is Phase.HASHING:
        return figures
    if now.rate > 0 or now.fetching:
        figures["rate"] = format_rate(now.rate)
    if len(now.members) > 1:
        figures["company"] = counted(len(now.members) - 1, "other member")
    elif now.fetching:
        figures["company"] = counted(len(now.fetching), "connection")
    left = seconds_left(now)
    if left:
        figures["left"] = f"{format_duration(left)} left"
    return figures


def _head(now: Progress, width: int) -> Text:
    """Name and figures on one line: first the least important figures go, then the name is cut."""
    from rich.text import Text

    name, figures = Text(printable(now.name) or "asking the server", style="bold"), _figures(now)
    for kind in DISPENSABLE:
        if _room_for_name(figures, width) >= min(name.cell_len, LEAST_NAME):
            break
        figures.pop(kind, None)
    least = LEAST_NAME if "state" in figures else 1  # a state is cut itself
    name.truncate(max(least, _room_for_name(figures, width)), overflow="ellipsis")
    head = Text("  ").join([name, *map(Text, figures.values())])
    head.no_wrap, head.overflow = True, "ellipsis"
    return head


def _room_for_name(figures: dict[str, str], width: int) -> int:
    return width - sum(2 + len(figure) for figure in figures.values())


def cells(now: Progress, width: int) -> list[int]:
    """The file from left to right: what is here, what is missing, and where who is at work."""
    if not now.length:
        return []
    row = [_who_brought(now, cell, width) if _is_here(now, cell, width) else MISSING for cell in range(width)]
    for one in now.fetching:
        if one.end is None or one.begin < one.end:
            row[min(width - 1, one.begin * width // now.length)] = one.number
    return row


def _who_brought(now: Progress, cell: int, width: int) -> int:
    assert now.length is not None
    if not now.piece_length:
        return HERE
    piece = (cell * now.length // width) // now.piece_length
    others = (one for one in now.members if not one.is_us)
    return next((BROUGHT - index for index, one in enumerate(others) if one.piece_bits >> piece & 1), HERE)


def _is_here(now: Progress, cell: int, width: int) -> bool:
    assert now.length is not None
    begin, end = cell * now.length // width, (cell + 1) * now.length // width
    if not now.have_bits:
        return end <= now.here  # one stream, from the front
    first = begin // now.piece_length
    last = max(first + 1, -(-end // now.piece_length))
    mask = run_mask(first, last - first)
    return now.have_bits & mask == mask


def bar(now: Progress, width: int = BAR_WIDTH) -> Text:
    from rich.text import Text

    text = Text(" " * MARGIN)
    for cell in cells(now, width):
        if cell == HERE:
            text.append("━", style="green")
        elif cell == MISSING:
            text.append("━", style="bright_black")
        elif cell <= BROUGHT:
            text.append("━", style=member_colour(BROUGHT - cell))
        else:
            text.append("╸", style=COLOURS[cell % len(COLOURS)])
    return text


def member_colour(index: int) -> str:
    """Of the other member of that number, in the bar and in its row."""
    return COLOURS[index % len(COLOURS)]


def picture(sight: Sight) -> RenderableType:
    return Picture(sight.now)


@dataclass(frozen=True, slots=True)
class Picture:
    """What rich draws, as wide as the terminal is at that moment."""

    now: Progress | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        now, width = self.now, options.max_width
        if now is None:
            yield Text("asking the server", no_wrap=True, overflow="ellipsis")
            return
        yield _head(now, width)
        if now.phase is not Phase.FETCHING or not now.length:
            return
        yield bar(now, max(1, min(BAR_WIDTH, width - MARGIN)))
        sources = dict.fromkeys(one.source for one in now.fetching)
        if len(sources) > 1:
            yield from (_source_row(now, source) for source in sources)
        yield from _member_rows(now, width)


def _source_row(now: Progress, source: str) -> Text:
    from rich.text import Text

    mine = [one for one in now.fetching if one.source == source]
    rate = format_rate(sum(one.rate for one in mine))
    text = f"  {rate:>12}  {printable(source)}, {counted(len(mine), 'connection')}"
    return Text(text, no_wrap=True, overflow="ellipsis")


def _member_rows(now: Progress, width: int) -> list[Text]:
    """Ourselves, then who was met first, if not all have room who brought most; coloured as its pieces in the bar."""
    from rich.text import Text

    others = [one for one in now.members if not one.is_us]
    colours = {one.name: member_colour(index) for index, one in enumerate(others)}
    ranked = [one for one in now.members if one.is_us] + sorted(others, key=lambda one: -one.brought)
    shown = set(ranked[:MOST_MEMBERS_SHOWN])
    rows = []
    for one in (one for one in now.members if one in shown):
        kind = ", helper" if one.is_helper else ", wants it too"
        if one.is_us:
            kind = f", {counted(len(now.fetching), 'connection')}"
        brought = f"{format_size(one.brought):>10}  " if width >= WIDE_ENOUGH else ""
        mark = ("■ ", colours.get(one.name, "green"))
        rows.append(
            Text.assemble(
                f"  {format_rate(one.rate):>12}  {brought}", mark, f"{printable(one.name)}{kind}",
                no_wrap=True, overflow="ellipsis",
            )
        )  # fmt: skip
    if len(ranked) > MOST_MEMBERS_SHOWN:
        rows.append(Text(f"  and {counted(len(ranked) - MOST_MEMBERS_SHOWN, 'member')} more"))
    return rows
