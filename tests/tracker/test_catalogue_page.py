"""`/catalogue` over HTTP, on real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from shoal.errors import DiskFullError
from shoal.formats.metainfo import parse_metainfo
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.query import encode_announce_query
from shoal.testing.build import build_torrent
from shoal.tracker.catalogue_page import MAX_PUBLISHED_LENGTH, name_in
from shoal.tracker.door_http import MAX_REQUEST_LENGTH

from .browsing import TOKEN, Open, opened, until

DATA = build_torrent(b"abc", trackers=[["http://t.example/announce"]])
HASH = parse_metainfo(DATA).wire_hash


async def announce(here: Open, info_hash: bytes, left: int, port: int = 1001) -> bytes:
    query = encode_announce_query(AnnounceRequest(info_hash, bytes([port % 256]) * 20, port, left=left))
    return (await here.ask("GET", f"/announce?{query}")).body


def test_what_is_put_there_is_listed_with_its_peers_and_given_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            assert json.loads((await here.ask("GET", "/catalogue")).body) == []
            put = await here.put("a%20file", DATA)
            assert (put.status, put.body) == (201, b"published 'a file'\n")
            await announce(here, HASH, left=0)
            await announce(here, HASH, left=3, port=1002)
            await announce(here, HASH, left=3, port=1003)
            here.annex._catalogue._told = None  # type: ignore[union-attr]  # it is told again for a second
            listed = await here.ask("GET", "/catalogue")
            assert listed.headers["content-type"] == "application/json"
            (entry,) = json.loads(listed.body)
            assert abs(entry.pop("published_at") - time.time()) < 60
            assert entry.pop("magnet").startswith(f"magnet:?xt=urn:btih:{HASH.hex()}&")
            assert entry == {
                "name": "a file",
                "info_hash": HASH.hex(),
                "size": 3,
                "file_count": 1,
                "seeds": 1,
                "leechers": 2,
            }
            got = await here.ask("GET", "/catalogue/a%20file.torrent")
            assert (got.status, got.body) == (200, DATA)
            assert got.headers["content-type"] == "application/x-bittorrent"
            assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20file.torrent"
            head = await here.ask("HEAD", "/catalogue/a%20file.torrent")
            assert (head.body, head.headers["content-length"]) == (b"", str(len(DATA)))

    asyncio.run(story())


def test_replacing_and_removing_want_the_owner(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            assert (await here.put("a", DATA, owner="me")).status == 201
            taken = await here.put("a", DATA, owner="you")
            assert (taken.status, taken.body) == (
                409,
                b"'a' is published by somebody else; choose another name\n",
            )
            assert (await here.put("a", DATA)).status == 409  # the tracker's own token is no skeleton key
            assert (await here.put("a.torrent", DATA, owner="me")).status == 200
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            refused = await here.ask("DELETE", "/catalogue/a", Shoal_Owner="you", **bearer)
            assert refused.status == 409
            assert (await here.ask("DELETE", "/catalogue/a", Shoal_Owner="me")).status == 401
            removed = await here.ask("DELETE", "/catalogue/a", Shoal_Owner="me", **bearer)
            assert (removed.status, removed.body) == (200, b"removed 'a'\n")
            assert (await here.ask("DELETE", "/catalogue/a", **bearer)).status == 404
            assert (await here.ask("GET", "/catalogue/a.torrent")).status == 404

    asyncio.run(story())


def test_who_sends_no_body_learns_whether_one_would_be_taken(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            asked = await here.put("a", b"", owner="me")
            assert (asked.status, asked.body) == (200, b"'a' may be published\n")
            assert (await here.ask("GET", "/catalogue/a.torrent")).status == 404
            assert (await here.put("a", DATA, owner="me")).status == 201
            assert (await here.put("a", b"", owner="me")).status == 200
            assert (await here.put("a", b"", owner="you")).status == 409
            assert (await here.put("A", b"", owner="you")).status == 409
            assert (await here.put("..", b"", owner="you")).status == 400
            assert (await here.put("b", b"", token="wrong")).status == 403
            assert (await here.ask("GET", "/catalogue/a.torrent")).body == DATA

    asyncio.run(story())


def test_without_an_owner_the_trackers_token_is_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            assert (await here.put("a", DATA)).status == 201
            assert (await here.put("a", DATA)).status == 200
            assert (await here.put("a", DATA, owner="me")).status == 409

    asyncio.run(story())


@pytest.mark.parametrize(
    ("authorization", "status", "line"),
    [
        ("", 401, b"publishing needs the tracker's token"),
        (f"Basic {TOKEN}", 401, b"publishing needs the tracker's token"),
        ("Bearer wrong", 403, b"this is not the token for publishing here"),
        (f"Bearer {TOKEN}x", 403, b"this is not the token for publishing here"),
        ("Bearer ", 403, b"this is not the token for publishing here"),
    ],
)
def test_a_stranger_publishes_nothing_and_sends_no_body(
    tmp_path: Path, authorization: str, status: int, line: bytes
) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            for body in (DATA, bytes(40 * MAX_REQUEST_LENGTH)):
                answer = await here.ask("PUT", "/catalogue/a", body, Authorization=authorization)
                assert answer.status == status
                assert answer.body.startswith(line)
                assert TOKEN.encode() not in answer.body
                assert here.serving.http.bodies_length == 0

    asyncio.run(story())
    assert not list(tmp_path.glob("*.torrent"))


def test_without_a_token_of_the_tracker_nothing_can_be_published(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path, publish_token="") as here:
            for token in ("", "anything"):
                answer = await here.put("a", DATA, token=token)
                assert answer.status == 403
                assert b"the tracker runs without --publish-token" in answer.body

    asyncio.run(story())


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "..", "%2e%2e", "a%2Fb", "%ff", "%00", ".x", "CON", "a%0d%0aX:y", ".torrent", "x" * 300],
)
def test_bad_names_are_refused_with_a_line(tmp_path: Path, name: str) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            answer = await here.put(name, DATA)
            assert answer.status == 400
            assert answer.body.count(b"\n") == 1 and answer.body.endswith(b"\n")

    asyncio.run(story())
    assert not list(tmp_path.glob("*.torrent"))


def test_what_is_no_torrent_or_too_long_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            answer = await here.put("a", b"<html>")
            assert (answer.status, answer.body) == (400, b"not a torrent file: byte 0: not a dictionary\n")
            too_long = await here.ask(
                "PUT",
                "/catalogue/a",
                Authorization=f"Bearer {TOKEN}",
                Content_Length=str(MAX_PUBLISHED_LENGTH + 1),
            )
            assert too_long.status == 413

    asyncio.run(story())


def test_a_full_disk_is_507_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            monkeypatch.setattr(
                "shoal.disk.shelf.Shelf.write", lambda *_: (_ for _ in ()).throw(DiskFullError("x"))
            )
            answer = await here.put("a", DATA)
            assert (answer.status, answer.body) == (
                507,
                b"the tracker's disk is full; nothing was changed\n",
            )

    asyncio.run(story())


def test_a_mistake_of_ours_is_a_500_and_the_loop_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        heard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: heard.append(context["exception"])
        )
        async with opened(tmp_path) as here:
            monkeypatch.setattr("shoal.tracker.catalogue.Catalogue.publish", lambda *_: [][0])
            assert (await here.put("a", DATA)).status == 500
            assert [type(error) for error in heard] == [IndexError]
            assert (await here.ask("GET", "/catalogue")).status == 200

    asyncio.run(story())


def test_many_who_publish_one_name_at_once_are_one_owner_and_refusals(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here, opened(tmp_path) as there:
            answers = await asyncio.gather(
                *((here, there)[number % 2].put("a", DATA, owner=f"owner {number}") for number in range(20))
            )
            assert sorted(answer.status for answer in answers) == [201] + [409] * 19

    asyncio.run(story())


def test_what_another_process_publishes_is_there_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here, opened(tmp_path) as there:
            assert (await here.ask("GET", "/catalogue/a.torrent")).status == 404
            await there.put("a", DATA)
            assert (await here.ask("GET", "/catalogue/a.torrent")).body == DATA

    asyncio.run(story())


def test_a_tracker_of_named_torrents_serves_what_is_published_as_well(tmp_path: Path) -> None:
    named = bytes(20)
    other = build_torrent(b"other")
    no = b"this tracker does not serve that torrent"

    async def story() -> None:
        async with opened(tmp_path, only=frozenset({named})) as here, opened(tmp_path) as there:
            assert no in await announce(here, HASH, left=0)
            await here.put("a", DATA)
            assert b"8:interval" in await announce(here, HASH, left=0)
            assert b"8:interval" in await announce(here, named, left=0)
            await there.put("b", other)
            only = here.tracker.policy.only
            assert only is not None
            await until(lambda: parse_metainfo(other).wire_hash in only)  # by housekeeping
            await here.ask("DELETE", "/catalogue/a", Authorization=f"Bearer {TOKEN}")
            assert no in await announce(here, HASH, left=0)
            assert b"8:interval" in await announce(here, named, left=0)

    asyncio.run(story())


def test_there_is_nothing_below_an_entry_nor_without_a_catalogue(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            await here.put("a", DATA)
            assert (await here.ask("GET", "/catalogue/a")).status == 404
            assert (await here.ask("POST", "/catalogue/a")).status == 405
        async with opened(tmp_path, catalogue=None) as here:
            assert (await here.ask("GET", "/catalogue")).status == 404
            assert (await here.put("a", DATA)).status == 405

    asyncio.run(story())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/catalogue", ""),
        (b"/catalogue/", ""),
        (b"/catalogue/a%20b.torrent", "a b"),
        (b"/catalogue/a.torrent.torrent", "a.torrent"),
        (b"/catalogue/a/", None),
        (b"/catalogue//a", None),
        (b"/catalogue/.torrent", None),
        (b"/catalogue/%ff.torrent", None),
    ],
)
def test_a_path_names_one_entry(path: bytes, name: str | None) -> None:
    assert name_in(path) == name
