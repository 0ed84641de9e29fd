"""A server that says nothing of the version: the SHA-256 that the requesters know brings them together."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from pathlib import Path

import pytest

from shoal.disk.checksum import parse_checksum
from shoal.errors import ChecksumError
from shoal.fetch.pool import work
from shoal.testing.hostile_member import MemberScript
from shoal.testing.hostile_origin import Page, first
from shoal.units import MIB

from ...peers.processes import free_port
from .hostile import MOST_SENT, culprit_of, culprits, hostile, other, parts, until
from .room import HOST, SLOW, SMALL, Room, made_up, room


def run(story) -> None:
    asyncio.run(story)


def checksum_of(body: bytes, name: str = "sha256"):
    return parse_checksum(f"{name}:{hashlib.new(name, body).hexdigest()}")


async def get_all(here: Room, count: int, **wanted):
    """As many requesters at once, who know each other."""
    here.peers += [(HOST, free_port()) for _ in range(count)]
    ports = [port for _, port in here.peers[-count:]]
    return await asyncio.gather(*(here.get(port=port, **wanted) for port in ports), return_exceptions=True)


def test_requesters_with_the_same_digest_share_a_pool_and_the_origin_sends_the_file_once_and_not_thrice(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(4 * SMALL)
        async with room(tmp_path) as here:
            here.serve(body, etag=None, rate=here.slow)
            got = await get_all(here, 3, checksums=(checksum_of(body),))
            assert [one.path.read_bytes() == body for one in got] == [True] * 3
            assert [one.verified for one in got] == ["sha256"] * 3
            assert here.origin.sent < 2 * len(body)

    run(story())


def test_a_helper_takes_such_a_question(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, etag=None, rate=here.slow)
            await here.helper()
            got = await here.get(checksums=(checksum_of(body),))
            assert got.path.read_bytes() == body
            assert [count > 0 for _, count, _ in got.members] == [True, True]
            assert here.origin.sent < MOST_SENT * len(body)

    run(story())


def test_a_helper_whose_origin_has_a_file_of_another_length_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            said = "does not send me that version: it has"
            here.serve(body, etag=None, rate=here.once(lambda: here.is_noted(said)))
            helper = await here.helper()
            here.serve(body[:-1], path="/other.bin", etag=None)
            usual = helper.server._transfers.get

            async def get_another(source, receiver, begin, end=None, *, at=None):
                return await usual(type(source)(here.url("/other.bin")), receiver, begin, end, at=at)

            helper.server._transfers.get = get_another
            got = await here.get(checksums=(checksum_of(body),))
            assert got.path.read_bytes() == body
            assert here.is_noted(said)
            assert not culprits(here)

    run(story())


@pytest.mark.parametrize("name", ["md5", "sha1"])
def test_a_digest_that_can_be_forged_makes_no_pool(tmp_path: Path, name: str) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, etag=None)
            got = await here.get(checksums=(checksum_of(body, name),))
            assert (got.path.read_bytes() == body, got.verified) == (True, name)
            reason = "the server does not say which version it is, and its SHA-256 is not known"
            assert f"downloads without the group: {reason}" in here.notes

    run(story())


def test_where_the_server_says_the_version_who_knows_the_digest_meets_who_does_not(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(4 * SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            here.peers += [(HOST, free_port()) for _ in range(2)]
            (_, one), (_, two) = here.peers
            got = await asyncio.gather(here.get(port=one, checksums=(checksum_of(body),)), here.get(port=two))
            assert all(one.path.read_bytes() == body for one in got)
            assert here.origin.sent < 1.6 * len(body)

    run(story())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wants_new", [False, True])
def test_a_file_replaced_meanwhile_comes_right_or_not_at_all(
    tmp_path: Path, seed: int, wants_new: bool
) -> None:
    """Both versions look the same to everybody but the digest."""

    async def story() -> None:
        old, new = made_up(SMALL, seed), made_up(SMALL, seed + 100)
        wanted = new if wants_new else old
        at = random.Random(seed).randrange(SMALL // 8, SMALL)
        async with room(tmp_path) as here:
            here.serve(old, etag=None, rate=here.slow)
            await here.helper()

            def replace(sent: int) -> None:
                if sent >= at:
                    here.serve(new, etag=None, rate=here.slow)

            here.origin.on_body["/file.bin"] = replace
            got = await get_all(here, 2, checksums=(checksum_of(wanted),))
            for number, one in enumerate(got, 1):
                final = here.folder / f"requester{number}" / "file.bin"
                assert isinstance(one, ChecksumError) or one.path.read_bytes() == wanted
                assert final.exists() == (not isinstance(one, ChecksumError))

    run(story())


def test_a_version_that_the_server_names_later_shows_that_it_was_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        old, new = made_up(SMALL), made_up(SMALL, 2)
        async with room(tmp_path) as here:
            cut = Page(old, rate=SLOW, closes_after=MIB)  # so that it is asked again and again
            here.origin.pages["/file.bin"] = first(Page(old, etag=None), then=cut)

            def replace(sent: int) -> None:
                if sent > SMALL // 2:
                    here.serve(new, etag='"v2"', rate=here.slow)

            here.origin.on_body["/file.bin"] = replace
            got = await here.get(checksums=(checksum_of(new),))
            assert got.path.read_bytes() == new
            assert any("begins anew: the file was replaced on the server" in note for note in here.notes)

    run(story())


def test_a_liar_is_named_but_it_is_said_what_else_it_may_have_been(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(cached_pieces=frozenset(range(24)), claims=False)
        async with room(tmp_path) as here, hostile(here, other(body), script) as liar:
            here.serve(body, etag=None, rate=here.slow)
            got = await here.get(checksums=(checksum_of(body),))
            assert got.path.read_bytes() == body
            assert culprits(here) == [culprit_of(liar)]
            told = next(note for note in here.notes if " is out: " in note)
            assert told.endswith(
                ", or the file was replaced on the server, which does not say which version it sends"
            )

    run(story())


def test_the_cache_of_a_helper_keeps_only_what_has_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LEAVES_AFTER", 0.2)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, etag=None, rate=here.slow)
            helper = await here.helper(cache_size=100 * SMALL)
            got = await here.get(checksums=(checksum_of(body),))
            assert got.path.read_bytes() == body
            await until(lambda: helper.fields_of("helped"))
            assert len(parts(tmp_path / "helper0")) == 1
            before = here.origin.sent
            again = await here.get(checksums=(checksum_of(body),))
            assert again.path.read_bytes() == body
            assert here.origin.sent - before < SMALL // 2

    run(story())


def test_what_has_another_digest_is_not_kept_for_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LEAVES_AFTER", 0.2)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, etag=None, rate=here.slow)
            helper = await here.helper(cache_size=100 * SMALL)
            with pytest.raises(ChecksumError):
                await here.get(checksums=(checksum_of(other(body)),))
            await until(lambda: helper.fields_of("helped"))
            assert not parts(tmp_path / "helper0")
            assert any(
                "another digest than was asked for" in note["message"] for note in helper.fields_of("note")
            )

    run(story())


def test_a_cache_that_lost_records_is_judged_anew_when_what_was_missing_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LEAVES_AFTER", 0.2)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, etag=None, rate=here.slow)
            helper = await here.helper(cache_size=100 * SMALL)
            await here.get(checksums=(checksum_of(body),))
            await until(lambda: helper.fields_of("helped"))
            (kept,) = parts(tmp_path / "helper0")
            os.truncate(kept.with_name(f"{kept.name}.group"), 4096 + 132 * 12)
            here.serve(
                other(body), etag=None, rate=here.slow
            )  # nothing in its answers tells it from the other
            with pytest.raises(ChecksumError):
                await here.get(checksums=(checksum_of(body),))
            await until(lambda: not parts(tmp_path / "helper0"))

    run(story())


def test_what_was_kept_for_a_mistyped_digest_is_judged_by_the_right_one_and_not_fetched_again(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body)
            here.serve(body, "/mirror.bin")
            mirrors = (here.url("/mirror.bin"),)
            with pytest.raises(ChecksumError):
                await here.get(number=1, group=None, mirrors=mirrors, checksums=(checksum_of(other(body)),))
            before = here.origin.sent
            got = await here.get(number=1, checksums=(checksum_of(body),))
            assert (got.path.read_bytes() == body, got.verified) == (True, "sha256")
            assert here.origin.sent - before < SMALL // 4

    run(story())
