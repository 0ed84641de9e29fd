"""What a download from a URL looks like, word for word."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from shoal.cli.fetch_screen import HERE, MISSING, Sight, cells, picture, progress_record, status_line
from shoal.cli.get_urls import result_line
from shoal.fetch.facts import Facts
from shoal.fetch.progress import Downloaded, Fetching, MemberProgress, Phase, Progress
from shoal.units import GIB, KIB, MIB

BUSY = Progress(
    Phase.FETCHING, "data.iso", 100 * MIB, 37 * MIB, 9 * MIB,
    (Fetching(1, "a.example", 37 * MIB, 50 * MIB, 4 * MIB), Fetching(2, "b.example", 50 * MIB, 100 * MIB, 5 * MIB)),
    have_bits=(1 << 37) - 1, piece_length=1 * MIB,
)  # fmt: skip


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (BUSY, "data.iso  37 %  37.0 MiB of 100 MiB  9.00 MiB/s  2 connections  7.0 s left"),
        (Progress(Phase.ASKING, "", None, 0, 0.0), "asking the server"),
        (
            Progress(Phase.FETCHING, "x\x1b", None, 5 * KIB, 0.0, (Fetching(1, "a", 0, None, 0.0),)),
            "x\\x1b  5.00 KiB  0 B/s  1 connection",
        ),
        (
            Progress(Phase.FETCHING, "x", 32 * MIB, 32 * MIB, 0.0, have_bits=(1 << 32) - 1, piece_length=MIB),
            "x  100 %  32.0 MiB of 32.0 MiB",
        ),
        (
            Progress(Phase.WAITING, "x", 9, 0, 0.0, waits_for=5.0, trouble="a: 503"),
            "x  waiting 5.0 s: a: 503",
        ),
        (Progress(Phase.OPENING, "x", 9, 0, 0.0), "x  looking at what is here"),
        (Progress(Phase.CHECKING, "x", 9, 9, 0.0), "x  checking"),
    ],
)
def test_a_line_says_how_far_it_is(now: Progress, line: str) -> None:
    assert status_line(now) == line


def test_the_bar_shows_what_is_here_and_who_is_where() -> None:
    assert cells(BUSY, 10) == [HERE, HERE, HERE, 1, MISSING, 2, MISSING, MISSING, MISSING, MISSING]


def test_the_bar_of_one_stream_fills_from_the_left() -> None:
    now = Progress(Phase.FETCHING, "x", 100, 45, 1.0, (Fetching(1, "a", 45, None, 1.0),), piece_length=MIB)
    assert cells(now, 10) == [HERE] * 4 + [1] + [MISSING] * 5


def test_a_picture_can_be_drawn_at_any_moment() -> None:
    from rich.console import Console

    console = Console(width=80, record=True, file=StringIO())
    sight = Sight()
    console.print(picture(sight))
    sight.see(BUSY)
    console.print(picture(sight))
    shown = console.export_text()
    assert "data.iso  37 %" in shown
    assert "5.00 MiB/s  b.example, 1 connection" in shown
    assert max(map(len, shown.splitlines())) <= 80


MANY = replace(
    BUSY,
    name="debian-12.5.0-amd64-netinst.iso",
    fetching=tuple(Fetching(number, "a.example", 0, 1, 1.0) for number in range(16)),
)


@pytest.mark.parametrize(
    ("width", "head"),
    [
        (24, "debia…  37 %  7.0 s left"),
        (40, "debian-12…  37 %  9.00 MiB/s  7.0 s left"),
        (60, "debian-1…  37 %  37.0 MiB of 100 MiB  9.00 MiB/s  7.0 s left"),
        (80, "debian-12.5.…  37 %  37.0 MiB of 100 MiB  9.00 MiB/s  16 connections  7.0 s left"),
        (120, f"{MANY.name}  37 %  37.0 MiB of 100 MiB  9.00 MiB/s  16 connections  7.0 s left"),
    ],
)
def test_a_picture_fits_the_terminal_and_keeps_what_matters_most(width: int, head: str) -> None:
    shown = drawn(MANY, width)
    assert shown[0] == head
    assert [len(line) for line in shown[1:]] == [min(width, 62)]


def test_each_member_has_one_row_on_a_narrow_terminal() -> None:
    members = (
        MemberProgress("this machine", False, True, 30 * MIB, 0, 4 * MIB, (), 1),
        MemberProgress("192.0.2.7:6881", True, False, 7 * MIB, 0, 4 * MIB, (), 2),
    )
    shown = drawn(replace(MANY, members=members), 40)
    assert [line[:32] for line in shown[2:]] == [
        "    4.00 MiB/s  ■ this machine, ",
        "    4.00 MiB/s  ■ 192.0.2.7:6881",
    ]


def test_why_it_waits_is_seen_beside_a_long_name() -> None:
    now = replace(MANY, phase=Phase.WAITING, waits_for=5.0, trouble="a.example: cannot connect")
    assert drawn(now, 40) == ["debian-…  waiting 5.0 s: a.example: can…"]


def drawn(now: Progress, width: int) -> list[str]:
    from rich.console import Console

    console = Console(width=width, record=True, file=StringIO())
    sight = Sight()
    sight.see(now)
    console.print(picture(sight))
    return console.export_text().splitlines()


def test_between_two_connections_the_rate_is_what_came_lately() -> None:
    sight = Sight()
    for second in range(20):
        sight.see(replace(BUSY, here=second * MIB, seconds=float(second)))
    sight.see(replace(BUSY, here=20 * MIB, seconds=20.0, rate=0.0, fetching=()))
    assert sight.now is not None and sight.now.rate == MIB
    sight.see(replace(BUSY, here=1 * MIB, seconds=21.0, rate=0.0, fetching=()))  # it began anew
    assert sight.now.rate == 0


def test_a_record_has_the_same_figures() -> None:
    assert progress_record(BUSY) == {
        "event": "progress", "name": "data.iso", "phase": "fetching", "bytes": 37 * MIB, "size": 100 * MIB,
        "rate": 9 * MIB, "connections": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("got", "line"),
    [
        (
            Downloaded(
                Path("/d/data.iso"), GIB, 1.2, GIB, 0, (("nginx.example", GIB),), "sha256", Facts(), connections=8
            ),
            "got data.iso: 1.00 GiB in 1.2 s (853 MiB/s) from nginx.example, 8 connections, sha256 right",
        ),
        (
            Downloaded(Path("/d/data.iso"), 2 * KIB, 1.0, 1 * KIB, 1 * KIB, (("a", 1), ("b", 9)), "none", Facts()),
            "got data.iso: 2.00 KiB in 1.0 s (1.00 KiB/s) from b, a, 1 connection, 1.00 KiB were here, "
            "not checked: no digest is known",
        ),
    ],
)  # fmt: skip
def test_the_last_line_says_what_it_came_to(got: Downloaded, line: str) -> None:
    assert result_line(Path("data.iso"), got) == line
