"""Show a download from a URL while it runs. What is shown is made by pure functions of one `Sight`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoal.cli.screen import Screen
from shoal.cli.text import counted, printable
from shoal.fetch.progress import Phase, Progress
from shoal.formats.bitfield import run_mask
from shoal.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

BAR_WIDTH = 60  # cells; with the margins it fits into 80 columns
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

    def see(self, now: Progress) -> None:
        self.now = now


def make_screen(*, is_silent: bool) -> Screen[Sight]:
    return Screen(lines, picture, is_silent=is_silent)


def lines(sight: Sight) -> list[str]:
    return [] if sight.now is None else [status_line(sight.now)]


def status_line(now: Progress) -> str:
    """`"data.iso  37 %  1.10 GiB of 3.00 GiB  90.0 MiB/s  8 connections  21 s left"`."""
    return "  ".join([printable(now.name) or "asking the server", *_figures(now)])


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


def _figures(now: Progress) -> list[str]:
    if now.phase is Phase.WAITING:
        wait = f"waiting {format_duration(now.waits_for)}" if now.waits_for else "waiting"
        return [f"{wait}: {printable(now.trouble)}" if now.trouble else wait]
    if now.phase is Phase.OPENING:
        return ["looking at what is here"]
    if now.phase is Phase.CHECKING:
        return ["checking"]
    if now.phase is Phase.ASKING:
        return [] if not now.name else ["asking the server"]
    figures = [format_size(now.here)]
    if now.length:
        figures = [
            f"{100 * now.here // now.length} %",
            f"{format_size(now.here)} of {format_size(now.length)}",
        ]
    if now.phase is Phase.HASHING:
        return ["making its torrent", *figures]
    figures.append(format_rate(now.rate))
    is_alone = len(now.members) < 2
    figures.append(
        counted(len(now.fetching), "connection")
        if is_alone
        else counted(len(now.members) - 1, "other member")
    )
    left = seconds_left(now)
    return figures if left is None else [*figures, f"{format_duration(left)} left"]


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

    text = Text("  ")
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
    from rich.console import Group
    from rich.text import Text

    now = sight.now
    if now is None:
        return Text("asking the server")
    head = Text.assemble((printable(now.name) or "asking the server", "bold"), "  ", "  ".join(_figures(now)))
    head.no_wrap, head.overflow = True, "ellipsis"
    sources = dict.fromkeys(one.source for one in now.fetching)
    if now.phase is not Phase.FETCHING or not now.length:
        return head
    rows = [_source_row(now, source) for source in sources] if len(sources) > 1 else []
    rows += _member_rows(now)
    return Group(head, bar(now), *rows)


def _source_row(now: Progress, source: str) -> Text:
    from rich.text import Text

    mine = [one for one in now.fetching if one.source == source]
    rate = format_rate(sum(one.rate for one in mine))
    return Text(f"  {rate:>12}  {printable(source)}, {counted(len(mine), 'connection')}", no_wrap=True)


def _member_rows(now: Progress) -> list[Text]:
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
        figures = f"  {format_rate(one.rate):>12}  {format_size(one.brought):>10}  "
        rows.append(
            Text.assemble(
                figures, ("■ ", colours.get(one.name, "green")), f"{printable(one.name)}{kind}", no_wrap=True
            )
        )
    if len(ranked) > MOST_MEMBERS_SHOWN:
        rows.append(Text(f"  and {counted(len(ranked) - MOST_MEMBERS_SHOWN, 'member')} more"))
    return rows
