"""What a helper has kept of a file is asked of it, and not of the origin, however fast that is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from shoal.fetch.pool import awaiting, lagging, stock
from shoal.fetch.pool.requesting import PROBE_END
from shoal.protocol.group.meeting import encode_meeting
from shoal.protocol.group.messages import AskHelp, Kept, ValidatorKind
from shoal.protocol.http.validators import Validator
from shoal.testing.hostile_member import MemberScript
from shoal.testing.hostile_origin import Page
from shoal.units import KIB, MIB

from .hostile import hostile, taken_by, until
from .room import HELPER, HOST, LONGEST, Room, RunningHelper, made_up, room

SIZE = 24 * MIB
PIECE = 256 * KIB
BLOCK = 16 * KIB
AUDITED = SIZE // 100  # at most, where the authors are few


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with other things a helper takes its time, and that is not what is shown here."""
    for name in ("MEETS_WITHIN", "ANSWERS_WITHIN", "COMES_WITHIN", "LONGEST"):
        monkeypatch.setattr(awaiting, name, LONGEST)
    monkeypatch.setattr(lagging, "LAGS_AFTER", LONGEST)
    monkeypatch.setattr(stock, "BEGINS_WITHIN", LONGEST)


def answers_when(here: Room, condition: Callable[[], object], page: Page) -> None:
    """The origin, which is fast, answers no sooner."""
    is_time = threading.Event()

    async def look() -> None:
        await until(condition)
        is_time.set()

    def answer(number: int) -> Page:
        is_time.wait(LONGEST)
        return page

    here.group.create_task(look())
    here.origin.pages["/file.bin"] = answer


def answers_when_met(here: Room, helper: RunningHelper, page: Page) -> None:
    answers_when(here, lambda: helper.server.meetings.attendants("room"), page)


@asynccontextmanager
async def warm(folder: Path, body: bytes) -> AsyncIterator[tuple[Room, RunningHelper]]:
    """A room with a helper that has kept all of it, and was started anew since."""
    async with room(folder) as here:
        here.serve(body, rate=4 * MIB)
        helper = await here.helper(cache_size=100 * MIB)
        await here.get()
        await until(lambda: is_kept(folder, body))
        await helper.end()
        here.peers.clear()
        yield here, await here.helper(cache_size=100 * MIB, number=0)


def is_kept(folder: Path, body: bytes) -> bool:
    kept = list((folder / "helper0").glob("*.part"))
    return bool(kept) and kept[0].read_bytes() == body


def test_of_a_file_in_a_helpers_cache_a_fast_origin_sends_the_probe_and_what_is_compared(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(SIZE)
        async with warm(tmp_path, body) as (here, helper):
            sent = here.origin.sent
            answers_when_met(here, helper, Page(body))
            got = await here.get()
            assert got.path.read_bytes() == body
            assert here.origin.sent - sent <= PROBE_END + AUDITED
            assert sum(had for _, _, had in got.members) == len(body)
            await helper.end()
            assert [one["fetched"] for one in helper.fields_of("helped")] == [0]

    asyncio.run(story())


def test_what_is_kept_of_another_version_is_nobodys(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SIZE, seed=2)
        async with warm(tmp_path, made_up(SIZE)) as (here, helper):
            sent = here.origin.sent
            answers_when_met(here, helper, Page(body, etag='"v2"'))
            got = await here.get()
            assert got.path.read_bytes() == body
            assert here.origin.sent - sent >= len(body)
            assert not helper.said

    asyncio.run(story())


def test_what_the_owner_of_a_helper_does_not_allow_is_not_given_out_of_its_cache(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SIZE)
        async with warm(tmp_path, body) as (here, helper):
            await helper.end()
            here.peers.clear()
            wary = await here.helper(replace(HELPER, allow_private=()), cache_size=100 * MIB, number=0)
            sent = here.origin.sent
            answers_when_met(here, wary, Page(body))
            got = await here.get()
            assert got.path.read_bytes() == body
            assert here.origin.sent - sent >= len(body)
            assert not wary.fields_of("helping")
            assert not wary.fields_of("refused")  # nothing was to be done

    asyncio.run(story())


def test_of_a_helper_that_has_kept_nothing_a_fast_download_knows_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SIZE)
        async with room(tmp_path) as here:
            helper = await here.helper(cache_size=100 * MIB)
            answers_when_met(here, helper, Page(body))
            got = await here.get()
            assert got.path.read_bytes() == body
            assert not helper.said

    asyncio.run(story())


def test_of_a_file_of_which_a_part_is_kept_the_origin_sends_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SIZE)
        half = SIZE // PIECE // 2
        script = MemberScript(cached_pieces=frozenset(range(half)), claims=False)
        async with room(tmp_path) as here, hostile(here, body, script) as member:
            answers_when(here, lambda: any(line.is_open for line in member.lines), Page(body))
            got = await here.get()
            assert got.path.read_bytes() == body
            assert sum(member.served.values()) == half * PIECE // BLOCK
            assert here.origin.sent <= len(body) - half * PIECE + PROBE_END + AUDITED

    asyncio.run(story())


def test_a_helper_that_passes_on_what_it_has_fetches_the_rest_when_it_is_asked_for_help(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(SIZE)
        async with room(tmp_path) as here:
            here.serve(body, rate=MIB)
            helper = await here.helper(cache_size=100 * MIB)
            stopped = asyncio.ensure_future(here.get())
            await until(lambda: taken_by(list((tmp_path / "helper0").glob("*.part"))) > MIB)
            stopped.cancel()
            await asyncio.wait({stopped})
            await helper.end()
            here.peers.clear()
            again = await here.helper(cache_size=100 * MIB, number=0)
            answers_when_met(here, again, Page(body, rate=MIB))
            got = await here.get()
            assert got.path.read_bytes() == body
            assert got.members[1][2] > 0
            await again.end()
            assert again.fields_of("helped")[0]["fetched"] > 0

    asyncio.run(story())


def test_who_asks_wrongly_or_for_what_is_not_kept_hears_that_nothing_is_and_starts_nothing(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(SIZE)
        async with warm(tmp_path, body) as (here, helper), hostile(here, body, known=False) as curious:
            right = AskHelp(
                here.key.pool_hash(here.url(), SIZE, Validator(etag='"v1"').text),
                here.url(), SIZE, '"v1"', ValidatorKind.ETAG, only_kept=True,
            )  # fmt: skip
            asks = [
                structs.replace(right, url=here.url("/another.bin")),
                structs.replace(right, length=SIZE + 1),
                structs.replace(right, validator='"v2"'),
                structs.replace(right, url="http://169.254.169.254/latest"),
                *(structs.replace(right, info_hash=number.to_bytes(20, "big")) for number in range(300)),
            ]
            asked = len(here.origin.asked)
            said = [encode_meeting(ask) for ask in asks]
            curious.script = MemberScript(claims=False, is_helper=False, says_in_meeting=said)
            await curious.dial(HOST, helper.port, here.key.meeting_hash)
            await curious.wait_until(lambda: len(curious.heard(Kept)) == len(asks))
            assert not any(answer.is_any for answer in curious.heard(Kept))
            assert not helper.said
            assert len(here.origin.asked) == asked

    asyncio.run(story())
