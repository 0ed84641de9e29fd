"""Whole downloads from an origin that misbehaves: the file is right, or there is a clear end and no file."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.disk.checksum import Checksum
from shoal.errors import (
    ChecksumError,
    DeniedError,
    ExistsError,
    NetworkError,
    NotFoundError,
    ShoalError,
)
from shoal.fetch.download import download
from shoal.fetch.options import FetchOptions
from shoal.fetch.progress import Document, Downloaded, Progress, Wanted
from shoal.testing.hostile_origin import HostileOrigin, Page, first, login_page, redirect
from shoal.units import KIB, MIB

from .ftp import ftp_origin
from .nginx import nginx

BODY = random.Random(1).randbytes(3 * MIB + 12345)
OTHER = random.Random(2).randbytes(3 * MIB + 12345)


def fetch(
    folder: Path, *urls: str, notes: list[str] | None = None, on_progress: Callable[[Progress], None] | None = None,
    name: str | None = None, **wanted: object,
) -> Downloaded:  # fmt: skip
    async def story() -> Downloaded:
        asked = Wanted(urls, folder, name, **wanted)  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            done = await download(
                asked, on_progress=on_progress, on_note=None if notes is None else notes.append
            )
        assert isinstance(done, Downloaded)
        return done

    return asyncio.run(story())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sha256(data: bytes) -> Checksum:
    return Checksum("sha-256", hashlib.sha256(data).digest())


def test_a_file_arrives_whole_under_its_name_and_nothing_else_is_left(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/dir/file.bin"] = Page(BODY)
        done = fetch(tmp_path, origin.url("/dir/file.bin"))
        assert done.path.read_bytes() == BODY
        assert (names(tmp_path), done.length, done.verified) == (["file.bin"], len(BODY), "none")
        assert origin.asked[0].headers["Range"] == "bytes=0-"


def test_several_connections_are_used_when_each_adds_rate(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/a.bin"] = Page(BODY, rate=512 * KIB)
        done = fetch(tmp_path, origin.url("/a.bin"))
        assert done.path.read_bytes() == BODY
        assert origin.most_running > 1


GOOD_IN_THE_END = {
    "no ranges": (Page(BODY, takes_ranges=False), "does not serve parts"),
    "no ranges, no length": (Page(BODY, takes_ranges=False, says_length=False), "how long it is"),
    "chunked": (Page(BODY, takes_ranges=False, is_chunked=True), "how long it is"),
    "chunked ranges": (Page(BODY, is_chunked=True), ""),
    "no validator": (Page(BODY, etag=None), "which version"),
    "weak validator": (Page(BODY, etag='W/"v1"'), "which version"),
    "wrong ranges": (first(Page(BODY), then=Page(BODY, shifted_by=4096, rate=4 * MIB)), None),
    "other total": (Page(BODY, total_is="*"), None),
    "cut off, then well": (first(Page(BODY, closes_after=300_000), then=Page(BODY)), None),
    "reset, then well": (first(*[Page(BODY, resets_after=300_000)] * 3, then=Page(BODY)), None),
    "cut off without ranges": (
        first(Page(BODY, takes_ranges=False, closes_after=300_000), then=Page(BODY, takes_ranges=False)),
        "does not serve parts",
    ),
    "busy at first": (first(*[Page(status=503, retry_after="0")] * 3, then=Page(BODY)), None),
    "too many requests, 1 s": (first(Page(status=429, retry_after="1"), then=Page(BODY)), None),
    "one connection at a time": (Page(BODY, most_at_once=1, rate=2 * MIB), None),
    "led on": (redirect("/real/file.bin"), ""),
    "led on each time": (first(redirect("/real/file.bin"), redirect("/real/file.bin"), then=redirect("/gone")), ""),
    "crawls at first": (first(Page(BODY, rate=64 * KIB), then=Page(BODY, rate=8 * MIB)), None),
    "an empty file": (Page(b""), None),
    "an empty file without ranges": (Page(b"", takes_ranges=False), None),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD_IN_THE_END)
def test_whatever_an_origin_does_the_file_is_right(case: str, tmp_path: Path) -> None:
    page, said = GOOD_IN_THE_END[case]
    notes: list[str] = []
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = page
        origin.pages["/real/file.bin"] = Page(BODY)
        done = fetch(tmp_path, origin.url("/file.bin"), notes=notes)
    body = b"" if case.startswith("an empty") else BODY
    assert (done.path.read_bytes(), names(tmp_path)) == (body, ["file.bin"])
    if said == "":
        assert notes == []
    elif said is not None:
        assert len(notes) == 1 and said in notes[0]


BAD_IN_THE_END: dict[str, tuple[object, type[ShoalError], str]] = {
    "not there": (Page(b"", status=404), NotFoundError, "404"),
    "gone": (Page(b"", status=410), NotFoundError, "410"),
    "closed": (Page(b"", status=401), DeniedError, "401"),
    "login page": (login_page(), ShoalError, "page"),
    "packed though nobody asked": (Page(BODY, is_gzipped=True), ShoalError, "gzip"),
    "packed without ranges": (Page(BODY, is_gzipped=True, takes_ranges=False), ShoalError, "gzip"),
    "comes back in a year": (Page(b"", status=503, retry_after="31536000"), NetworkError, "come back in"),
    "led in a circle": (redirect("/file.bin"), DeniedError, "redirects too often"),
    "led to a file": (redirect("file:///etc/passwd"), ShoalError, "not an http"),
    "changes with every response": (
        lambda number: Page(BODY, etag=f'"{number}"', closes_after=100_000), NetworkError, "replaced again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_IN_THE_END)
def test_where_no_file_can_be_had_there_is_a_clear_end_and_no_file(case: str, tmp_path: Path) -> None:
    page, kind, reason = BAD_IN_THE_END[case]
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = page  # type: ignore[assignment]
        with pytest.raises(kind, match=reason):
            fetch(tmp_path, origin.url("/file.bin"))
    assert names(tmp_path) == []


def test_a_login_page_in_the_middle_is_no_part_of_the_file(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(Page(BODY, closes_after=1 * MIB), then=login_page())
        with pytest.raises(ShoalError, match="page"):
            fetch(tmp_path, origin.url("/file.bin"))
        assert "file.bin" not in names(tmp_path)
        origin.pages["/file.bin"] = Page(BODY)
        done = fetch(tmp_path, origin.url("/file.bin"))
        assert done.path.read_bytes() == BODY
        assert done.resumed >= 512 * KIB


def test_a_server_that_never_answered_is_given_up_soon(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        url = origin.url("/x")
    with pytest.raises(NetworkError, match="cannot connect"):
        fetch(tmp_path, url)


# ---- going on


def test_a_download_that_is_cancelled_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async def story(origin: HostileOrigin) -> None:
        is_enough = asyncio.Event()

        def look(progress: Progress) -> None:
            if progress.here >= 2 * MIB:
                is_enough.set()

        wanted = Wanted((origin.url("/file.bin"),), tmp_path, most_fetchers=2)
        stopped = asyncio.ensure_future(download(wanted, on_progress=look))
        async with asyncio.timeout(60):
            await is_enough.wait()
        assert not stopped.done()
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped

    with HostileOrigin() as origin:
        page = Page(
            BODY, rate=lambda: 8 * MIB if origin.sent < 5 * MIB // 2 else 16 * KIB
        )  # it cannot be over
        origin.pages["/file.bin"] = page
        asyncio.run(story(origin))
        origin.pages["/file.bin"] = Page(BODY, rate=8 * MIB)
        assert names(tmp_path) == ["file.bin.part", "file.bin.part.shoal"]
        notes: list[str] = []
        done = fetch(tmp_path, origin.url("/file.bin"), notes=notes, most_fetchers=1)
        assert done.path.read_bytes() == BODY
        assert done.resumed >= 1 * MIB and done.received <= len(BODY) - done.resumed + 1 * MIB
        assert len(notes) == 1 and notes[0].startswith("goes on: ")


def test_another_version_is_never_put_together_with_what_is_here(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(Page(BODY, closes_after=2 * MIB), then=Page(status=404))
        with pytest.raises(NotFoundError):
            fetch(tmp_path, origin.url("/file.bin"))
        assert "file.bin.part" in names(tmp_path)
        origin.pages["/file.bin"] = Page(OTHER, etag='"v2"')
        assert fetch(tmp_path, origin.url("/file.bin")).path.read_bytes() == OTHER


def test_a_file_that_is_there_is_left_as_it_is_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"mine")
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY)
        with pytest.raises(ExistsError):
            fetch(tmp_path, origin.url("/file.bin"))
        assert (tmp_path / "file.bin").read_bytes() == b"mine"
        assert fetch(tmp_path, origin.url("/file.bin"), overwrite=True).path.read_bytes() == BODY


# ---- digests


def test_a_digest_is_compared_and_a_wrong_file_does_not_get_its_name(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY)
        assert fetch(tmp_path, origin.url("/file.bin"), checksums=(sha256(BODY),)).verified == "sha256"
        (tmp_path / "file.bin").unlink()
        with pytest.raises(ChecksumError):
            fetch(tmp_path, origin.url("/file.bin"), checksums=(sha256(OTHER),))
        assert "file.bin" not in names(tmp_path)


def test_a_digest_of_the_origin_is_compared_too(tmp_path: Path) -> None:
    value = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, headers=(("Repr-Digest", f"sha-256=:{value}:"),))
        assert fetch(tmp_path, origin.url("/file.bin")).verified == "sha256"
        (tmp_path / "file.bin").unlink()
        origin.pages["/file.bin"] = Page(OTHER, headers=(("Repr-Digest", f"sha-256=:{value}:"),))
        with pytest.raises(ChecksumError):
            fetch(tmp_path, origin.url("/file.bin"))


def test_a_stream_is_checked_as_well(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = first(
            Page(BODY, takes_ranges=False, closes_after=1 * MIB), then=Page(BODY, takes_ranges=False)
        )
        assert fetch(tmp_path, origin.url("/file.bin"), checksums=(sha256(BODY),)).verified == "sha256"


# ---- sources


def test_mirrors_share_the_work_and_replace_one_that_dies(tmp_path: Path) -> None:
    with HostileOrigin() as one, HostileOrigin("127.0.0.2") as two:
        one.pages["/file.bin"] = first(Page(BODY, rate=1 * MIB, closes_after=1 * MIB), then=Page(status=404))
        two.pages["/other.bin"] = Page(BODY, etag='"mine"', rate=2 * MIB)
        done = fetch(tmp_path, one.url("/file.bin"), two.url("/other.bin"))
        assert done.path.read_bytes() == BODY
        assert {name for name, _ in done.sources} == {f"{one.host}:{one.port}", f"{two.host}:{two.port}"}


def test_a_mirror_with_another_file_is_left_out(tmp_path: Path) -> None:
    with HostileOrigin() as one, HostileOrigin("127.0.0.2") as two:
        one.pages["/file.bin"] = Page(BODY, rate=2 * MIB)
        two.pages["/file.bin"] = Page(OTHER[:-1], etag='"v1"')
        done = fetch(tmp_path, one.url("/file.bin"), two.url("/file.bin"))
        assert done.path.read_bytes() == BODY
        assert [name for name, _ in done.sources] == [f"{one.host}:{one.port}"]


# ---- names and kinds


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="../../evil.sh"', "evil.sh"),
        ('attachment; filename="/etc/passwd"', "passwd"),
        ("attachment; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ('attachment; filename=".."', "file.bin"),
        ('attachment; filename=".bashrc"', "bashrc"),
        ("attachment; filename*=UTF-8''%e2%80%8f..%e2%80%8e.bashrc", "bashrc"),
        ('attachment; filename="..."', "_"),
    ],
)
def test_a_name_from_a_stranger_stays_in_the_folder(header: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, headers=(("Content-Disposition", header),))
        assert fetch(folder, origin.url("/file.bin")).path == folder / name
    assert names(folder) == [name]


def test_a_hidden_name_is_the_persons_to_give(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/.profile"] = Page(BODY)
        assert fetch(tmp_path, origin.url("/.profile")).path.name == "profile"
        assert fetch(tmp_path, origin.url("/.profile"), name=".profile").path.name == ".profile"


def test_the_name_that_was_given_is_taken_and_the_remote_time_if_wanted(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, modified="Tue, 02 Jan 2024 03:04:05 GMT")
        done = fetch(tmp_path, origin.url("/file.bin"), name="mine", keeps_remote_time=True)
        assert (done.path, done.path.stat().st_mtime) == (tmp_path / "mine", 1704164645)


def test_a_document_comes_in_memory_and_leaves_no_file(tmp_path: Path) -> None:
    async def story(url: str) -> None:
        wanted = Wanted((url,), tmp_path, is_document=lambda facts, url: facts.content_type == "text/x")
        done = await download(wanted)
        assert isinstance(done, Document)
        assert (done.body, done.name) == (BODY, "file.bin")

    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, headers=(("Content-Type", "text/x"),))
        asyncio.run(story(origin.url("/file.bin")))
    assert names(tmp_path) == []


def test_progress_tells_what_is_here_and_who_fetches_what(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, rate=1 * MIB)
        fetch(tmp_path, origin.url("/file.bin"), on_progress=seen.append)
        assert [one.here for one in seen] == sorted(one.here for one in seen)
        busy = [one for one in seen if one.fetching and one.here]
        assert busy and all(one.name == "file.bin" and one.length == len(BODY) for one in busy)
        assert busy[0].fetching[0].source == f"{origin.host}:{origin.port}"
        assert busy[-1].rate > 0


def test_a_rate_is_kept_by_all_connections_together(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY[: 1 * MIB])
        done = fetch(tmp_path, origin.url("/file.bin"), options=FetchOptions(max_rate=1_000_000))
        assert 0.85 < done.seconds < 20


def test_connections_that_are_refused_are_not_said_to_have_brought_anything(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, rate=4 * MIB, most_at_once=1)
        got = fetch(tmp_path, origin.url("/file.bin"), most_fetchers=8, first_fetchers=8)
    assert 1 <= got.connections <= 2, "one ends on the server before it does here"


def test_ftp_works_with_ranges(tmp_path: Path) -> None:
    with ftp_origin(BODY) as origin:
        done = fetch(tmp_path, origin.url)
        assert (done.path.name, done.path.read_bytes()) == ("file.bin", BODY)


def test_an_ftp_server_that_wants_another_password_is_asked_once(tmp_path: Path) -> None:
    with ftp_origin(BODY, password="right") as origin:
        with pytest.raises(DeniedError, match="user or password refused") as caught:
            fetch(tmp_path, origin.url, options=FetchOptions(user="me", password="wrong"))
        assert sum(line.startswith("PASS") for line in origin.said) == 1
        assert "--user" in caught.value.hint
        done = fetch(tmp_path, origin.url, options=FetchOptions(user="me", password="right"))
        assert done.path.read_bytes() == BODY


@pytest.mark.parametrize("path", ["file.bin", "slow/file.bin", "one/file.bin"])
def test_nginx_serves_it_plain_and_over_tls(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_folder, folder = tmp_path / "server", tmp_path / "here"
    server_folder.mkdir()
    folder.mkdir()
    with nginx(server_folder) as server:
        monkeypatch.setenv("CURL_CA_BUNDLE", str(server.ca))
        (server.files / "file.bin").write_bytes(BODY)
        for number, url in enumerate((server.url, server.tls_url)):
            done = fetch(folder, f"{url}/{path}", name=str(number))
            assert done.path.read_bytes() == BODY
