"""Members share the connections to one origin: those that fetch from it now, each as many as any other."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shoal.fetch.pool.meetings import AtOrigin
from shoal.fetch.pool.pooled import MOST_CONNECTIONS
from shoal.fetch.pool.tags import origin_tag_of
from shoal.units import KIB, MIB

from ...engine.scene import until
from .room import SMALL, Room, RunningHelper, made_up, room


def run(story) -> None:
    asyncio.run(story)


def one_more(here: Room, helper: RunningHelper) -> AtOrigin:
    """A download that the helper would begin now."""
    return AtOrigin(helper.server.meetings, "room", origin_tag_of(here.key, here.url()))


def test_a_pool_that_nobody_wants_any_more_has_no_share(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=here.slow)
            helpers = [await here.helper(), await here.helper()]
            await here.get(connections=2)
            assert all(helper.fields_of("helping") for helper in helpers)
            next_ones = [one_more(here, helper) for helper in helpers]
            await until(lambda: all(one.share_of(MOST_CONNECTIONS) == MOST_CONNECTIONS for one in next_ones))
            assert not any(helper.fields_of("helped") for helper in helpers)

    run(story())


def test_members_that_fetch_have_all_connections_between_them_and_none_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            is_shared = asyncio.Event()
            here.serve(made_up(SMALL), rate=lambda: MIB if is_shared.is_set() else 32 * KIB)
            helpers = [await here.helper(), await here.helper()]
            getting = asyncio.create_task(here.get(connections=15))
            groups = [helper.server.meetings for helper in helpers]
            tag = one_more(here, helpers[0]).tag

            def shares() -> list[int]:
                """Of 17, those of the two helpers: once they know of each other and of the requester."""
                ours = [one for meetings in groups for one in meetings._groups["room"].origins.get(tag, ())]
                return sorted(one.share_of(17) for one in ours)

            await until(lambda: shares() in ([5, 6], [6, 6]))
            await until(lambda: here.origin.most_running >= MOST_CONNECTIONS - 1)
            is_shared.set()
            await getting

    run(story())
