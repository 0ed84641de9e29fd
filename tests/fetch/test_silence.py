"""A lone connection that falls silent is noticed within seconds; one that drips is left alone."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from shoal.fetch.claims import LONE_STALL, StopReason
from shoal.fetch.download import download
from shoal.fetch.options import FetchOptions
from shoal.fetch.patience import Silence
from shoal.fetch.plan import Plan
from shoal.fetch.progress import Downloaded, Wanted
from shoal.testing.hostile_origin import HostileOrigin, Page, first
from shoal.units import KIB, MIB

BODY = random.Random(1).randbytes(1 * MIB + 1)


def fetch(folder: Path, url: str, notes: list[str]) -> Downloaded:
    async def story() -> Downloaded:
        async with asyncio.timeout(60):
            done = await download(Wanted((url,), folder, most_fetchers=1), on_note=notes.append)
        assert isinstance(done, Downloaded)
        return done

    return asyncio.run(story())


def test_a_lone_connection_that_falls_silent_is_replaced_and_what_came_is_kept(tmp_path: Path) -> None:
    notes: list[str] = []
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(Page(BODY, stalls_after=512 * KIB), then=Page(BODY))
        done = fetch(tmp_path, origin.url("/file.bin"), notes)
        assert (done.path.read_bytes(), done.received, notes) == (BODY, len(BODY), [])
        assert 2 < done.seconds < FetchOptions().stall_timeout
        assert origin.asked[1].range == (512 * KIB, len(BODY))


def test_a_stream_that_falls_silent_begins_again_and_that_is_said_once(tmp_path: Path) -> None:
    notes: list[str] = []
    stalls = Page(BODY, takes_ranges=False, stalls_after=512 * KIB)
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(stalls, stalls, then=Page(BODY, takes_ranges=False))
        done = fetch(tmp_path, origin.url("/file.bin"), notes)
        assert done.path.read_bytes() == BODY
        assert done.seconds < FetchOptions().stall_timeout
    assert len(notes) == 2
    assert "nothing came any more; begins again from the first byte" in notes[1]


@pytest.mark.parametrize("every", [0.5, 1.0, 2.0])
def test_who_drips_is_not_silent(every: float) -> None:
    silence, plan, now, came = Silence(LONE_STALL), Plan(1 * MIB), 1.0, 0
    plan.next_run(1, now)
    stops = []
    for beat in range(300):
        now += 0.1
        if beat % round(every * 10) == 0:
            came += 100
            plan.on_bytes(1, 100, now)
        silence.look(came, now, is_held=False)
        stops += plan.tick(now)
        assert not silence.is_too_long
    assert stops == []


def test_whom_we_hold_ourselves_is_not_silent() -> None:
    silence, plan = Silence(LONE_STALL), Plan(100 * MIB)
    plan.next_run(1, 1.0)
    plan.on_bytes(1, 1 * MIB, 1.1)
    silence.look(1 * MIB, 1.1, is_held=False)
    for beat in range(100):
        now = 1.1 + beat / 10
        plan.excuse(now)
        silence.look(1 * MIB, now, is_held=True)
        assert plan.tick(now) == []
    assert not silence.is_too_long
    silence.look(1 * MIB, now + LONE_STALL + 0.1, is_held=False)
    assert silence.is_too_long
    assert [stop.reason for stop in plan.tick(now + LONE_STALL + 0.1)] == [StopReason.STALLED]


def test_who_never_began_is_not_this_ones_to_judge() -> None:
    silence = Silence(LONE_STALL)
    silence.look(0, 1.0, is_held=False)
    silence.look(0, 100.0, is_held=False)
    assert not silence.is_too_long
