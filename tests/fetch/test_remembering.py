"""When what is here is made durable; the times are told, so nothing is waited for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shoal.disk.part_file import PartFile
from shoal.fetch.plan import Plan
from shoal.fetch.remembering import NEARLY_OVER, REMEMBERED_EVERY, REMEMBERED_FIRST, Remembering
from shoal.units import KIB, MIB

from ..disk.parts import open_part, put


def times_of(part: PartFile, plan: Plan, beats: list[float]) -> list[float]:
    """Of these beats, those at which it was remembered."""
    found = []

    async def story() -> None:
        async def beforehand() -> None:
            found.append(now)

        remembering = Remembering(part, plan, beforehand, lambda error: None)
        for now in beats:
            async with asyncio.TaskGroup() as group:
                remembering.beat(group, now)

    asyncio.run(story())
    return found


def test_what_is_here_is_remembered_after_a_second_and_then_every_five(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, range(3))
    soon, later = 10.0 + REMEMBERED_FIRST, 10.0 + REMEMBERED_FIRST + REMEMBERED_EVERY
    beats = [10.0, soon - 0.1, soon, soon + 0.1, later - 0.1, later, later + 0.1]
    assert times_of(part, Plan(100 * MIB), beats) == [soon, later]
    part.close()
    part = open_part(tmp_path)
    assert part.have_bits == 0b111
    part.close()


def test_as_long_as_there_is_nothing_to_lose_it_waits_for_the_first_piece(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    assert times_of(part, Plan(100 * MIB), [10.0, 12.0, 14.0]) == []
    part.close()


def test_what_is_about_to_be_whole_is_not_read_once_more(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, range(3))
    for length, is_remembered in ((10 * MIB, True), (int((NEARLY_OVER + 1) * MIB), False)):
        plan = Plan(length, most_fetchers=1)
        plan.next_run(1, 10.0)
        for tick in range(1, 21):
            plan.on_bytes(1, 64 * KIB, 10.0 + tick / 16)
        assert bool(times_of(part, plan, [10.0, 11.25])) == is_remembered
    part.close()
