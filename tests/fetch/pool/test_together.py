"""One URL, several machines: real engines, TLS and an HTTP origin on loopback."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from shoal.disk import part_file
from shoal.disk.checksum import parse_checksum
from shoal.fetch.options import FetchOptions
from shoal.fetch.pool import asking, work
from shoal.fetch.progress import Document, Downloaded, Progress
from shoal.testing.hostile_origin import Page
from shoal.units import KIB, MIB

from ...engine.scene import until
from ...peers.processes import free_port
from .hostile import mostly_kept
from .room import LARGE, LONGEST, SMALL, made_up, room


def run(story) -> None:
    asyncio.run(story)


def test_a_file_comes_from_the_origin_by_way_of_two_helpers_and_ourselves(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(LARGE)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            await here.helper()
            await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert got.verified == "sample"
            brought = [count for _, count, _ in got.members]
            assert len(brought) == 3
            assert sum(brought) == len(body)
            assert all(count > 0 for count in brought)

    run(story())


def test_with_nobody_there_it_is_downloaded_alone(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body)
            here.peers.append(("127.0.0.1", 9))
            got = await here.get(connections=1)  # several take over from each other what is slow
            assert got.path.read_bytes() == body
            assert got.members == ()
            assert got.received == len(body)

    run(story())


def test_requesters_of_the_same_file_help_each_other_so_that_the_origin_sends_it_once_and_not_thrice(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        body = made_up(4 * SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            here.peers += [("127.0.0.1", free_port()) for _ in range(3)]
            got = await asyncio.gather(*(here.get(port=port) for _, port in list(here.peers)))
            assert all(one.path.read_bytes() == body for one in got)
            assert here.origin.sent < 2 * len(body)

    run(story())


def test_a_known_digest_is_checked_in_the_end_and_named(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            await here.helper()
            digest = hashlib.sha256(body).hexdigest()
            got = await here.get(checksums=(parse_checksum(f"sha256:{digest}"),))
            assert got.verified == "sha256"

    run(story())


def test_a_second_requester_gets_what_a_helper_has_in_its_cache_without_the_origin(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            await here.helper(cache_size=100 * MIB)
            await here.get()
            await mostly_kept(here, SMALL)
            sent = here.origin.sent
            got = await here.get()
            assert got.path.read_bytes() == body
            assert here.origin.sent - sent < len(body) / 2

    run(story())


def test_a_piece_in_the_cache_of_a_helper_that_is_not_what_its_record_says_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the piece and its record: its CRC is right."""
    monkeypatch.setattr(work, "LEAVES_AFTER", 0.2)
    monkeypatch.setattr(part_file, "intact_bits", lambda read, layout, known, *rest: known.have_bits)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            helper = await here.helper(cache_size=100 * MIB)
            await here.get()
            await until(lambda: bool(helper.fields_of("helped")))
            (kept,) = (tmp_path / "helper0").glob("*.part")
            with kept.open("r+b") as file:
                file.seek(SMALL // 2)
                file.write(bytes(64))
            got = await here.get()
            assert got.path.read_bytes() == body
            await until(lambda: len(helper.fields_of("helped")) == 2)
            assert kept.read_bytes() == body

    run(story())


def test_a_helper_refuses_what_its_owner_does_not_allow_and_says_why(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.once(lambda: here.is_noted("does not help"), MIB))
            helper = await here.helper(here.allowing(allow_private=()))
            got = await here.get(connections=1)
            assert got.path.read_bytes() == body
            assert helper.fields_of("refused")
            assert here.is_noted("does not help")
            assert got.received == len(body)

    run(story())


def test_nobody_is_asked_for_a_file_that_is_over_before_the_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "FIRST_LOOK", LONGEST)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body)
            helper = await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert not helper.said

    run(story())


def test_a_url_with_a_secret_header_stays_on_this_machine(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body)
            helper = await here.helper()
            options = FetchOptions(headers=(("Authorization", "Bearer of-nobody-else"),))
            got = await here.get(options=options)
            assert got.path.read_bytes() == body
            assert not helper.fields_of("helping")
            assert any("without the group" in note for note in here.notes)

    run(story())


def test_of_a_mirror_that_answers_in_the_urls_place_nobody_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, "/file-of-mine.bin")
            here.origin.pages["/file.bin"] = Page(b"", status=404)
            helper = await here.helper()
            got = await here.get(mirrors=(here.url("/file-of-mine.bin"),))
            assert got.path.read_bytes() == body
            assert not helper.fields_of("helping")
            assert any("nothing but the URL itself" in note for note in here.notes)

    run(story())


def test_a_document_comes_whole_whatever_the_probe_asks_for(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(300 * KIB)
        async with room(tmp_path) as here:
            here.serve(body)
            got = await here.download("/file.bin", is_document=lambda facts, url: True)
            assert isinstance(got, Document)
            assert got.body == body

    run(story())


def test_a_file_is_told_of_as_soon_as_it_has_its_name(tmp_path: Path) -> None:
    async def story() -> None:
        whole: list[Downloaded] = []
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=here.slow)
            await here.helper()
            got = await here.get(on_whole=whole.append)
        assert whole == [got]

    run(story())


def test_progress_tells_who_brings_what(tmp_path: Path) -> None:
    async def story() -> None:
        seen: list[Progress] = []
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=here.slow)
            await here.helper()
            await here.get(on_progress=seen.append)
        last = [one for one in seen if one.members][-1]
        assert last.members[0].is_us
        assert last.members[1].is_helper
        assert last.members[1].brought > 0

    run(story())


def test_helpers_do_not_keep_each_other_when_nobody_wants_the_file_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LEAVES_AFTER", 0.2)

    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=here.slow)
            helpers = [await here.helper(), await here.helper()]
            await here.get()
            await until(lambda: all(helper.fields_of("helped") for helper in helpers))

    run(story())
