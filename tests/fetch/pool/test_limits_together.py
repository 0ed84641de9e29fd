"""Limits of rates hold for a machine as a whole: what comes from the origin and from members, what goes to all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shoal.fetch.options import FetchOptions
from shoal.fetch.pool import pooled
from shoal.fetch.pool.asking import Asking
from shoal.fetch.progress import Progress
from shoal.units import KIB, MIB

from ...engine.scene import until
from ...peers.processes import free_port
from .room import HOST, SLOW, SMALL, made_up, room

LIMIT = 2 * MIB  # bytes a second
AT_ONCE = MIB // 2  # bytes that pass before a limit shows, and what a look is late


def run(story) -> None:
    asyncio.run(story)


def test_what_members_send_counts_for_the_limit_of_a_download(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            await here.helper()
            got = await here.get(options=FetchOptions(max_rate=LIMIT), connections=1)
            assert got.path.read_bytes() == body
            assert got.members[1][1] > MIB
            assert got.seconds * LIMIT > len(body) - AT_ONCE

    run(story())


def test_whether_help_is_worth_asking_for_is_judged_by_the_limit_of_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reaches it alone asks nobody: `test_asking.py` has that on virtual time."""
    limits: list[int | None] = []

    def asking(now: float, limit: int | None) -> Asking:
        limits.append(limit)
        return Asking(now, limit)

    monkeypatch.setattr(pooled, "Asking", asking)

    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL))
            await here.get(options=FetchOptions(max_rate=LIMIT))
            assert limits == [LIMIT]

    run(story())


def test_a_helper_that_keeps_what_it_passes_on_takes_it_from_members_within_its_limit(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(2 * SMALL), rate=here.slow)
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
            here.serve(made_up(SMALL), rate=here.slow)
            await here.helper(here.allowing(max_upload_rate=MIB))
            got = await here.get(connections=1)
            assert MIB < got.members[1][1] <= got.seconds * MIB + AT_ONCE

    run(story())


def test_a_requester_sends_others_within_its_limit(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            port = free_port()
            here.peers.append((HOST, port))
            seen: list[Progress] = []
            brought: list[int] = []

            def rate() -> int:
                """The first is not done before the second has something of it."""
                return SLOW if here.requesters < 2 or any(brought) else 16 * KIB

            def look(now: Progress) -> None:
                brought[:] = [one.brought for one in now.members[1:]]

            here.serve(made_up(SMALL), rate=rate)
            first = asyncio.create_task(
                here.get(port=port, connections=8, max_upload_rate=MIB // 2, on_progress=seen.append)
            )
            await until(lambda: bool(seen) and seen[-1].here > SMALL // 3)
            second = await here.get(connections=1, on_progress=look)
            await first
            assert 0 < second.members[1][1] <= second.seconds * MIB // 2 + AT_ONCE

    run(story())
