"""What a tracker has at which path: announces and scrapes, with or without a passkey before them, and pages.

A page is known by the first element of its path (`""` for `/` itself) and answers whatever is below it. Fixed things,
such as a torrent at `/NAME.torrent`, are `routes`.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote_to_bytes

from shoal.protocol.tracker.answers import encode_announce_response, encode_failure, encode_scrape_response
from shoal.protocol.tracker.messages import AnnounceResponse, ScrapeResponse, TrackerFailure
from shoal.protocol.tracker.query import QueryError, parse_announce_query, parse_scrape_query
from shoal.tracker.door_http import Question
from shoal.tracker.passkeys import passkey_in
from shoal.tracker.replies import Reply
from shoal.tracker.soon import Soon, later
from shoal.tracker.tracker import Tracker

Route = tuple[str, bytes]  # content type, body


class Page(Protocol):
    """Something at a path of its own."""

    methods: tuple[bytes, ...]  # what may be done there besides GET and HEAD

    def answer(self, question: Question) -> Soon[Reply] | None:
        """None where there is nothing."""

    def body_limit(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
        """How many bytes of body are welcome from this asker; with 0 it is answered before any is read."""


class Site:
    def __init__(
        self,
        tracker: Tracker,
        *,
        routes: Mapping[str, Route] | None = None,
        pages: Mapping[str, Page] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.tracker = tracker
        self.routes = dict(routes or {})  # path -> what is there; may be added to while serving
        self.pages = dict(pages or {})  # first element of the path -> who answers
        self._clock = clock or tracker.clock

    def answer(self, question: Question) -> Soon[Reply] | None:
        """What the door replies; None where there is nothing."""
        path = question.path
        if question.method == b"GET" or question.method == b"HEAD":
            if path.endswith(b"/announce"):
                return self._announce(question)
            if path.endswith(b"/scrape"):
                return self._scrape(question)
            route = self.routes.get(unquote_to_bytes(path).decode("utf-8", "replace"))
            if route is not None:
                return Reply(route[1], route[0])
        page = self._page_at(path)
        methods = (b"GET", b"HEAD", *(page.methods if page is not None else ()))
        if question.method not in methods:
            allowed = b", ".join(methods).decode()
            return Reply(
                f"only {allowed}\n".encode(),
                status=HTTPStatus.METHOD_NOT_ALLOWED,
                headers=(("Allow", allowed),),
            )
        return None if page is None else page.answer(question)

    def body_limit(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
        page = self._page_at(path)
        return 0 if page is None or method not in page.methods else page.body_limit(method, path, headers)

    def _page_at(self, path: bytes) -> Page | None:
        return self.pages.get(path[1:].partition(b"/")[0].decode("latin-1"))

    def _announce(self, question: Question) -> Soon[Reply]:
        tracker = self.tracker
        try:
            request = parse_announce_query(question.query)
        except QueryError as error:
            tracker.counters.announces += 1
            return self._refuse(error)
        answer = tracker.announce(request, question.host, passkey_in(question.path), self._clock())
        reply = _reply_to_compact if request.is_compact else _reply_to_full
        return later(answer, reply) if isinstance(answer, Future) else reply(answer)

    def _scrape(self, question: Question) -> Soon[Reply]:
        tracker = self.tracker
        try:
            info_hashes = parse_scrape_query(question.query)
        except QueryError as error:
            tracker.counters.scrapes += 1
            return self._refuse(error)
        answer = tracker.scrape(info_hashes, passkey_in(question.path), self._clock())
        return later(answer, _reply_to_scrape) if isinstance(answer, Future) else _reply_to_scrape(answer)

    def _refuse(self, error: QueryError) -> Reply:
        self.tracker.counters.refusals += 1
        return Reply(encode_failure(TrackerFailure(error.message)))


def _reply_to_compact(answer: AnnounceResponse | TrackerFailure) -> Reply:
    if isinstance(answer, TrackerFailure):
        return Reply(encode_failure(answer))
    return Reply(encode_announce_response(answer))


def _reply_to_full(answer: AnnounceResponse | TrackerFailure) -> Reply:
    if isinstance(answer, TrackerFailure):
        return Reply(encode_failure(answer))
    return Reply(encode_announce_response(answer, is_compact=False))


def _reply_to_scrape(answer: ScrapeResponse | TrackerFailure) -> Reply:
    return Reply(
        encode_failure(answer) if isinstance(answer, TrackerFailure) else encode_scrape_response(answer)
    )
