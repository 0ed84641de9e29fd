"""Members that lie about bytes: the file is right, the liar is named and out, and nobody else is."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from shoal.disk.checksum import parse_checksum
from shoal.fetch.group.signing import new_member_key
from shoal.fetch.pool import audits, requesting
from shoal.testing.hostile_member import MemberScript
from shoal.units import KIB, MIB

from ...peers.processes import free_port
from .hostile import MOST_SENT, culprit_of, culprits, dial_in_time, hostile, other, until
from .room import HOST, LARGE, SMALL, made_up, room

PIECE = 256 * KIB
ALL = frozenset(range(SMALL // PIECE))
SOME = frozenset({1, 5, 6, 11, 17})


def run(story) -> None:
    asyncio.run(story)


def sha256_of(body: bytes):
    return parse_checksum(f"sha256:{hashlib.sha256(body).hexdigest()}")


@pytest.fixture
def without_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance would have it that a lie is not looked at."""
    monkeypatch.setattr(audits, "FIRST_AUDITS", 0)
    monkeypatch.setattr(requesting, "SHARE_WITH_DIGEST", 0.0)
    monkeypatch.setattr(requesting, "SHARE", 0.0)


def test_a_helper_that_delivers_another_version_is_found_by_the_audit_of_its_first_pieces(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(LARGE)
        async with room(tmp_path) as here, hostile(here, other(body), MemberScript(bring_rate=MIB)) as liar:
            here.serve(body, rate=here.slow)
            await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert culprits(here) == [culprit_of(liar)]

    run(story())


def test_one_that_has_all_of_another_version_in_its_cache_is_found_too(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(cached_pieces=ALL, claims=False)
        async with room(tmp_path) as here, hostile(here, other(body), script) as liar:
            here.serve(body, rate=here.slow)
            got = await here.get()
            assert got.path.read_bytes() == body
            assert culprits(here) == [culprit_of(liar)]
            assert here.origin.sent < MOST_SENT * len(body)

    run(story())


def test_what_no_audit_saw_is_found_by_the_digest_and_only_what_others_brought_is_fetched_again(
    tmp_path: Path, without_audits: None
) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(cached_pieces=SOME, false_pieces=SOME, claims=False)
        async with room(tmp_path) as here, hostile(here, body, script) as liar:
            here.serve(body, rate=here.slow)
            got = await here.get(checksums=(sha256_of(body),))
            assert got.path.read_bytes() == body
            assert got.verified == "sha256"
            assert any("the digest is wrong" in note for note in here.notes)
            assert culprits(here) == [culprit_of(liar)]
            assert here.origin.sent < MOST_SENT * len(body)

    run(story())


def test_a_liar_with_everything_is_found_by_the_digest_and_brings_nothing_more(
    tmp_path: Path, without_audits: None
) -> None:
    """What is in doubt is not asked of those who brought it, who are quicker than the origin."""

    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(cached_pieces=ALL, claims=False)
        async with room(tmp_path) as here, hostile(here, other(body), script) as liar:
            here.serve(body, rate=here.slow)
            got = await here.get(checksums=(sha256_of(body),))
            assert got.path.read_bytes() == body
            assert culprits(here) == [culprit_of(liar)]
            assert sum("the digest is wrong" in note for note in here.notes) == 1

    run(story())


def test_bytes_that_differ_from_their_senders_own_record_put_it_out(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(cached_pieces=ALL, broken_pieces=SOME, claims=False)
        async with room(tmp_path) as here, hostile(here, body, script) as culprit:
            here.serve(body, rate=here.slow)
            await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert culprits(here) == [culprit_of(culprit)]

    run(story())


@pytest.mark.parametrize("asks_first", [True, False])
def test_two_authors_that_sign_different_things_the_origin_decides(tmp_path: Path, asks_first: bool) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        honest = MemberScript(cached_pieces=ALL, claims=False)
        liar = MemberScript(cached_pieces=SOME, claims=False)
        bodies = [(body, honest), (other(body), liar)]
        first, second = bodies if asks_first else reversed(bodies)
        async with room(tmp_path) as here, hostile(here, *first) as one, hostile(here, *second) as two:
            here.serve(body, rate=here.slow)
            got = await here.get()
            assert got.path.read_bytes() == body
            assert culprits(here) == [culprit_of(two if asks_first else one)]

    run(story())


def test_a_liar_that_two_requesters_meet_is_named_and_neither_suspects_the_other(
    tmp_path: Path, without_audits: None
) -> None:
    """Each passes on what it has of the liar before its digest tells that something is wrong."""

    async def story() -> None:
        body = made_up(SMALL)
        low, high = frozenset(range(12)), frozenset(range(12, 24))
        key = new_member_key()
        ports = free_port(), free_port()
        async with (
            room(tmp_path) as here,
            hostile(
                here, body, MemberScript(cached_pieces=low | high, false_pieces=SOME, claims=False), key=key
            ),
        ):
            here.serve(body, rate=here.slow)
            here.peers += [(HOST, port) for port in ports]
            got = await asyncio.gather(*(here.get(port=port, checksums=(sha256_of(body),)) for port in ports))
            assert all(one.path.read_bytes() == body for one in got)
            assert set(culprits(here)) == {name_of_key(here, key)}

    run(story())


def name_of_key(here, key) -> str:
    """Whoever has this key is called by the address it was met at, the first of the room's, and by the key."""
    return f"{HOST}:{here.peers[0][1]} (member {key.public.hex()[:8]})"


def test_an_innocent_relay_of_a_liars_pieces_stays(tmp_path: Path) -> None:
    """The liar meets one requester alone, which passes its pieces on before the audits have found it."""

    async def story() -> None:
        body = made_up(2 * SMALL)
        ports = free_port(), free_port()
        script = MemberScript(cached_pieces=frozenset(range(40)), claims=False)
        async with (
            room(tmp_path) as here,
            hostile(here, other(body), script, known=False) as liar,
        ):
            here.serve(body, rate=here.once(lambda: liar.served))
            here.peers += [(HOST, port) for port in ports]

            async def meet_the_first() -> None:
                await until(lambda: here.origin.asked)
                await dial_in_time(liar, ports[0], here.key.meeting_hash)

            meeting = here.group.create_task(meet_the_first())
            got = await asyncio.gather(*(here.get(port=port) for port in ports))
            await meeting
            assert all(one.path.read_bytes() == body for one in got)
            assert liar.served, "it had its chance"
            assert culprits(here)
            assert all(str(port) not in name for name in culprits(here) for port in ports)

    run(story())


def test_forged_signatures_put_their_bearer_out(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(cached_pieces=ALL, has_wrong_signatures=True, claims=False)
        async with room(tmp_path) as here, hostile(here, body, script) as culprit:
            here.serve(body, rate=here.slow)
            await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert culprits(here) == [culprit_of(culprit)]
            assert not culprit.served

    run(story())


def test_pieces_of_which_nobody_has_a_record_are_asked_of_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(cached_pieces=ALL, claims=False, signs=False)
        async with room(tmp_path) as here, hostile(here, body, script) as silent:
            here.serve(body, rate=here.slow)
            got = await here.get()
            assert got.path.read_bytes() == body
            assert not silent.served
            assert here.origin.sent < MOST_SENT * len(body)

    run(story())
