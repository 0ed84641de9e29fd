"""`Link: rel=describedby` and `rel=duplicate` (RFC 6249): fetched beside the file, believed as far as they may be."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from shoal.errors import ChecksumError
from shoal.fetch import description
from shoal.fetch.description import description_url
from shoal.fetch.download import download
from shoal.fetch.facts import Facts
from shoal.fetch.options import FetchOptions
from shoal.fetch.progress import Downloaded, Wanted
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect
from shoal.units import KIB, MIB

BODY = random.Random(1).randbytes(2 * MIB + 1)
HEX = hashlib.sha256(BODY).hexdigest()
DESCRIBED = ("Link", '</file.meta4>; rel=describedby; type="application/metalink4+xml"')
MAKES_LINES = 'xmlns="urn:ietf:params:xml:ns:metalink"'


def metalink(*urls: str, size: int = len(BODY), digest: str = HEX, pieces: str = "") -> bytes:
    places = "".join(f"<url>{url}</url>" for url in urls)
    whole = f'<hash type="sha-256">{digest}</hash>' if digest else ""
    file = f'<file name="file.bin"><size>{size}</size>{whole}{pieces}{places}</file>'
    return f"<metalink {MAKES_LINES}>{file}</metalink>".encode()


def piece_list(body: bytes, length: int) -> str:
    hashes = (hashlib.sha256(body[at : at + length]).hexdigest() for at in range(0, len(body), length))
    return f'<pieces length="{length}" type="sha-256">{"".join(f"<hash>{one}</hash>" for one in hashes)}</pieces>'


def duplicate(url: str) -> tuple[str, str]:
    return ("Link", f"<{url}>; rel=duplicate")


def fetch(folder: Path, *urls: str, notes: list[str] | None = None, **wanted: object) -> Downloaded:
    async def story() -> Downloaded:
        asked = Wanted(urls, folder, **wanted)  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            done = await download(asked, on_note=None if notes is None else notes.append)
        assert isinstance(done, Downloaded)
        return done

    return asyncio.run(story())


@pytest.mark.parametrize("takes_ranges", [True, False])
@pytest.mark.parametrize("pieces", [True, False])
def test_the_digests_of_the_metalink_that_a_response_names_are_compared(
    pieces: bool, takes_ranges: bool, tmp_path: Path
) -> None:
    listed = piece_list(BODY, 100_000) if pieces else ""
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, headers=(DESCRIBED,), takes_ranges=takes_ranges)
        origin.pages["/file.meta4"] = Page(
            metalink(digest="" if pieces else HEX, pieces=listed), rate=100_000
        )
        done = fetch(tmp_path, origin.url("/file.bin"))
        assert (done.path.read_bytes(), done.verified) == (BODY, "sha256 pieces" if pieces else "sha256")
        (tmp_path / "file.bin").unlink()
        wrong = BODY[:-1] + bytes([BODY[-1] ^ 1])
        origin.pages["/file.bin"] = Page(wrong, headers=(DESCRIBED,), takes_ranges=takes_ranges)
        with pytest.raises(ChecksumError):
            fetch(tmp_path, origin.url("/file.bin"))
    assert list(tmp_path.iterdir()) == []


def test_its_mirrors_share_the_work(tmp_path: Path) -> None:
    with HostileOrigin() as origin, HostileOrigin("127.0.0.2") as mirror:
        origin.pages["/file.bin"] = Page(BODY, rate=128 * KIB, headers=(DESCRIBED,))
        origin.pages["/file.meta4"] = Page(metalink(mirror.url("/copy")))
        mirror.pages["/copy"] = Page(BODY, rate=4 * MIB, etag='"copy"')
        done = fetch(tmp_path, origin.url("/file.bin"))
        assert (done.path.read_bytes(), done.verified) == (BODY, "sha256")
        assert mirror.sent > 0


def test_the_file_comes_before_its_description_does(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, headers=(DESCRIBED,))
        origin.pages["/file.meta4"] = Page(metalink(), rate=500)
        came: list[int] = []
        origin.on_body["/file.bin"] = came.append
        origin.on_body["/file.meta4"] = lambda sent: came.append(0)
        fetch(tmp_path, origin.url("/file.bin"))
        assert came[0] > 0


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (Page(b"gone", status=404), "404"),
        (Page(b"no xml"), "metalink line 1"),
        (Page(metalink(size=len(BODY) - 1)), "names 0 files of"),
        (Page(metalink(), stalls_after=10), "not here within 5 s"),
        (Page(b" " * (17 * MIB)), "is the limit"),
        (redirect("http://127.0.0.2:1/x.meta4"), "127.0.0.2"),
    ],
)
def test_a_description_of_no_use_is_named_and_the_download_goes_on(
    page: Page, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page.stalls_after is None:
        monkeypatch.setattr(description, "LONGEST", 60.0)  # a busy machine may take more than five
    notes: list[str] = []
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, headers=(DESCRIBED,))
        origin.pages["/file.meta4"] = page
        done = fetch(tmp_path, origin.url("/file.bin"), notes=notes)
        assert (done.path.read_bytes(), done.verified) == (BODY, "none")
    assert len(notes) == 1 and notes[0].startswith("its Metalink is of no use: ") and reason in notes[0]


def test_a_description_that_contradicts_the_response_is_left_out(tmp_path: Path) -> None:
    notes: list[str] = []
    said = ("Repr-Digest", f"sha-256=:{base64.b64encode(bytes.fromhex(HEX)).decode()}:")
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, headers=(DESCRIBED, said))
        origin.pages["/file.meta4"] = Page(metalink(digest="00" * 32))
        assert fetch(tmp_path, origin.url("/file.bin"), notes=notes).verified == "sha256"
    assert "another than the one in the response" in notes[0]


@pytest.mark.parametrize(
    ("url", "is_followed"),
    [
        ("http://a.example/x.meta4", True),
        ("https://b.example/x.meta4", True),
        ("http://b.example/x.meta4", False),
        ("http://a.example:81/x.meta4", False),
        ("ftp://a.example/x.meta4", False),
    ],
)
def test_it_is_followed_on_the_same_origin_and_over_https_only(url: str, is_followed: bool) -> None:
    facts = Facts(final_url="http://a.example/x", metalinks=(url,))
    assert (description_url(facts) == url) is is_followed


def test_links_to_mirrors_are_taken_with_a_digest_whoever_gave_it_and_not_without(tmp_path: Path) -> None:
    from shoal.disk.checksum import parse_checksum

    with HostileOrigin() as origin, HostileOrigin("127.0.0.2") as mirror:
        named = Page(BODY, rate=1 * MIB, headers=(duplicate(mirror.url("/copy")),))
        origin.pages["/file.bin"] = named
        mirror.pages["/copy"] = Page(BODY, rate=4 * MIB, etag='"copy"')
        fetch(tmp_path, origin.url("/file.bin"), name="without")
        assert mirror.asked == []
        origin.pages["/file.bin"] = replace(named, rate=128 * KIB)
        fetch(tmp_path, origin.url("/file.bin"), name="with", checksums=(parse_checksum(f"sha256:{HEX}"),))
        assert mirror.asked != []


def test_nothing_secret_goes_along_to_another_origin(tmp_path: Path) -> None:
    options = FetchOptions(headers=(("X-Key", "canary"),), user="me", password="canary")
    with HostileOrigin() as origin, HostileOrigin("127.0.0.2") as mirror:
        origin.pages["/file.bin"] = Page(BODY, rate=256 * KIB, headers=(DESCRIBED,))
        origin.pages["/file.meta4"] = Page(metalink(mirror.url("/copy")))
        mirror.pages["/copy"] = Page(BODY, rate=100 * KIB, etag='"copy"')
        fetch(tmp_path, origin.url("/file.bin"), options=options)
        assert mirror.asked and all(
            b"canary" not in asked.raw and b"Authorization" not in asked.raw for asked in mirror.asked
        )
