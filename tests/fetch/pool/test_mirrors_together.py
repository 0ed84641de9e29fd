"""Mirrors and Metalinks of a requester in a group: what they give is used as far as nobody is misled by it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.disk.checksum import parse_checksum
from shoal.errors import ChecksumError, ShoalError
from shoal.fetch.options import FetchOptions
from shoal.fetch.pool import audits, requesting
from shoal.fetch.pool.pooled import Pooled
from shoal.formats.metalink import MetalinkFile
from shoal.testing.hostile_member import MemberScript
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB

from ...peers.processes import free_port
from .hostile import MOST_SENT, culprit_of, culprits, hostile, other
from .room import HOST, SLOW, SMALL, Room, made_up, room

PIECE = 256 * KIB
MIRROR = "127.0.0.2"


def run(story) -> None:
    asyncio.run(story)


def checksum_of(body: bytes):
    return parse_checksum(f"sha256:{hashlib.sha256(body).hexdigest()}")


def described(body: bytes, piece_length: int = PIECE) -> MetalinkFile:
    starts = range(0, len(body), piece_length)
    return MetalinkFile(
        name="file.bin",
        path=("file.bin",),
        size=len(body),
        piece_length=piece_length,
        piece_digest_name="sha-256",
        piece_digests=tuple(hashlib.sha256(body[at : at + piece_length]).digest() for at in starts),
    )


def mirror_of(origin: HostileOrigin, body: bytes, rate: int | Callable[[], int] = SLOW) -> str:
    origin.pages["/file.bin"] = Page(body, etag='"mirror"', rate=rate)
    return origin.url("/file.bin")


def turns_away(here: Room, agent: str, body: bytes, after: int) -> None:
    """The origin answers this requester no more than `after` times, and the others always."""
    asked = []

    def page(number: int) -> Page:
        if here.origin.asked[-1].headers.get("User-Agent") == agent:
            asked.append(number)
        is_out = len(asked) > after and asked[-1] == number
        return Page(b"no", status=403) if is_out else Page(body, rate=here.slow)

    here.origin.pages["/file.bin"] = page


def called(agent: str) -> FetchOptions:
    return FetchOptions(headers=(("User-Agent", agent),))


# ---- without digests of pieces


def test_mirrors_rest_while_the_origin_gives(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        with HostileOrigin(MIRROR) as second:
            mirror = mirror_of(second, body)
            async with room(tmp_path) as here:
                here.serve(body, rate=here.slow)
                await here.helper()
                got = await here.get(mirrors=(mirror,), checksums=(checksum_of(body),))
                assert got.path.read_bytes() == body
                assert not second.asked

    run(story())


def test_when_the_origin_turns_us_away_the_mirrors_go_on_and_members_too(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(2 * SMALL)
        with HostileOrigin(MIRROR) as second, HostileOrigin("127.0.0.3") as third:
            async with room(tmp_path) as here:
                mirrors = (mirror_of(second, body, here.slow), mirror_of(third, body, here.slow))
                turns_away(here, "unlucky", body, after=3)
                await here.helper()
                got = await here.get(
                    mirrors=mirrors, checksums=(checksum_of(body),), options=called("unlucky"), connections=4
                )
                assert got.path.read_bytes() == body
                assert second.asked
                assert third.asked
                assert any("gives nothing more: mirrors do" in note for note in here.notes)
                assert got.verified == "sha256"
                assert [count > 0 for name, count, _ in got.members if name != "this machine"] == [True]

    run(story())


def test_alone_in_a_group_the_mirrors_bring_all_of_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        with HostileOrigin(MIRROR) as second:
            mirror = mirror_of(second, body)
            async with room(tmp_path) as here:
                turns_away(here, "unlucky", body, after=1)
                got = await here.get(mirrors=(mirror,), options=called("unlucky"))
                assert got.path.read_bytes() == body
                assert second.sent > SMALL // 2

    run(story())


def test_whoever_has_a_mirror_with_another_file_signs_nothing_of_it_and_is_called_no_liar(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        with HostileOrigin(MIRROR) as second:
            mirror = mirror_of(second, other(body))
            async with room(tmp_path) as here:
                turns_away(here, "misled", body, after=3)
                here.peers += [(HOST, free_port()) for _ in range(2)]
                (_, one), (_, two) = here.peers
                misled, right = await asyncio.gather(
                    here.get(
                        port=one, mirrors=(mirror,), options=called("misled"), checksums=(checksum_of(body),)
                    ),
                    here.get(port=two),
                    return_exceptions=True,
                )
                assert second.sent > PIECE
                assert not isinstance(right, BaseException)
                assert right.path.read_bytes() == body
                assert isinstance(misled, ShoalError) or misled.path.read_bytes() == body
                assert not culprits(here)

    run(story())


def test_when_the_url_itself_is_gone_its_mirrors_give_the_file_without_the_group(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        with HostileOrigin(MIRROR) as second, HostileOrigin("127.0.0.3") as third:
            mirrors = (mirror_of(second, body), mirror_of(third, body))
            async with room(tmp_path) as here:
                helper = await here.helper()
                got = await here.get("/gone.bin", mirrors=mirrors, checksums=(checksum_of(body),))
                assert got.path.read_bytes() == body
                assert second.sent > PIECE
                assert third.sent > PIECE
                assert any("downloads without the group: it comes from" in note for note in here.notes)
                assert not helper.fields_of("helping")

    run(story())


# ---- with digests of pieces


def test_with_digests_of_pieces_mirrors_are_asked_from_the_start_and_what_they_give_is_passed_on(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(4 * SMALL)
        with HostileOrigin(MIRROR) as second, HostileOrigin("127.0.0.3") as third:
            mirrors = (mirror_of(second, body), mirror_of(third, body))
            async with room(tmp_path) as here:
                here.serve(body, rate=here.slow)
                here.peers += [(HOST, free_port()) for _ in range(2)]
                (_, one), (_, two) = here.peers
                first, other_one = await asyncio.gather(
                    here.get(port=one, mirrors=mirrors, described=described(body)), here.get(port=two)
                )
                assert first.path.read_bytes() == other_one.path.read_bytes() == body
                assert (first.verified, other_one.verified) == ("sha256 pieces", "sample")
                assert second.asked
                assert third.asked
                assert second.sent + third.sent > PIECE
                assert here.origin.sent + second.sent + third.sent < 1.6 * len(body)
                assert not culprits(here)

    run(story())


def test_a_mirror_with_another_file_is_named_and_left_out_and_nobody_is_called_a_liar(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(2 * SMALL)
        with HostileOrigin(MIRROR) as second:
            mirror = mirror_of(second, other(body))
            async with room(tmp_path) as here:
                here.serve(body, rate=here.slow)
                here.peers += [(HOST, free_port()) for _ in range(2)]
                (_, one), (_, two) = here.peers
                got = await asyncio.gather(
                    here.get(port=one, mirrors=(mirror,), described=described(body)), here.get(port=two)
                )
                assert all(one.path.read_bytes() == body for one in got)
                bad = f"{MIRROR}:{second.port}: piece "
                assert any(note.startswith(bad) and "is wrong (sha-256)" in note for note in here.notes)
                assert not culprits(here)

    run(story())


def test_a_member_that_signs_another_piece_than_the_metalink_has_is_out_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audits, "FIRST_AUDITS", 0)
    monkeypatch.setattr(requesting, "SHARE_WITH_DIGEST", 0.0)

    async def story() -> None:
        body = made_up(2 * SMALL)
        some = frozenset({1, 5, 6, 11, 17})
        script = MemberScript(cached_pieces=some, false_pieces=some, claims=False)
        async with room(tmp_path) as here, hostile(here, body, script) as liar:
            here.serve(body, rate=here.slow)
            await here.helper()
            got = await here.get(described=described(body))
            assert (got.path.read_bytes() == body, got.verified) == (True, "sha256 pieces")
            assert culprits(here) == [culprit_of(liar)]
            assert not any("the digest is wrong" in note for note in here.notes)
            assert here.origin.sent < MOST_SENT * len(body)

    run(story())


def test_an_honest_member_costs_no_audit_where_the_pieces_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = []
    monkeypatch.setattr(Pooled, "audit", lambda self, audit: audited.append(audit))

    async def story() -> None:
        body = made_up(2 * SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            await here.helper()
            got = await here.get(described=described(body))
            assert got.path.read_bytes() == body
            assert len(got.members) == 2
            assert not audited

    run(story())


def test_where_the_origin_has_another_file_than_the_metalink_it_ends_with_a_clear_word(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            with pytest.raises(ChecksumError, match="gave 2 pieces that are wrong"):
                await here.get(described=described(other(body)))
            assert not list((tmp_path / "requester1").iterdir())

    run(story())


def test_where_the_origin_has_another_file_than_the_metalink_its_mirrors_go_on(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        with HostileOrigin(MIRROR) as second:
            mirror = mirror_of(second, body)
            async with room(tmp_path) as here:
                here.serve(other(body), rate=here.slow)
                got = await here.get(mirrors=(mirror,), described=described(body))
                assert (got.path.read_bytes() == body, got.verified) == (True, "sha256 pieces")
                left = [note for note in here.notes if note.endswith("and it is asked for no more")]
                assert [note.partition(": ")[0] for note in left] == [f"{HOST}:{here.origin.port}"]

    run(story())


@pytest.mark.parametrize("piece_length", [100_000, 4 * PIECE])
def test_pieces_of_another_length_are_compared_in_the_end(tmp_path: Path, piece_length: int) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            await here.helper()
            got = await here.get(described=described(body, piece_length))
            assert (got.path.read_bytes() == body, got.verified) == (True, "sha256 pieces")
            assert len(got.members) == 2

    run(story())
