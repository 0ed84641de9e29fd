"""What goes wrong in a group, with real processes: who is killed, stopped, frozen, or without room."""

from __future__ import annotations

import random
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

from .machines import LOGGED, Room, room
from .running import LOCAL, Running
from .test_disk_trouble import NEEDS_ROOT, small_disk

PAYLOAD = random.Random(6).randbytes(12 * MIB)
SLOW = (
    512 * KIB
)  # bytes a second that the server gives all together, until what a test waits for has happened ...
FAST = 8 * MIB  # ... and then
PATH = "/file.bin"


@pytest.fixture
def origin() -> Iterator[HostileOrigin]:
    with HostileOrigin() as running:
        running.pages[PATH] = Page(PAYLOAD)
        running.rate = SLOW
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


def getting(url: str, *more: str) -> tuple[str, ...]:
    return ("get", url, *LOCAL, *LOGGED, "--group", "lab", "--connections", "1", *more)


def finish(get: Running) -> str:
    assert get.wait() == 0, get.err
    return "\n".join(get.out)


def test_a_killed_helper_costs_no_more_than_what_it_was_at(lab: Room, origin: HostileOrigin) -> None:
    mine = lab.machine()
    dead, alive = lab.helper(), lab.helper()
    get = lab.start(mine, *getting(origin.url(PATH)))
    mine.wait_brought(dead, alive)
    dead.running.process.kill()
    origin.rate = FAST
    out = finish(get)
    assert mine.got() == PAYLOAD
    assert alive.address in out
    assert origin.sent < 1.8 * len(PAYLOAD)


def test_a_helper_that_was_stopped_is_waited_for_by_nobody_and_lives_on(
    lab: Room, origin: HostileOrigin
) -> None:
    mine, helper = lab.machine(), lab.helper()
    get = lab.start(mine, *getting(origin.url(PATH)))
    mine.wait_brought(helper)
    helper.running.process.send_signal(signal.SIGSTOP)
    origin.rate = FAST
    try:
        finish(get)
    finally:
        helper.running.process.send_signal(signal.SIGCONT)
    assert mine.got() == PAYLOAD
    origin.rate = SLOW
    mine.log.unlink()
    again = lab.start(mine, *getting(origin.url(PATH) + "?again", "-o", "again.bin"))
    mine.wait_brought(helper)
    origin.rate = FAST
    assert helper.address in finish(again)
    assert mine.got("again.bin") == PAYLOAD
    assert helper.running.stop(signal.SIGINT) == 0
    assert helper.running.err == []


def test_a_killed_requester_goes_on_where_it_was(lab: Room, origin: HostileOrigin) -> None:
    mine, helper = lab.machine(), lab.helper()
    get = lab.start(mine, *getting(origin.url(PATH)))
    mine.wait_brought(helper)
    get.process.kill()
    get.wait()
    origin.rate = FAST
    assert finish(lab.start(mine, *getting(origin.url(PATH)))).startswith("got file.bin: ")
    assert mine.got() == PAYLOAD
    assert mine.left == {"file.bin"}


def test_ctrl_c_ends_both_sides_politely(lab: Room, origin: HostileOrigin) -> None:
    mine, helper = lab.machine(), lab.helper()
    get = lab.start(mine, *getting(origin.url(PATH)))
    mine.wait_brought(helper)
    assert get.stop(signal.SIGINT) == ExitCode.UNFINISHED
    assert re.fullmatch(
        r"shoal: file\.bin: stopped with .* still to come; the same command goes on from here", get.err[-1]
    )
    assert not any("Traceback" in line for line in get.err)
    origin.rate = FAST
    finish(lab.start(mine, *getting(origin.url(PATH))))
    assert mine.got() == PAYLOAD
    origin.rate = SLOW
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
        get.wait_line("does not help", on_stderr=True)
        origin.rate = FAST
        finish(get)
        assert mine.got() == PAYLOAD
        remarks = [line for line in get.err if "does not help" in line]
        assert len(remarks) == 1 and remarks[0].endswith(": its disk is full")
        helper.wait_line("refused .*: its disk is full")
        helper.running.wait_line(re.escape(str(disk)), on_stderr=True)
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        origin.rate = SLOW
        mine.log.unlink()
        again = lab.start(mine, *getting(origin.url(PATH) + "?again", "-o", "again.bin"))
        mine.wait_brought(helper)
        origin.rate = FAST
        assert helper.address in finish(again)
        assert helper.running.stop(signal.SIGINT) == 0


@NEEDS_ROOT
def test_a_requester_without_room_ends_with_9_and_goes_on_later(lab: Room, origin: HostileOrigin) -> None:
    mine = lab.machine()
    lab.helper()
    origin.rate = FAST
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
    helper = lab.helper("--cache", "kept")
    get = lab.start(mine, *getting(origin.url(PATH)))
    mine.wait_brought(helper)
    origin.rate = FAST
    finish(get)
    assert not [line for line in get.err if "others still take parts of it" in line]
