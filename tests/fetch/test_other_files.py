"""Sources that have another file: they are named and left out, whoever answers first, and the right file arrives."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from shoal.disk.checksum import Checksum
from shoal.errors import ChecksumError
from shoal.fetch.download import download
from shoal.fetch.progress import Downloaded, Wanted
from shoal.fetch.trust import MOST_WRONG, Trust
from shoal.formats.metalink import MetalinkFile
from shoal.testing.hostile_origin import HostileOrigin, Page, first
from shoal.units import KIB, MIB

BODY = random.Random(1).randbytes(2 * MIB + 1)
OTHER = random.Random(2).randbytes(2 * MIB + 1)
LONGER = random.Random(3).randbytes(2 * MIB + 2)
SHA256 = Checksum("sha-256", hashlib.sha256(BODY).digest())
BUSY = Page(status=503, retry_after="1")


def fetch(folder: Path, *urls: str, notes: list[str] | None = None, **wanted: object) -> Downloaded:
    async def story() -> Downloaded:
        asked = Wanted(urls, folder, **wanted)  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            done = await download(asked, on_note=None if notes is None else notes.append)
        assert isinstance(done, Downloaded)
        return done

    return asyncio.run(story())


def named(origin: HostileOrigin) -> str:
    return f"{origin.host}:{origin.port}"


@pytest.mark.parametrize("takes_ranges", [True, False])
def test_a_mirror_of_another_size_than_the_metalink_says_is_left_out_though_it_answers_first(
    takes_ranges: bool, tmp_path: Path
) -> None:
    notes: list[str] = []
    file = MetalinkFile("file.bin", ("file.bin",), size=len(BODY))
    with HostileOrigin() as wrong, HostileOrigin("127.0.0.2") as right:
        wrong.pages["/file.bin"] = Page(LONGER, takes_ranges=takes_ranges)
        right.pages["/file.bin"] = Page(BODY, takes_ranges=takes_ranges)
        done = fetch(tmp_path, wrong.url("/file.bin"), right.url("/file.bin"), described=file, notes=notes)
        assert done.path.read_bytes() == BODY
    expected = f"{named(wrong)} has another file: it has {len(LONGER)} bytes, where {len(BODY)} were expected"
    assert notes[0] == f"{expected}; goes on without it"


def test_a_mirror_of_another_size_is_named_while_the_first_source_goes_on(tmp_path: Path) -> None:
    notes: list[str] = []
    with HostileOrigin() as right, HostileOrigin("127.0.0.2") as wrong:
        right.pages["/file.bin"] = Page(BODY, rate=lambda: 4 * MIB if wrong.asked else 64 * KIB)
        wrong.pages["/file.bin"] = Page(LONGER)
        done = fetch(tmp_path, right.url("/file.bin"), wrong.url("/file.bin"), notes=notes, first_fetchers=2)
        assert done.path.read_bytes() == BODY
    assert [note for note in notes if note.startswith(f"{named(wrong)} has another file")] == notes != []


def test_the_url_asked_for_decides_though_a_mirror_with_another_file_answers_first(tmp_path: Path) -> None:
    notes: list[str] = []
    with HostileOrigin() as right, HostileOrigin("127.0.0.2") as wrong:
        right.pages["/file.bin"] = first(BUSY, then=Page(BODY))
        wrong.pages["/file.bin"] = Page(LONGER, rate=20_000)
        done = fetch(tmp_path, right.url("/file.bin"), wrong.url("/file.bin"), notes=notes)
        assert done.path.read_bytes() == BODY
        assert [name for name, _ in done.sources] == [named(right)]
    assert len(notes) == 1 and notes[0].startswith(
        f"begins anew: {named(right)} has another file than {named(wrong)}"
    )


@pytest.mark.parametrize("is_first", [True, False])
def test_with_a_digest_a_mirror_with_other_bytes_of_that_size_costs_time_but_not_the_file(
    is_first: bool, tmp_path: Path
) -> None:
    with HostileOrigin() as right, HostileOrigin("127.0.0.2") as wrong:
        right.pages["/file.bin"] = Page(BODY, rate=4 * MIB)
        wrong.pages["/file.bin"] = Page(OTHER, etag='"other"', rate=4 * MIB)
        urls = [wrong.url("/file.bin"), right.url("/file.bin")]
        done = fetch(tmp_path, *(urls if is_first else urls[::-1]), checksums=(SHA256,))
        assert (done.path.read_bytes(), done.verified) == (BODY, "sha256")


def test_when_no_source_has_the_file_of_the_digest_there_is_none(tmp_path: Path) -> None:
    with HostileOrigin() as one, HostileOrigin("127.0.0.2") as two:
        one.pages["/file.bin"] = Page(OTHER, rate=4 * MIB)
        two.pages["/file.bin"] = Page(OTHER, etag='"other"', rate=4 * MIB)
        with pytest.raises(ChecksumError):
            fetch(tmp_path, one.url("/file.bin"), two.url("/file.bin"), checksums=(SHA256,))
        assert one.sent + two.sent < (MOST_WRONG + 1) * len(OTHER)
    assert not (tmp_path / "file.bin").exists()


# ---- who is asked next, without a network


def test_who_alone_gave_a_wrong_file_is_out() -> None:
    trust = Trust(["a", "b", "c"])
    assert trust.on_wrong({"a"})
    assert trust.usable == ["b", "c"]


def test_of_several_that_gave_a_wrong_file_each_is_asked_alone() -> None:
    trust = Trust(["a", "b", "c"])
    assert trust.on_wrong({"a", "b"})
    assert (trust.usable, trust.is_alone) == (["a"], True)
    assert trust.on_wrong({"a"})
    assert trust.usable == ["b"]
    assert not trust.on_wrong({"b"}), "three whole downloads are enough"


def test_those_that_disagreed_with_the_first_are_asked_when_the_first_was_wrong() -> None:
    trust = Trust(["a", "b"])
    trust.on_disagreed({"b"})
    assert trust.usable == ["a"]
    assert trust.on_wrong({"a"})
    assert trust.usable == ["b"]


def test_a_mirror_that_was_found_on_the_way_is_not_asked_again() -> None:
    trust = Trust(["a"])
    assert trust.on_wrong({"a", "found"})
    assert (trust.usable, trust.is_alone) == (["a"], True)
    assert not trust.on_wrong({"a"})


def test_a_lone_source_with_a_wrong_file_is_asked_once() -> None:
    assert not Trust(["a"]).on_wrong({"a"})
    assert not Trust(["a", "b"]).on_wrong(set()), "some of it was of an earlier try"


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1), (2, 0, 3, 1)])
def test_a_metalink_whose_digest_fits_nothing_ends_with_that_and_not_with_a_source_that_is_missing(
    order: tuple[int, ...], tmp_path: Path
) -> None:
    notes: list[str] = []
    digests = {"sha-256": hashlib.sha256(b"something else").digest()}
    file = MetalinkFile("file.bin", ("file.bin",), size=len(BODY), digests=digests)
    with HostileOrigin() as one, HostileOrigin("127.0.0.2") as two:
        for origin in (one, two):
            origin.pages["/file.bin"] = Page(BODY)
        two.pages["/other.bin"] = Page(LONGER)
        urls = (
            one.url("/file.bin"), two.url("/file.bin"), one.url("/absent"), two.url("/other.bin"),
        )  # fmt: skip
        with pytest.raises(ChecksumError, match="the Metalink says"):
            fetch(tmp_path, *(urls[place] for place in order), described=file, notes=notes)
    assert len([note for note in notes if "begins anew" in note]) < MOST_WRONG
    assert list(tmp_path.iterdir()) == []


def test_nothing_begins_anew_when_only_sources_that_were_given_up_are_left() -> None:
    trust = Trust(["a", "b", "c"])
    assert not trust.on_wrong({"a"}, {"b", "c"})
    trust = Trust(["a", "b", "c"])
    assert trust.on_wrong({"b"}, {"a"})
    assert trust.usable == ["c"]
