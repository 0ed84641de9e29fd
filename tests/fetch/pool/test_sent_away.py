"""A helper that adds nothing is sent away: its work is over, and the file comes as before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shoal.fetch.pool import worth
from shoal.testing.hostile_origin import Page
from shoal.units import KIB, MIB

from .room import made_up, room

SLOW = 512 * KIB  # bytes a second of each connection to the origin
CRAWL = 8 * KIB  # bytes a second that the helper's owner allows: a piece takes half a minute


def test_a_helper_that_crawls_is_sent_away_and_its_work_is_over_before_the_download_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worth, "BEGINS_WITHIN", 0.5)
    monkeypatch.setattr(worth, "WINDOW", 0.5)
    monkeypatch.setattr(worth, "RECENT", 0.5)
    monkeypatch.setattr(worth, "LITTLE", 0.1)
    monkeypatch.setattr(worth, "MOST_MISSED", 0.2)
    monkeypatch.setattr(worth, "LEAST_LEFT", 0.5)

    async def story() -> None:
        body = made_up(48 * MIB)
        async with room(tmp_path) as here:
            helper = await here.helper(here.allowing(max_download_rate=CRAWL))

            def page(number: int) -> Page:
                return Page(body, rate=None if helper.fields_of("helped") else SLOW)

            here.origin.pages["/file.bin"] = page
            got = await here.get()
            assert got.path.read_bytes() == body
            assert any("adds nothing to the rate" in note for note in here.notes)
            assert helper.fields_of("helped")  # though who asked was in the pool all the time

    asyncio.run(story())
