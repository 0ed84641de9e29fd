"""What a download from a URL looks like, word for word."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from shoal.cli.fetch_screen import HERE, MISSING, Sight, cells, picture, progress_record, status_line
from shoal.cli.get_urls import result_line
from shoal.fetch.facts import Facts
from shoal.fetch.progress import Downloaded, Fetching, Phase, Progress
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
