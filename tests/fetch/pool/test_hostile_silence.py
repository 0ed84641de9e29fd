"""Members that die, freeze or crawl, at the worst moment: the file is right, and nobody waits for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shoal.testing.hostile_member import MemberScript
from shoal.units import KIB, MIB

from .hostile import MOST_SENT, culprits, held_up, hostile, name_of
from .room import LARGE, SMALL, made_up, room

ALL = frozenset(range(SMALL // (256 * KIB)))
CACHED = MemberScript(cached_pieces=ALL, claims=False)


def run(story) -> None:
    asyncio.run(story)


def the_file_is_right_with(folder: Path, script: MemberScript) -> None:
    """One hostile helper and nobody else. Nobody is called a liar, and what it held up comes from the origin."""

    async def story() -> None:
        body = made_up(SMALL)
        async with room(folder) as here, hostile(here, body, script) as member:
            here.serve(body, rate=here.slow)
            got = await here.get(connections=2)  # it takes long enough for the trouble to matter
            assert got.path.read_bytes() == body
            assert member.lines, "it was met"
            assert here.origin.sent < MOST_SENT * len(body)
            assert culprits(here) == []
            assert set(held_up(here)) <= {name_of(member)}
            if script.dies_after or script.freezes_after:
                assert held_up(here)

    run(story())


@pytest.mark.parametrize("pieces", [1, 3, 6])
def test_a_helper_that_dies_amid_its_claims_costs_what_it_had_not_passed_on(
    tmp_path: Path, pieces: int
) -> None:
    the_file_is_right_with(tmp_path, MemberScript(dies_after=pieces, bring_rate=2 * MIB))


def test_a_helper_that_dies_with_pieces_that_only_it_had(tmp_path: Path) -> None:
    """It serves too slowly for any of them to be here by then."""
    the_file_is_right_with(tmp_path, MemberScript(dies_after=8, bring_rate=2 * MIB, serve_rate=16 * KIB))


@pytest.mark.parametrize("pieces", [1, 3, 6])
def test_a_helper_that_freezes_amid_its_claims_is_not_waited_for(tmp_path: Path, pieces: int) -> None:
    the_file_is_right_with(tmp_path, MemberScript(freezes_after=pieces, bring_rate=2 * MIB))


def test_a_helper_that_freezes_in_the_middle_of_a_block_with_pieces_that_only_it_had(tmp_path: Path) -> None:
    the_file_is_right_with(tmp_path, MemberScript(freezes_after=8, bring_rate=4 * MIB, serve_rate=64 * KIB))


def test_a_helper_that_has_all_and_never_sends_any_of_it(tmp_path: Path) -> None:
    """Nothing is left to fetch but what it has: its silence is the only one, and still too long."""
    the_file_is_right_with(tmp_path, MemberScript(cached_pieces=ALL, claims=False, serve_rate=1))


def test_a_helper_that_has_all_and_lets_nobody_ask(tmp_path: Path) -> None:
    the_file_is_right_with(tmp_path, MemberScript(cached_pieces=ALL, claims=False, unchokes=False))


def test_a_helper_that_crawls_to_us_is_overtaken(tmp_path: Path) -> None:
    the_file_is_right_with(tmp_path, MemberScript(cached_pieces=ALL, claims=False, serve_rate=4 * KIB))


def test_a_helper_that_crawls_from_the_origin_is_overtaken(tmp_path: Path) -> None:
    the_file_is_right_with(tmp_path, MemberScript(bring_rate=16 * KIB))


def test_a_helper_that_claims_everything_and_brings_nothing_is_not_waited_for(tmp_path: Path) -> None:
    the_file_is_right_with(tmp_path, MemberScript(claims_everything=True, brings=False, told_rate=1))


def test_several_that_claim_everything_and_bring_nothing_hold_nobody_up_for_long(tmp_path: Path) -> None:
    """Each for as long as it is believed, then the next one, under another key."""

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            script = MemberScript(claims_everything=True, brings=False, told_rate=1)
            async with (
                hostile(here, body, script),
                hostile(here, body, script),
                hostile(here, body, script),
            ):
                got = await here.get()
                assert got.path.read_bytes() == body

    run(story())


def test_honest_helpers_go_on_when_one_among_them_freezes(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(LARGE)
        script = MemberScript(freezes_after=4, bring_rate=2 * MIB)
        async with room(tmp_path) as here, hostile(here, body, script):
            here.serve(body, rate=here.slow)
            await here.helper()
            await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert sum(count > 0 for _, count, _ in got.members) >= 3
            assert here.origin.sent < MOST_SENT * len(body)
            assert culprits(here) == []

    run(story())
