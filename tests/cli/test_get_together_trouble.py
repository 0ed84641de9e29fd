"""What goes wrong in a group, with real processes: who is killed, stopped, frozen, or without room."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.fetch.pool.requesting import LINGER_WITHOUT
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import MIB

from .machines import Room, RunningHelper, room, wait_until
from .running import LOCAL, Running
from .test_disk_trouble import NEEDS_ROOT, small_disk

PAYLOAD = random.Random(6).randbytes(6 * MIB)
RATE = 2 * MIB  # bytes a second of each response
PATH = "/file.bin"


@pytest.fixture
def origin() -> Iterator[HostileOrigin]:
    with HostileOrigin() as running:
        running.pages[PATH] = Page(PAYLOAD, rate=RATE)
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


def getting(url: str, *more: str) -> tuple[str, ...]:
    return ("get", url, *LOCAL, "--group", "lab", "--connections", "1", *more)


def wait_helping(origin: HostileOrigin, *helpers: RunningHelper) -> None:
    """Until they fetch, and more than the beginning is on its way."""
    for helper in helpers:
        helper.wait_line("helps with")
    wait_until(lambda: origin.sent > MIB, "part of the file")


def finish(get: Running) -> str:
    assert get.wait() == 0, get.err
    return "\n".join(get.out)


def test_a_killed_helper_costs_no_more_than_what_it_was_at(lab: Room, origin: HostileOrigin) -> None:
    mine = lab.machine()
    dead, alive = lab.helper(), lab.helper()
    get = lab.start(mine, *getting(origin.url(PATH)))
    wait_helping(origin, dead, alive)
    dead.running.process.kill()
    out = finish(get)
    assert mine.got() == PAYLOAD
    assert alive.address in out
    assert origin.sent < 1.8 * len(PAYLOAD)


def test_a_helper_that_was_stopped_is_waited_for_by_nobody_and_lives_on(
    lab: Room, origin: HostileOrigin
) -> None:
    mine, helper = lab.machine(), lab.helper()
    get = lab.start(mine, *getting(origin.url(PATH)))
    wait_helping(origin, helper)
    helper.running.process.send_signal(signal.SIGSTOP)
    try:
        finish(get)
    finally:
        helper.running.process.send_signal(signal.SIGCONT)
    assert mine.got() == PAYLOAD
    again = mine.get(origin.url(PATH) + "?again", "--group", "lab", "-o", "again.bin", "--connections", "1")
    assert (again.returncode, mine.got("again.bin")) == (0, PAYLOAD)
    assert helper.address in again.stdout
    assert helper.running.stop(signal.SIGINT) == 0
    assert helper.running.err == []


def test_a_killed_requester_goes_on_where_it_was(lab: Room, origin: HostileOrigin) -> None:
    mine, helper = lab.machine(), lab.helper()
    get = lab.start(mine, *getting(origin.url(PATH)))
    part = mine.folder / "file.bin.part"
    wait_helping(origin, helper)
    wait_until(lambda: part.exists() and part.stat().st_blocks * 512 > MIB, "half of it")
    get.process.kill()
    get.wait()
    assert finish(lab.start(mine, *getting(origin.url(PATH)))).startswith("got file.bin: ")
    assert mine.got() == PAYLOAD
    assert mine.left == {"file.bin"}


def test_ctrl_c_ends_both_sides_politely(lab: Room, origin: HostileOrigin) -> None:
    mine, helper = lab.machine(), lab.helper()
    get = lab.start(mine, *getting(origin.url(PATH)))
    wait_helping(origin, helper)
    wait_until(lambda: origin.sent > 3 * MIB, "whole pieces")
    assert get.stop(signal.SIGINT) == ExitCode.UNFINISHED
    assert re.fullmatch(
        r"shoal: file\.bin: stopped with .* still to come; the same command goes on from here", get.err[-1]
    )
    assert not any("Traceback" in line for line in get.err)
    finish(lab.start(mine, *getting(origin.url(PATH))))
    assert mine.got() == PAYLOAD
    again = lab.start(mine, *getting(origin.url(PATH) + "?again", "-o", "again.bin"))
    helper.wait_line(r"helps with .*\?")
    assert helper.running.stop(signal.SIGINT) == 0
    assert helper.running.err == []
    assert not list((lab.machines[1].folder / "state" / "helper").rglob("*.part*"))
    assert again.stop() == ExitCode.UNFINISHED


@NEEDS_ROOT
def test_a_helper_without_room_says_so_and_helps_again_when_there_is_some(
    lab: Room, origin: HostileOrigin
) -> None:
    mine, theirs = lab.machine(), lab.machine()
    with small_disk(lab.folder / "disk", "size=1m") as disk:
        helper = lab.helper("--cache", str(disk), on=theirs)
        get = lab.start(mine, *getting(origin.url(PATH)))
        finish(get)
        assert mine.got() == PAYLOAD
        remarks = [line for line in get.err if "does not help" in line]
        assert len(remarks) == 1 and remarks[0].endswith(": its disk is full")
        helper.wait_line("refused .*: its disk is full")
        helper.running.wait_line(re.escape(str(disk)), on_stderr=True)
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        out = finish(lab.start(mine, *getting(origin.url(PATH) + "?again", "-o", "again.bin")))
        assert helper.address in out
        assert helper.running.stop(signal.SIGINT) == 0


@NEEDS_ROOT
def test_a_requester_without_room_ends_with_9_and_goes_on_later(lab: Room, origin: HostileOrigin) -> None:
    mine = lab.machine()
    lab.helper()
    with small_disk(lab.folder / "disk", "size=4m") as disk:
        get = lab.start(mine, *getting(origin.url(PATH), "--dir", str(disk)))
        assert get.wait() == ExitCode.DISK_FULL
        assert get.err[-2].startswith(f"shoal: disk full: {disk}/file.bin")
        assert get.err[-1].startswith("hint: make room")
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        finish(lab.start(mine, *getting(origin.url(PATH), "--dir", str(disk))))
        assert (disk / "file.bin").read_bytes() == PAYLOAD


def test_a_finished_requester_does_not_wait_for_helpers(lab: Room, origin: HostileOrigin) -> None:
    """Nobody needs what only it has: the process ends as soon as the file is there."""
    mine = lab.machine()
    lab.helper("--cache", "kept")
    get = lab.start(mine, *getting(origin.url(PATH)))
    wait_until((mine.folder / "file.bin").exists, "file")
    here_at = time.monotonic()
    finish(get)
    assert time.monotonic() - here_at < LINGER_WITHOUT
