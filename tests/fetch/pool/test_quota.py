"""A helper fetches no more in a day than its owner allows, to the byte, and leaves as who has said why."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shoal.fetch.pool.helping import USED_UP
from shoal.fetch.pool.quota import Quota
from shoal.units import KIB, MIB

from .room import LARGE, made_up, room


def test_what_may_be_fetched_in_a_day_is_never_exceeded_and_what_was_fetched_still_comes(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(LARGE)
        quota = 3_000_000  # eleven pieces and a bit
        async with room(tmp_path) as here:
            helper = await here.helper(here.allowing(quota=quota))
            here.serve(body, rate=here.once(lambda: helper.fields_of("helped")))
            got = await here.get(connections=2)
            assert got.path.read_bytes() == body
            (helped,) = helper.fields_of("helped")
            assert quota - 256 * KIB < helped["fetched"] <= quota
            assert got.members[1].brought == helped["fetched"]
            assert here.is_noted(f"does not help: {USED_UP}")
            assert not here.is_noted("is gone")

    asyncio.run(story())


def test_two_works_share_what_is_left(tmp_path: Path) -> None:
    quota = Quota(10 * MIB, tmp_path / "quota.json")
    quota.spend(2 * MIB)
    quota.hold("one", 5 * MIB)
    quota.hold("two", MIB)
    assert quota.left_for("one") == 7 * MIB
    assert quota.left_for("two") == 3 * MIB
    quota.spend(4 * MIB)
    quota.hold("one", MIB)
    assert quota.left_for("two") == 3 * MIB
    quota.let_go("one")
    assert quota.left_for("two") == 4 * MIB
    assert quota.left_for("three") == 3 * MIB


def test_without_a_limit_nothing_is_bounded(tmp_path: Path) -> None:
    quota = Quota(None, tmp_path / "quota.json")
    quota.hold("one", MIB)
    assert quota.left_for("two") is None
