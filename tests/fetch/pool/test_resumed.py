"""A requester that was stopped and goes on: it answers for its old pieces as before, and audits those of others."""

from __future__ import annotations

import asyncio
import errno
import functools
import hashlib
import operator
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shoal.disk.checksum import parse_checksum
from shoal.disk.part_rows import PartRows
from shoal.fetch import remembering
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.key import new_key
from shoal.fetch.group.signing import new_member_key
from shoal.fetch.pool import audits, requesting
from shoal.fetch.progress import Progress
from shoal.fetch.verification import Verification
from shoal.testing.hostile_member import MemberScript
from shoal.units import KIB, MIB

from ...peers.processes import free_port
from .hostile import culprits, hostile, other, until
from .room import HOST, SLOW, SMALL, Room, made_up, room

BODY = made_up(SMALL)
PIECE = 256 * KIB
ALL = frozenset(range(SMALL // PIECE))
SOME = frozenset(range(4, 20))
ROWS = "file.bin.part.group"
BARELY = 32 * KIB  # bytes a second: whatever comes, comes from members


def run(story) -> None:
    asyncio.run(story)


class Latest:
    """What a download showed last."""

    def __init__(self) -> None:
        self.seen: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self.seen = progress

    @property
    def here(self) -> int:
        return 0 if self.seen is None else self.seen.here

    @property
    def pieces(self) -> int:
        """Whole ones, by whomever, as bits."""
        members = () if self.seen is None else self.seen.members
        return functools.reduce(operator.or_, (one.piece_bits for one in members), 0)

    def brought(self, is_us: bool) -> int:
        members = () if self.seen is None else self.seen.members
        return sum(one.brought for one in members if one.is_us == is_us)


@asynccontextmanager
async def getting(here: Room, *, number: int = 1, **how) -> AsyncIterator[Latest]:
    """A download that is stopped, as by Ctrl-C, when the block is left."""
    latest = Latest()
    task = here.group.create_task(here.get(number=number, on_progress=latest, **how))
    try:
        yield latest
    finally:
        task.cancel()
        await asyncio.wait({task})


async def get_some_of(here: Room, enough: Callable[[Latest], object], **how) -> None:
    async with getting(here, **how) as latest:
        await until(lambda: enough(latest))


async def get_theirs(here: Room, body: bytes, script: MemberScript | None = None) -> None:
    """Requester 1 is stopped with the pieces `SOME`, brought by a member that is gone afterwards."""
    here.serve(BODY, rate=BARELY)
    peers = list(here.peers)
    async with hostile(here, body, script or MemberScript(cached_pieces=SOME, claims=False)):
        await get_some_of(here, lambda latest: latest.brought(is_us=False) >= len(SOME) * PIECE)
    here.peers[:] = peers


def left_by(here: Room, number: int = 1) -> list[str]:
    return sorted(path.name for path in here.folder_of(number).iterdir())


@pytest.fixture
def audits_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No audits, until it is called."""
    monkeypatch.setattr(audits, "FIRST_AUDITS", 0)
    monkeypatch.setattr(requesting, "SHARE", 0.0)
    return monkeypatch.undo


def test_who_goes_on_gives_its_old_pieces_to_a_new_requester_while_the_origin_is_gone(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(BODY, rate=SLOW)
            await here.helper()
            async with getting(here) as first:
                await until(lambda: first.pieces.bit_count() > len(ALL) // 3)
            here.helpers[0].stop.set()
            assert ROWS in left_by(here)

            here.serve(BODY, stalls_after=16 * KIB)
            here.peers[:] = [(HOST, free_port())]
            async with getting(here, port=here.peers[0][1]), getting(here, number=2) as new:
                await until(lambda: not first.pieces & ~new.pieces)

    run(story())


def test_what_was_fetched_without_a_group_is_given_to_its_members(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(BODY, rate=SLOW)
            await get_some_of(here, lambda latest: latest.here > SMALL // 2, group=None)
            assert ROWS not in left_by(here)

            here.serve(BODY, stalls_after=16 * KIB)
            here.peers[:] = [(HOST, free_port())]
            async with getting(here, port=here.peers[0][1]), getting(here, number=2) as new:
                await until(lambda: new.pieces.bit_count() > len(ALL) // 4)

    run(story())


def test_of_what_a_mirror_gave_nobody_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(BODY, rate=SLOW)
            here.serve(BODY, "/mirror.bin", rate=SLOW)
            mirrors = (here.url("/mirror.bin"),)
            await get_some_of(here, lambda latest: latest.here > SMALL // 2, group=None, mirrors=mirrors)
            here.serve(BODY)
            got = await here.get(number=1)
            assert got.path.read_bytes() == BODY
            assert [note for note in here.notes if "fetched again" in note]
            assert got.received > SMALL - MIB

    run(story())


def test_a_liars_pieces_from_before_the_stop_are_found_by_audits_after_it(
    tmp_path: Path, audits_later: Callable[[], None]
) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            await get_theirs(here, other(BODY))
            assert not culprits(here)

            audits_later()
            here.serve(BODY)
            got = await here.get(number=1)
            assert got.path.read_bytes() == BODY
            assert got.resumed > 0
            assert got.verified == "sample"
            assert len(culprits(here)) == 1
            assert left_by(here) == ["file.bin"]

    run(story())


def test_good_pieces_from_before_are_kept_and_compared(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            await get_theirs(here, BODY)
            here.serve(BODY)
            sent = here.origin.sent
            got = await here.get(number=1, connections=1)  # several take over from each other what is slow
            assert got.path.read_bytes() == BODY
            assert got.verified == "sample"
            assert here.origin.sent - sent < SMALL - len(SOME) * PIECE + MIB
            assert not culprits(here)
            assert left_by(here) == ["file.bin"]

    run(story())


def test_without_the_group_they_are_kept_and_the_result_says_that_nothing_was_checked(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            await get_theirs(here, BODY)
            here.serve(BODY)
            got = await here.get(number=1, group=None)
            assert got.path.read_bytes() == BODY
            assert got.resumed >= len(SOME) * PIECE
            assert got.verified == "none"
            assert left_by(here) == ["file.bin"]

    run(story())


def test_in_another_group_what_others_brought_is_fetched_again_and_what_is_ours_is_kept(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(BODY, rate=SLOW)
            await get_some_of(here, lambda latest: latest.here >= 6 * PIECE, group=None, connections=2)
            await get_theirs(here, BODY, MemberScript(cached_pieces=ALL, claims=False, serve_rate=4 * MIB))
            here.serve(BODY)
            elsewhere = here.wish(JoinedGroup(new_key("elsewhere"), new_member_key()))
            sent = here.origin.sent
            got = await here.get(number=1, group=elsewhere, connections=1)
            assert got.path.read_bytes() == BODY
            assert len(SOME) * PIECE <= here.origin.sent - sent < SMALL - 2 * PIECE
            assert [note for note in here.notes if "nobody in this group answers" in note]

    run(story())


def test_the_digest_begins_anew_once_for_all_that_nobody_answers_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    usual = Verification.restart
    monkeypatch.setattr(Verification, "restart", lambda self: (begun.append(self), usual(self)))

    async def story() -> None:
        async with room(tmp_path) as here:
            await get_theirs(here, BODY)
            here.serve(BODY)
            elsewhere = here.wish(JoinedGroup(new_key("elsewhere"), new_member_key()))
            digest = parse_checksum(f"sha256:{hashlib.sha256(BODY).hexdigest()}")
            got = await here.get(number=1, group=elsewhere, checksums=(digest,))
            assert (got.path.read_bytes() == BODY, got.verified) == (True, "sha256")
            assert 0 < len(begun) < len(SOME) // 2

    run(story())


def test_records_that_are_gone_torn_or_of_nobody_are_as_good_as_absent(tmp_path: Path) -> None:
    def cut(rows: Path) -> None:
        os.truncate(rows, 4096 + 132 * 6 + 50)

    def turn_over(rows: Path) -> None:
        data = rows.read_bytes()
        rows.write_bytes(data[:4096] + other(data[4096:]))

    def mix(rows: Path) -> None:
        data = rows.read_bytes()
        rows.write_bytes(data[:4096] + data[4096 + 132 :])

    async def story(folder: Path, harm: Callable[[Path], object]) -> None:
        async with room(folder) as here:
            await get_theirs(here, BODY)
            harm(here.folder_of(1) / ROWS)
            here.serve(BODY)
            sent = here.origin.sent
            got = await here.get(number=1)
            assert got.path.read_bytes() == BODY
            assert here.origin.sent - sent > SMALL // 2
            assert left_by(here) == ["file.bin"]

    for number, harm in enumerate((Path.unlink, cut, turn_over, mix)):
        folder = tmp_path / str(number)
        folder.mkdir()
        run(story(folder, harm))


def test_somebody_elses_file_in_their_place_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "REMEMBERED_EVERY", 0.1)
    monkeypatch.setattr(remembering, "REMEMBERED_FIRST", 0.1)
    monkeypatch.setattr(remembering, "NEARLY_OVER", 0.0)

    async def story() -> None:
        async with room(tmp_path) as here:
            await get_theirs(here, BODY)
            (here.folder_of(1) / ROWS).write_bytes(b"a letter to nobody")
            here.serve(BODY, rate=SLOW)
            await here.helper()
            got = await here.get(number=1)
            assert got.path.read_bytes() == BODY
            assert left_by(here) == ["file.bin", ROWS]
            assert (here.folder_of(1) / ROWS).read_bytes() == b"a letter to nobody"
            assert sum("is in the way" in note for note in here.notes) == 1

    run(story())


def test_a_disk_that_is_full_for_the_records_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(rows: PartRows, packed: Mapping[int, bytes], mode: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(remembering, "REMEMBERED_EVERY", 0.1)
    monkeypatch.setattr(remembering, "REMEMBERED_FIRST", 0.1)
    monkeypatch.setattr(remembering, "NEARLY_OVER", 0.0)
    monkeypatch.setattr(PartRows, "save", save)

    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(BODY, rate=SLOW)
            await here.helper()
            await get_some_of(here, lambda latest: latest.here > SMALL // 2)
            assert sum("disk full" in note for note in here.notes) == 1
            got = await here.get(number=1)
            assert got.path.read_bytes() == BODY
            assert got.resumed > 0
            assert left_by(here) == ["file.bin"]

    run(story())


def test_records_are_no_more_readable_than_the_part_file(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            umask = os.umask(0o077)
            try:
                await get_theirs(here, BODY)
            finally:
                os.umask(umask)
            modes = {(here.folder_of(1) / name).stat().st_mode & 0o777 for name in left_by(here)}
            assert modes == {0o600}
            (here.folder_of(1) / "file.bin.part").chmod(0o640)
            here.serve(BODY, rate=BARELY)
            async with hostile(here, BODY, MemberScript(cached_pieces=ALL, claims=False, serve_rate=4 * MIB)):
                await get_some_of(here, lambda latest: latest.brought(is_us=False) > PIECE)
            assert (here.folder_of(1) / ROWS).stat().st_mode & 0o777 == 0o640

    run(story())
