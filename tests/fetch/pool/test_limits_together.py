"""Limits of rates hold for a machine as a whole: what comes from the origin and from members, what goes to all."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shoal.fetch.options import FetchOptions
from shoal.fetch.progress import Progress
from shoal.units import KIB, MIB

from ...engine.scene import until
from ...peers.processes import free_port
from .room import SMALL, made_up, room

SLOW = 512 * KIB  # bytes a second of each connection to the origin
LIMIT = 2 * MIB  # bytes a second
AT_ONCE = MIB // 2  # bytes that pass before a limit shows, and what a look is late


def run(story) -> None:
    asyncio.run(story)


def test_what_members_send_counts_for_the_limit_of_a_download(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=SLOW)
            await here.helper()
            got = await here.get(options=FetchOptions(max_rate=LIMIT), connections=1)
            assert got.path.read_bytes() == body
            assert got.members[1][1] > MIB
            assert got.seconds * LIMIT > len(body) - AT_ONCE

    run(story())


def test_nobody_is_asked_for_help_where_the_limit_is_reached_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL))
            await here.helper()
            got = await here.get(options=FetchOptions(max_rate=LIMIT))
            assert got.members == ()
            assert not here.helpers[0].fields_of("helping")

    run(story())


def test_a_helper_that_keeps_what_it_passes_on_takes_it_from_members_within_its_limit(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(2 * SMALL), rate=SLOW)
            helper = await here.helper(here.allowing(max_download_rate=MIB), cache_size=4 * SMALL)
            kept: list[int] = []

            def look(now: Progress) -> None:
                kept[:] = [path.stat().st_blocks * 512 for path in (tmp_path / "helper0").glob("*.part")]

            got = await here.get(on_progress=look)
            assert kept, helper.said
            assert kept[0] <= got.seconds * MIB + AT_ONCE

    run(story())


def test_a_helper_sends_within_its_limit(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=SLOW)
            await here.helper(here.allowing(max_upload_rate=MIB))
            got = await here.get(connections=1)
            assert MIB < got.members[1][1] <= got.seconds * MIB + AT_ONCE

    run(story())


def test_a_requester_sends_others_within_its_limit(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=SLOW)
            port = free_port()
            here.peers.append(("127.0.0.1", port))
            seen: list[Progress] = []
            first = asyncio.create_task(
                here.get(port=port, connections=8, max_upload_rate=MIB // 2, on_progress=seen.append)
            )
            await until(lambda: bool(seen) and seen[-1].here > SMALL // 3)
            second = await here.get(connections=1)
            await first
            assert 0 < second.members[1][1] <= second.seconds * MIB // 2 + AT_ONCE

    run(story())
