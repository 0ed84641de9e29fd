"""What is shown of a long task, and when."""

from __future__ import annotations

import io
import time

import pytest

from shoal.cli.progress import Progress, describe, percent
from shoal.cli.screen import Screen
from shoal.units import MIB


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_task(stream: io.StringIO, seconds: range, *, quiet: bool = False) -> list[str]:
    """A task of a MiB a second, told of every second."""
    clock = Clock()
    with Progress("checking", 100 * MIB, quiet=quiet, stream=stream, clock=clock) as progress:
        for second in seconds:
            clock.now = 100.0 + second
            progress.advance(second * MIB)
    return stream.getvalue().splitlines()


def test_a_line_says_how_far_how_fast_and_how_long() -> None:
    line = describe("checking", 30 * MIB, 120 * MIB, 3.0)
    assert line == "checking  25 %  30.0 MiB of 120 MiB  10.0 MiB/s  9.0 s left"


@pytest.mark.parametrize(
    ("done", "total", "expected"), [(0, 0, 100), (999, 1000, 99), (1000, 1000, 100), (0, 1, 0)]
)
def test_a_hundred_percent_means_done(done: int, total: int, expected: int) -> None:
    assert percent(done, total) == expected


def test_a_task_that_is_over_at_once_shows_nothing() -> None:
    assert run_task(io.StringIO(), range(1)) == []


def test_without_a_terminal_a_line_comes_every_five_seconds() -> None:
    lines = run_task(io.StringIO(), range(14))
    assert [line.split()[1] for line in lines] == ["1", "6", "11"]


def test_quiet_shows_nothing() -> None:
    assert run_task(io.StringIO(), range(60), quiet=True) == []
    assert run_task(Terminal(), range(60), quiet=True) == []


def test_a_terminal_gets_a_live_line_that_vanishes() -> None:
    terminal = Terminal()
    run_task(terminal, range(3))
    assert "checking" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is taken away


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_only_writes_on_gets_the_lines(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    lines = run_task(Terminal(), range(14))
    assert [line.split()[1] for line in lines] == ["1", "6", "11"]
    shown = Terminal()
    screen = Screen(lambda name: [f"line of {name}"], lambda name: f"picture of {name}", stream=shown)
    deadline = time.monotonic() + 60
    while not shown.getvalue() and time.monotonic() < deadline:
        screen.draw("x")
    assert shown.getvalue() == "line of x\n"
