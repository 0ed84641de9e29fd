"""What a helper has kept of a file is asked of it, and not of the origin, however fast that is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shoal.fetch.pool.requesting import PROBE_END
from shoal.testing.hostile_origin import Page
from shoal.units import KIB, MIB

from .hostile import until
from .room import LONGEST, Room, RunningHelper, made_up, room

SIZE = 24 * MIB
AUDITED = 4 * 16 * KIB


def meets_first(here: Room, helper: RunningHelper, body: bytes, etag: str = '"v1"') -> None:
    """The origin, which is fast, answers once the helper and whoever asks have met."""
    met = threading.Event()

    async def look() -> None:
        await until(lambda: bool(helper.server.meetings.attendants("room")))
        met.set()

    def page(number: int) -> Page:
        met.wait(LONGEST)
        return Page(body, etag=etag)

    here.group.create_task(look())
    here.origin.pages["/file.bin"] = page


@asynccontextmanager
async def warm(folder: Path, body: bytes) -> AsyncIterator[tuple[Room, RunningHelper]]:
    """A room with a helper that has all of it."""
    async with room(folder) as here:
        here.serve(body, rate=4 * MIB)
        helper = await here.helper(cache_size=100 * MIB)
        await here.get()
        await until(lambda: helper_has(folder, body))
        yield here, helper


def helper_has(folder: Path, body: bytes) -> bool:
    kept = list((folder / "helper0").glob("*.part"))
    return bool(kept) and kept[0].read_bytes() == body


def test_of_a_file_in_a_helpers_cache_a_fast_origin_sends_the_probe_and_what_is_compared(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(SIZE)
        async with warm(tmp_path, body) as (here, helper):
            before = here.origin.sent
            meets_first(here, helper, body)
            got = await here.get()
            print(here.origin.sent - before, got.members, here.notes, [(a.range) for a in here.origin.asked])
            assert got.path.read_bytes() == body
            assert here.origin.sent - before <= PROBE_END + 2 * AUDITED

    asyncio.run(story())
