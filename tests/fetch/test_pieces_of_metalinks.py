"""A Metalink's digests of pieces: what is wrong comes again from another source, and who gave it is named."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from shoal.errors import ChecksumError, ShoalError
from shoal.fetch.download import download
from shoal.fetch.progress import Downloaded, Wanted
from shoal.formats.metalink import MetalinkFile
from shoal.testing.hostile_origin import HostileOrigin, Page, first
from shoal.units import KIB, MIB

BODY = random.Random(1).randbytes(3 * MIB + 12345)
PIECE = 100_000  # is no multiple of anything, and less than the pieces it is fetched in


def described(body: bytes = BODY, piece_length: int = PIECE, **more: object) -> MetalinkFile:
    starts = range(0, len(body), piece_length)
    return MetalinkFile(
        name="file.bin",
        path=("file.bin",),
        size=len(body),
        piece_length=piece_length,
        piece_digest_name="sha-256",
        piece_digests=tuple(hashlib.sha256(body[at : at + piece_length]).digest() for at in starts),
        **more,  # type: ignore[arg-type]
    )


def damaged(*at: int) -> bytes:
    body = bytearray(BODY)
    for one in at:
        body[one] ^= 1
    return bytes(body)


def fetch(
    folder: Path, *urls: str, file: MetalinkFile, notes: list[str] | None = None, **wanted: object
) -> Downloaded:
    async def story() -> Downloaded:
        asked = Wanted(urls, folder, described=file, **wanted)  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            done = await download(asked, on_note=None if notes is None else notes.append)
        assert isinstance(done, Downloaded)
        return done

    return asyncio.run(story())


def named(origin: HostileOrigin) -> str:
    return f"{origin.host}:{origin.port}"


@pytest.mark.parametrize("piece_length", [16 * KIB, PIECE, 1 * MIB, 8 * MIB])
def test_a_file_whose_pieces_are_right_is_verified_by_them(piece_length: int, tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, rate=8 * MIB)
        file = described(piece_length=piece_length)
        done = fetch(tmp_path, origin.url("/file.bin"), file=file, most_fetchers=1)
        assert done.path.read_bytes() == BODY
        assert (done.verified, done.received) == ("sha256 pieces", len(BODY))


def test_a_digest_of_the_whole_goes_before_those_of_its_pieces(tmp_path: Path) -> None:
    whole = {"sha-256": hashlib.sha256(BODY).digest()}
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY)
        assert fetch(tmp_path, origin.url("/file.bin"), file=described(digests=whole)).verified == "sha256"


def test_one_wrong_piece_comes_again_from_another_source_and_nothing_else_does(tmp_path: Path) -> None:
    notes: list[str] = []
    with HostileOrigin() as bad, HostileOrigin("127.0.0.2") as good:
        bad.pages["/file.bin"] = Page(damaged(5 * PIECE + 1))
        good.pages["/file.bin"] = Page(BODY, etag='"good"')
        done = fetch(
            tmp_path,
            bad.url("/file.bin"),
            good.url("/file.bin"),
            file=described(),
            notes=notes,
            most_fetchers=1,
        )
        assert done.path.read_bytes() == BODY
        assert notes == [
            f"{named(bad)}: piece 6 of {-(-len(BODY) // PIECE)} is wrong (sha-256), and is fetched again"
        ]
        assert [asked.range for asked in good.asked] == [(5 * PIECE, 6 * PIECE)]
        assert done.received == len(BODY) + PIECE


def test_who_gives_a_second_wrong_piece_is_named_and_given_up(tmp_path: Path) -> None:
    notes: list[str] = []
    with HostileOrigin() as bad, HostileOrigin("127.0.0.2") as good:
        bad.pages["/file.bin"] = Page(damaged(*range(1, len(BODY), PIECE)), rate=256 * KIB)
        good.pages["/file.bin"] = Page(BODY, etag='"good"', rate=8 * MIB)
        done = fetch(tmp_path, bad.url("/file.bin"), good.url("/file.bin"), file=described(), notes=notes)
        assert done.path.read_bytes() == BODY
        assert f"{named(bad)}: gave 2 pieces that are wrong; goes on without it" in notes
        assert len([note for note in notes if "is wrong" in note and named(good) not in note]) <= 3
        assert dict(done.sources)[named(bad)] < len(BODY)


@pytest.mark.parametrize("whole", [False, True])
def test_with_wrong_pieces_at_its_only_source_there_is_no_file_and_a_clear_reason(
    whole: bool, tmp_path: Path
) -> None:
    digests = {"sha-256": hashlib.sha256(BODY).digest()} if whole else {}
    with HostileOrigin() as bad:
        bad.pages["/file.bin"] = Page(damaged(7, 2 * PIECE))
        with pytest.raises(ChecksumError, match="gave 2 pieces that are wrong"):
            fetch(tmp_path, bad.url("/file.bin"), file=described(digests=digests))
    assert list(tmp_path.iterdir()) == []


def test_what_was_damaged_once_is_right_the_second_time(tmp_path: Path) -> None:
    whole = {"sha-256": hashlib.sha256(BODY).digest()}
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(Page(damaged(PIECE)), then=Page(BODY))
        done = fetch(tmp_path, origin.url("/file.bin"), file=described(digests=whole))
        assert (done.path.read_bytes(), done.verified) == (BODY, "sha256")


def test_a_piece_that_two_gave_is_asked_of_a_third(tmp_path: Path) -> None:
    """Neither is blamed for it: nobody knows who it was."""
    notes: list[str] = []
    with HostileOrigin() as bad, HostileOrigin("127.0.0.2") as other, HostileOrigin("127.0.0.3") as third:
        bad.pages["/file.bin"] = first(Page(damaged(3), closes_after=400_000), then=Page(status=404))
        other.pages["/file.bin"] = first(
            Page(BODY, etag='"2"', closes_after=2_000_000), then=Page(status=404)
        )
        third.pages["/file.bin"] = Page(BODY, etag='"3"')
        urls = [origin.url("/file.bin") for origin in (bad, other, third)]
        done = fetch(tmp_path, *urls, file=described(piece_length=1 * MIB), notes=notes, most_fetchers=1)
        assert done.path.read_bytes() == BODY
        assert notes == [
            f"{named(bad)} and {named(other)}: piece 1 of 4 is wrong (sha-256), and is fetched again"
        ]
        assert (0, 1 * MIB) in [asked.range for asked in third.asked]


def test_what_is_here_from_an_earlier_try_is_checked_as_well(tmp_path: Path) -> None:
    notes: list[str] = []
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(Page(damaged(10), closes_after=2 * MIB), then=Page(status=404))
        with pytest.raises(ShoalError):
            fetch(tmp_path, origin.url("/file.bin"), file=described(BODY, 4 * MIB))
        origin.pages["/file.bin"] = Page(BODY)
        done = fetch(tmp_path, origin.url("/file.bin"), file=described(BODY, 4 * MIB), notes=notes)
        assert done.path.read_bytes() == BODY
        assert any("is wrong" in note for note in notes)


def test_a_stream_is_compared_with_them_at_its_end(tmp_path: Path) -> None:
    with HostileOrigin() as bad, HostileOrigin("127.0.0.2") as good:
        bad.pages["/file.bin"] = Page(damaged(10), takes_ranges=False)
        good.pages["/file.bin"] = Page(BODY, takes_ranges=False)
        done = fetch(tmp_path, bad.url("/file.bin"), good.url("/file.bin"), file=described())
        assert (done.path.read_bytes(), done.verified) == (BODY, "sha256 pieces")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_damaged_where_the_file_is_right(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    with HostileOrigin() as bad, HostileOrigin("127.0.0.2") as worse, HostileOrigin("127.0.0.3") as good:
        for origin, count in ((bad, 1), (worse, 30), (good, 0)):
            body = damaged(*(rng.randrange(len(BODY)) for _ in range(count)))
            origin.pages["/file.bin"] = Page(
                body,
                etag=f'"{origin.host}"',
                rate=rng.choice([4, 8, 16]) * MIB,
                closes_after=rng.choice([None, 500_000]),
            )
        urls = [origin.url("/file.bin") for origin in (bad, worse, good)]
        rng.shuffle(urls)
        piece_length = rng.choice([16 * KIB, PIECE, 300 * KIB])
        done = fetch(tmp_path, *urls, file=described(piece_length=piece_length))
        assert done.path.read_bytes() == BODY
