"""An origin in trouble while a room downloads from it, and members that are cancelled: nothing mixes or leaks."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

import pytest

from shoal.fetch.options import STALL_TIMEOUT
from shoal.fetch.pool.pooled import AUDITS_AT_ONCE, MOST_CONNECTIONS
from shoal.testing.hostile_member import MemberScript
from shoal.testing.hostile_origin import Page, first
from shoal.units import KIB

from ...peers.processes import free_port
from .hostile import hostile, until
from .room import BARELY, HOST, SLOW, SMALL, Room, RunningHelper, made_up, room

MEMBERS = 6
AUDITS = MEMBERS * AUDITS_AT_ONCE  # they run beside


def run(story) -> None:
    asyncio.run(story)


def test_an_origin_that_asks_one_to_wait_is_not_hammered_by_the_others(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        busy = Page(b"come back", status=503, retry_after="1")
        async with room(tmp_path) as here:
            good = Page(body, rate=SLOW)
            here.origin.pages["/file.bin"] = first(good, busy, busy, then=good)
            await here.helper()
            await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert len(here.origin.asked) < 80

    run(story())


def test_an_origin_that_is_silent_when_it_is_asked_for_audits_holds_up_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        everything = MemberScript(cached_pieces=frozenset(range(24)), claims=False)
        async with room(tmp_path) as here, hostile(here, body, everything):
            here.serve(body, stalls_after=16 * KIB)
            got = await here.get()
            assert got.path.read_bytes() == body
            assert got.seconds < STALL_TIMEOUT

    run(story())


def test_the_connections_of_all_members_together_stay_within_what_the_group_may_have(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(4 * SMALL)
        async with room(tmp_path) as here:
            may_go_on = asyncio.Event()
            here.serve(body, rate=here.once(may_go_on.is_set))
            here.peers += [(HOST, free_port()) for _ in range(MEMBERS)]
            ports = [port for _, port in here.peers]
            getting = [here.group.create_task(here.get(port=port, connections=16)) for port in ports]
            await until(lambda: len(here.to_meet) == MEMBERS and not any(here.to_meet.values()))
            await until(lambda: here.origin.running <= MOST_CONNECTIONS + AUDITS)
            here.origin.most_running = 0
            may_go_on.set()
            got = await asyncio.gather(*getting)
            assert all(one.path.read_bytes() == body for one in got)
            assert (
                here.origin.most_running < 2 * MOST_CONNECTIONS
            )  # of 96; who rested comes back unexpectedly

    run(story())


@pytest.mark.parametrize("seed", range(4))
def test_a_file_that_is_replaced_is_never_mixed_by_anybody(tmp_path: Path, seed: int) -> None:
    async def story() -> None:
        rng = random.Random(seed)
        old, new = made_up(SMALL, seed), made_up(SMALL, seed + 100)
        async with room(tmp_path) as here:
            here.serve(old, rate=SLOW)
            await here.helper()
            at = rng.randrange(SMALL // 8, SMALL)

            def replace(sent: int) -> None:
                if sent >= at:
                    here.serve(new, etag='"v2"', rate=here.slow)

            here.origin.on_body["/file.bin"] = replace
            port = free_port()
            here.peers.append((HOST, port))
            got = await asyncio.gather(here.get(port=port), here.get())
            for one in got:
                assert one.path.read_bytes() in (old, new)

    run(story())


def test_an_honest_helper_whose_origin_has_another_version_says_so_and_nobody_is_called_a_liar(
    tmp_path: Path,
) -> None:
    """The first response is of one version; whoever is not the requester gets another."""

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            said = "does not send me that version"
            here.serve(body, rate=here.once(lambda: here.is_noted(said)))
            sees_another(here, await here.helper())
            here.serve(made_up(SMALL, 2), path="/other.bin", etag='"v2"', rate=SLOW)
            got = await here.get()
            assert got.path.read_bytes() == body
            assert here.is_noted(said)
            assert not any(" is out" in note for note in here.notes)

    run(story())


def sees_another(here: Room, helper: RunningHelper) -> None:
    """This helper's way to the origin leads to the page `/other.bin`."""
    usual = helper.server._transfers.get

    async def get_another(source, receiver, begin, end=None, *, at=None):
        return await usual(type(source)(here.url("/other.bin")), receiver, begin, end, at=at)

    helper.server._transfers.get = get_another


def test_an_origin_that_is_dead_for_a_helper_costs_only_its_help(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.once(lambda: here.is_noted("does not help")))
            sees_another(here, await here.helper())
            here.serve(b"no", path="/other.bin", status=403)
            got = await here.get()
            assert got.path.read_bytes() == body
            assert here.is_noted("does not help")
            assert not any(" is out" in note for note in here.notes)

    run(story())


def test_a_file_comes_through_a_helper_when_the_origin_turns_the_requester_away(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=BARELY)  # also what is on its way when the requester is turned away
            here.serve(body, path="/other.bin", rate=4 * SLOW)
            sees_another(here, await here.helper())

            def turn_away(sent: int) -> None:
                if here.helpers[0].server._begun:
                    here.serve(b"no", status=403)

            here.origin.on_body["/file.bin"] = turn_away
            got = await here.get()
            assert got.path.read_bytes() == body
            assert {name: count for name, count, _ in got.members}[
                f"{HOST}:{here.helpers[0].port}"
            ] > SMALL // 2

    run(story())


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.8])
def test_a_requester_that_is_cancelled_leaves_nothing_behind_and_goes_on_later(
    tmp_path: Path, share: float
) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=SLOW)
            await here.helper()
            tasks, files, threads = len(asyncio.all_tasks()), _files(), _threads()
            getting = asyncio.get_running_loop().create_task(here.get())
            await until(lambda: here.origin.sent >= share * len(body))
            getting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getting
            here.requesters -= 1
            got = await here.get()
            assert got.path.read_bytes() == body
            here.helpers[0].stop.set()
            await until(lambda: len(asyncio.all_tasks()) <= tasks)
            await until(lambda: _files() <= files)
            await until(lambda: _threads() <= threads)

    run(story())


def test_a_helper_that_is_stopped_amid_its_work_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            helper = await here.helper()
            here.serve(body, rate=here.once(helper.stop.is_set))
            getting = here.group.create_task(here.get())
            await until(lambda: helper.server._begun)
            helper.stop.set()
            got = await getting
            assert got.path.read_bytes() == body
        assert not list((tmp_path / "helper0").glob("*.part"))

    run(story())


def _threads() -> set[threading.Thread]:
    """But for the loop's pool, which stays, and those that serve the origin's connections."""
    return {
        thread for thread in threading.enumerate()
        if not thread.name.startswith("asyncio_") and not thread.name.endswith("(_serve)")
    }  # fmt: skip


def _files() -> int:
    """Open descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
