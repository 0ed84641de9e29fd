"""What is kept from one try to the next: of a file whose digest is wrong, and when it is another file's."""

from __future__ import annotations

import base64
import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from shoal.errors import ChecksumError, NetworkError, ShoalError
from shoal.testing.hostile_origin import HostileOrigin, Page, first
from shoal.units import KIB, MIB

from .test_download import fetch, names, sha256

BODY = random.Random(3).randbytes(5 * MIB + 321)
OTHER = random.Random(4).randbytes(len(BODY))
KEPT = ["file.bin.part", "file.bin.part.shoal"]
KINDS = {
    "served in parts": Page(BODY),
    "in parts, without a validator": Page(BODY, etag=None),
    "in one stream": Page(BODY, takes_ranges=False),
    "in one stream, without a validator": Page(BODY, takes_ranges=False, etag=None),
}


# ---- a wrong digest


@pytest.mark.parametrize("kind", KINDS)
def test_a_mistyped_digest_costs_nothing_of_what_came(kind: str, tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        url = origin.url("/file.bin")
        origin.pages["/file.bin"] = KINDS[kind]
        with pytest.raises(ChecksumError, match="its digest is sha256:") as caught:
            fetch(tmp_path, url, checksums=(sha256(OTHER),))
        assert "kept in file.bin.part: run it again with the right --checksum" in caught.value.hint
        assert names(tmp_path) == KEPT
        done = fetch(tmp_path, url, checksums=(sha256(BODY),))
    assert (done.path.read_bytes(), done.resumed, done.verified) == (BODY, len(BODY), "sha256")
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_wrong_digest_ends_in_the_same_way_without_fetching(kind: str, tmp_path: Path) -> None:
    told = []
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(KINDS[kind], then=replace(KINDS[kind], rate=256 * KIB))
        for _ in range(3):
            with pytest.raises(ChecksumError) as caught:
                fetch(tmp_path, origin.url("/file.bin"), checksums=(sha256(OTHER),), most_fetchers=1)
            told.append((caught.value.message, caught.value.hint))
        assert len(origin.asked) == 3
        assert origin.sent < len(BODY) + 4 * MIB
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("kind", KINDS)
def test_what_really_came_damaged_is_fetched_anew_with_overwrite(kind: str, tmp_path: Path) -> None:
    good = KINDS[kind]
    damaged = Page(OTHER, good.etag, takes_ranges=good.takes_ranges)
    notes: list[str] = []
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = damaged
        with pytest.raises(ChecksumError):
            fetch(tmp_path, origin.url("/file.bin"), checksums=(sha256(BODY),))
        origin.pages["/file.bin"] = good
        with pytest.raises(ChecksumError):
            fetch(tmp_path, origin.url("/file.bin"), checksums=(sha256(BODY),))
        done = fetch(
            tmp_path, origin.url("/file.bin"), checksums=(sha256(BODY),), overwrite=True, notes=notes
        )
    assert (done.path.read_bytes(), done.resumed) == (BODY, 0)
    assert any(note.endswith("was expected; begins anew") for note in notes)


def test_a_digest_that_a_person_did_not_type_keeps_nothing(tmp_path: Path) -> None:
    value = base64.b64encode(hashlib.sha256(OTHER).digest()).decode()
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, headers=(("Repr-Digest", f"sha-256=:{value}:"),))
        with pytest.raises(ChecksumError, match="where the server itself says sha256:") as caught:
            fetch(tmp_path, origin.url("/file.bin"))
        assert "contradicts itself" in caught.value.hint
        assert names(tmp_path) == []
        done = fetch(tmp_path, origin.url("/file.bin"), checksums=(sha256(BODY),))
        assert done.path.read_bytes() == BODY


def test_with_sources_that_lie_it_is_fetched_again_from_others_as_before(tmp_path: Path) -> None:
    with HostileOrigin() as liar, HostileOrigin("127.0.0.2") as good:
        liar.pages["/file.bin"] = Page(OTHER, takes_ranges=False)
        good.pages["/file.bin"] = Page(BODY, takes_ranges=False)
        done = fetch(tmp_path, liar.url("/file.bin"), good.url("/file.bin"), checksums=(sha256(BODY),))
    assert (done.path.read_bytes(), names(tmp_path)) == (BODY, ["file.bin"])


# ---- another file's


@pytest.mark.parametrize(
    ("path", "page", "why"),
    [
        ("/file.bin?signature=2", Page(BODY), "was of another URL"),
        ("/file.bin", Page(OTHER, etag='"v2"'), "was of another version"),
        ("/file.bin", Page(BODY, takes_ranges=False), "cannot be gone on with"),
    ],
    ids=["another URL", "another version", "no parts any more"],
)
def test_what_cannot_be_gone_on_with_is_not_thrown_away_without_a_word(
    path: str, page: Page, why: str, tmp_path: Path
) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(Page(BODY, closes_after=2 * MIB), then=Page(status=404))
        with pytest.raises(ShoalError):
            fetch(tmp_path, origin.url("/file.bin"), name="mine")
        assert names(tmp_path) == ["mine.part", "mine.part.shoal"]
        origin.pages["/file.bin"] = page
        notes: list[str] = []
        done = fetch(tmp_path, origin.url(path), name="mine", notes=notes)
    assert done.path.read_bytes() == page.body
    assert [note for note in notes if "anew" in note] == [f"begins anew: mine.part {why}"]


def test_a_first_try_and_one_that_goes_on_say_nothing_of_the_kind(tmp_path: Path) -> None:
    notes: list[str] = []
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(Page(BODY, closes_after=2 * MIB), then=Page(status=404))
        with pytest.raises(ShoalError):
            fetch(tmp_path, origin.url("/file.bin"), notes=notes)
        assert notes == []
        origin.pages["/file.bin"] = Page(BODY, rate=64 * MIB)
        assert fetch(tmp_path, origin.url("/file.bin"), notes=notes).resumed >= 512 * KIB
    assert [note.split(":")[0] for note in notes] == ["goes on"]


@pytest.mark.parametrize(
    ("busy_from_the_start", "hint"),
    [
        (False, "what is here is kept: the same command goes on from there"),
        (True, "the same command tries it again, now or later"),
    ],
)
def test_who_is_told_to_come_back_later_hears_what_is_kept(
    busy_from_the_start: bool, hint: str, tmp_path: Path
) -> None:
    busy = Page(status=503, headers=(("Retry-After", "3600"),))
    with HostileOrigin() as origin:
        begun = first(Page(BODY, closes_after=2 * MIB), then=busy)
        origin.pages["/file.bin"] = busy if busy_from_the_start else begun
        with pytest.raises(NetworkError, match="asks to come back in 1 h 00 min") as caught:
            fetch(tmp_path, origin.url("/file.bin"), most_fetchers=1)
    assert caught.value.hint == hint
    assert names(tmp_path) == ([] if busy_from_the_start else KEPT)
