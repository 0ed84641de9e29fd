"""What a tracker has at which path."""

from __future__ import annotations

import asyncio
import random
from asyncio import Future
from http import HTTPStatus

import pytest

from shoal.formats.bencode import decode
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.query import encode_announce_query, encode_scrape_query
from shoal.tracker.decision import Policy
from shoal.tracker.door_http import Question
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.replies import Reply
from shoal.tracker.site import Site
from shoal.tracker.soon import Soon
from shoal.tracker.store import SwarmView, Trouble, Visit
from shoal.tracker.tracker import Tracker

HASH = b"h" * 20
HOST = bytes([192, 0, 2, 1])
ANNOUNCE = encode_announce_query(AnnounceRequest(HASH, b"p" * 20, 1001, left=7)).encode()
SCRAPE = encode_scrape_query([HASH]).encode()


def ask(path: str, query: bytes = b"", method: bytes = b"GET") -> Question:
    return Question(path.encode(), query, HOST, 5555, method)


def replied(site: Site, question: Question) -> Reply:
    reply = site.answer(question)
    assert isinstance(reply, Reply)
    return reply


class Shelf:
    """A page that takes things."""

    methods = (b"PUT", b"DELETE")

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def answer(self, question: Question) -> Soon[Reply] | None:
        self.asked.append(question)
        return None if question.path.endswith(b"/nothing") else Reply(b"shelf")

    def body_limit(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
        return 100 if method == b"PUT" else 10


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("path", ["/announce", "/key/announce", "/a/b/announce"])
def test_an_announce_is_answered_wherever_it_is_made(path: str, method: bytes) -> None:
    body = decode(replied(Site(Tracker()), ask(path, ANNOUNCE, method)).body)
    assert (body[b"complete"], body[b"incomplete"]) == (0, 1)


def test_a_scrape_is_answered() -> None:
    site = Site(Tracker())
    site.answer(ask("/announce", ANNOUNCE))
    body = decode(replied(site, ask("/scrape", SCRAPE)).body)
    assert body[b"files"][HASH][b"incomplete"] == 1


@pytest.mark.parametrize("path", ["/announce", "/scrape"])
def test_a_question_that_does_not_parse_gets_its_reason_and_is_counted(path: str) -> None:
    tracker = Tracker()
    reply = replied(Site(tracker), ask(path, b"info_hash=1"))
    assert reply.status == HTTPStatus.OK
    assert b"failure reason" in decode(reply.body)
    assert tracker.counters.refusals == 1
    assert tracker.counters.announces + tracker.counters.scrapes == 1


@pytest.mark.parametrize(("path", "query"), [("announce", ANNOUNCE), ("scrape", SCRAPE)])
def test_a_passkey_in_the_path_opens_a_private_tracker(path: str, query: bytes) -> None:
    site = Site(Tracker(Policy(passkeys={b"key": "somebody"})))
    assert b"failure reason" not in decode(replied(site, ask(f"/key/{path}", query)).body)
    for wrong in (f"/{path}", f"/other/{path}", f"/a/key/{path}"):
        assert b"failure reason" in decode(replied(site, ask(wrong, query)).body)


def test_peers_are_told_as_dictionaries_to_those_who_ask_for_them() -> None:
    site = Site(Tracker())
    site.answer(ask("/announce", ANNOUNCE))
    other = AnnounceRequest(HASH, b"q" * 20, 1002, left=7, is_compact=False)
    body = decode(replied(site, ask("/announce", encode_announce_query(other).encode())).body)
    assert body[b"peers"] == [{b"ip": b"192.0.2.1", b"port": 1001}]


class SlowStore(MemoryStore):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(100, random.Random(1))
        self.waiting: list[Future[SwarmView | Trouble]] = []

    def visit(self, visit: Visit, now: float) -> Soon[SwarmView | Trouble]:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return self.waiting[-1]


def test_an_answer_of_a_store_elsewhere_comes_later() -> None:
    async def story() -> None:
        store = SlowStore()
        reply = Site(Tracker(store=store)).answer(ask("/announce", ANNOUNCE))
        assert isinstance(reply, Future)
        store.waiting[0].set_result(SwarmView(5, 6))
        assert decode((await reply).body)[b"complete"] == 5

    asyncio.run(story())


def test_a_fixed_thing_is_found_under_its_path_however_it_is_escaped() -> None:
    site = Site(Tracker(), routes={"/a b.torrent": ("application/x-bittorrent", b"torrent")})
    for path in ("/a%20b.torrent", "/a b.torrent", "/%61%20b%2etorrent"):
        assert replied(site, ask(path)) == Reply(b"torrent", "application/x-bittorrent")
    site.routes["/later"] = ("text/plain", b"now")
    assert replied(site, ask("/later")).body == b"now"
    assert site.answer(ask("/a%ff")) is None
    assert site.answer(ask("/a")) is None


def test_a_page_answers_for_everything_below_its_first_element() -> None:
    root, shelf = Shelf(), Shelf()
    site = Site(Tracker(), pages={"": root, "shelf": shelf})
    for path in ("/shelf", "/shelf/", "/shelf/a/b"):
        assert replied(site, ask(path)).body == b"shelf"
    assert [question.path for question in shelf.asked] == [b"/shelf", b"/shelf/", b"/shelf/a/b"]
    assert site.answer(ask("/shelf/nothing")) is None
    assert site.answer(ask("/shelves")) is None
    replied(site, ask("/"))
    assert len(root.asked) == 1


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        (b"DELETE", "/announce", "GET, HEAD"),
        (b"POST", "/", "GET, HEAD"),
        (b"PUT", "/elsewhere", "GET, HEAD"),
        (b"POST", "/shelf/a", "GET, HEAD, PUT, DELETE"),
        (b"OPTIONS", "*", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_for_there_is_told_what_is(method: bytes, path: str, allowed: str) -> None:
    site = Site(Tracker(), pages={"shelf": Shelf()})
    reply = replied(site, ask(path, method=method))
    assert reply.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert reply.headers == (("Allow", allowed),)
    assert reply.body == f"only {allowed}\n".encode()


def test_a_body_is_welcome_only_where_a_page_takes_it() -> None:
    site = Site(Tracker(), pages={"shelf": Shelf()})
    assert site.body_limit(b"PUT", b"/shelf/a", {}) == 100
    assert site.body_limit(b"DELETE", b"/shelf/a", {}) == 10
    assert site.body_limit(b"POST", b"/shelf/a", {}) == 0
    assert site.body_limit(b"PUT", b"/announce", {}) == 0
