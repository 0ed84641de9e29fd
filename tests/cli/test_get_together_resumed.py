"""A requester that is killed goes on as a member: others get what it had, and nothing is left beside its file."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.protocol.group.records import RECORD_LENGTH
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

from ..peers.processes import free_port
from .machines import Machine, Room, room, wait_until
from .part_records import PAGE, remembered
from .running import HOST, LOCAL, Running

PAYLOAD = random.Random(7).randbytes(12 * MIB)
RATE = 256 * KIB  # bytes a second of each response: most is missing yet when the first pieces are remembered
PATH = "/file.bin"
PIECES = 48
LEAST = 4


@pytest.fixture
def origin() -> Iterator[HostileOrigin]:
    with HostileOrigin() as running:
        running.pages[PATH] = Page(PAYLOAD, rate=RATE)
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


def start(lab: Room, machine: Machine, origin: HostileOrigin, *more: str) -> Running:
    command = ("get", origin.url(PATH), *LOCAL, "--group", "lab", "--connections", "2", "--json", *more)
    return lab.start(machine, *command)


def recorded(machine: Machine) -> set[int]:
    """The pieces of which it has written down who answers for them."""
    path = machine.folder / "file.bin.part.group"
    packed = path.read_bytes()[PAGE:] if path.exists() else b""
    return {
        piece for piece in range(len(packed) // RECORD_LENGTH)
        if any(packed[piece * RECORD_LENGTH : (piece + 1) * RECORD_LENGTH])
    }  # fmt: skip


def kept(machine: Machine) -> set[int]:
    """The pieces that it will believe to have, and of which it has written down just before who answers for them."""
    return recorded(machine) & remembered(machine.folder / "file.bin.part.shoal", PIECES)


def test_a_killed_requester_gives_its_old_pieces_to_a_new_one_while_the_server_is_gone(
    lab: Room, origin: HostileOrigin
) -> None:
    mine, other = lab.machine(), lab.machine()
    helper = lab.helper("--max-download-rate", "256k")
    get = start(lab, mine, origin)
    wait_until(lambda: len(kept(mine)) >= LEAST, "records")
    os.kill(get.process.pid, signal.SIGKILL)
    get.wait()
    here = kept(mine)
    assert helper.running.stop(signal.SIGINT) == 0

    origin.pages[PATH] = Page(PAYLOAD, stalls_after=16 * KIB)
    port = str(free_port())
    again = start(lab, mine, origin, "--port", port)
    new = start(lab, other, origin, "--peer", f"{HOST}:{port}")
    wait_until(lambda: recorded(other) >= here, "old pieces at the new requester")

    origin.pages[PATH] = Page(PAYLOAD)
    assert [again.wait(), new.wait()] == [0, 0], (again.err, new.err)
    assert mine.got() == other.got() == PAYLOAD
    assert mine.left == other.left == {"file.bin"}
