"""A real requester with a good helper and a bad one: the file is right, and who lied is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shoal.fetch.group.certificates import authority_certificate, member_certificate, tls_context
from shoal.fetch.group.signing import new_member_key
from shoal.fetch.pieces import piece_length_for
from shoal.testing.group_floods import (
    MALFORMED_IN_MEETING,
    MALFORMED_IN_POOL,
    flood_of_accusations,
    flood_of_claims,
    flood_of_presence,
    invented_records,
)
from shoal.testing.hostile_member import HostileMember, MemberScript

from .room import HOST, LONGEST, SLOW, SMALL, Room, made_up, room

LENGTH = 2 * SMALL
BODY = made_up(LENGTH)
PIECES = -(-LENGTH // piece_length_for(LENGTH))
ALL = frozenset(range(PIECES))


@asynccontextmanager
async def bad_member(here: Room, script: MemberScript, payload: bytes = BODY) -> AsyncIterator[HostileMember]:
    """A member of the room's group."""
    me, seed = new_member_key(), here.key.authority_seed
    shown = authority_certificate(seed), member_certificate(seed, me), me.private
    async with HostileMember(
        here.key.meeting_hash,
        payload,
        piece_length_for(len(payload)),
        me,
        script,
        dialling=tls_context(*shown, is_server=False),
        answering=tls_context(*shown, is_server=True),
    ) as member:
        here.peers.append((HOST, member.port))
        yield member


def play(
    folder: Path,
    script: MemberScript,
    check: Callable[[Room, HostileMember], None],
    payload: bytes = BODY,
) -> None:
    """The requester gets the file with a good helper and this member. Then `check`."""

    async def story() -> None:
        async with room(folder) as here:
            here.serve(BODY, rate=lambda: SLOW if here.is_noted("is out of group") else here.slow())
            await here.helper()
            async with bad_member(here, script, payload) as member:
                got = await here.get(connections=2)
                assert got.path.read_bytes() == BODY
                check(here, member)

    run(story())


def run(story: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(story, LONGEST))


def is_out(here: Room, member: HostileMember) -> bool:
    return any("is out" in note for note in here.notes)


def test_who_signs_false_bytes_is_out_and_the_file_is_right(tmp_path: Path) -> None:
    def check(here: Room, member: HostileMember) -> None:
        assert member.served, "it was asked for pieces"
        assert is_out(here, member)

    play(tmp_path, MemberScript(false_pieces=ALL), check)


def test_who_delivers_another_version_is_out(tmp_path: Path) -> None:
    def check(here: Room, member: HostileMember) -> None:
        assert is_out(here, member)

    play(tmp_path, MemberScript(), check, made_up(LENGTH, 2))


def test_who_serves_what_it_did_not_sign_does_no_harm(tmp_path: Path) -> None:
    def check(here: Room, member: HostileMember) -> None:
        assert member.served

    play(tmp_path, MemberScript(broken_pieces=ALL), check)


def test_who_signs_with_a_wrong_key_is_out(tmp_path: Path) -> None:
    def check(here: Room, member: HostileMember) -> None:
        assert not member.served

    play(tmp_path, MemberScript(has_wrong_signatures=True), check)


@pytest.mark.parametrize(
    "script",
    [
        MemberScript(),
        MemberScript(claims_everything=True, brings=False),
        MemberScript(brings=False),
        MemberScript(freezes_after=3),
        MemberScript(dies_after=3),
        MemberScript(bring_rate=20_000.0, serve_rate=20_000.0, told_rate=100_000_000),
        MemberScript(cached_pieces=ALL, claims=False, serve_rate=1_000.0),
    ],
    ids=["good", "claims everything", "never delivers", "freezes", "dies", "crawls", "has all and crawls"],
)
def test_the_file_is_right_and_soon_here(script: MemberScript, tmp_path: Path) -> None:
    def check(here: Room, member: HostileMember) -> None:
        assert not is_out(here, member) or script.claims_everything
        assert member.lines, "they met"

    play(tmp_path, script, check)


FLOODS = (
    *flood_of_claims(3_000, PIECES),
    *flood_of_accusations([bytes([number]) * 32 for number in range(50)], PIECES),
)


@pytest.mark.parametrize(
    "script",
    [
        MemberScript(says_in_meeting=flood_of_presence(5_000)),
        MemberScript(says_in_pool=FLOODS),
        MemberScript(says_in_pool=invented_records(2_000, 0)),
        *(MemberScript(says_in_meeting=[payload]) for payload in MALFORMED_IN_MEETING[1::3]),
        *(MemberScript(says_in_pool=[payload]) for payload in MALFORMED_IN_POOL[1::3]),
    ],
    ids=lambda script: str(len(script.says_in_meeting) + len(script.says_in_pool)),
)
def test_whatever_is_said_the_file_is_right(script: MemberScript, tmp_path: Path) -> None:
    play(tmp_path, script, lambda here, member: None)
