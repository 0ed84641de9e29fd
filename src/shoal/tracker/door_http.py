"""The HTTP door: bytes from a socket -> questions; replies -> bytes. What is answered is decided elsewhere.

Speaks HTTP/1.0 and 1.1 with keep-alive and pipelining: GET, HEAD, and PUT and DELETE where somebody takes them.
Always true: replies leave in the order of the requests, whenever they are known; a connection holds at most one read
and `MAX_REQUEST_LENGTH` bytes of an unfinished request, and a body only where one is welcome; all of them together at
most `MAX_BODIES_LENGTH` of bodies; one that is slow to ask, slow to read or idle is closed by `close_overdue`; who
sends many requests at once has no more than his turn, and no host has all of the places (`places.py`); whatever a
client sends, it gets a status or a closed connection.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import cast

import httptools
from msgspec import Struct

from shoal.net.addresses import pack_host
from shoal.tracker.places import Places
from shoal.tracker.plain_request import plain_request
from shoal.tracker.proxies import Network, forwarded_host
from shoal.tracker.replies import BAD_FORWARD, BROKEN, CONTINUE, NOT_FOUND, Reply, encode_reply
from shoal.tracker.soon import Soon, later

MAX_REQUEST_LENGTH = 16 * 1024  # the longest scrape there is, and headers of a chatty client
MAX_CONNECTIONS = 10_000  # about 10 KiB each
TURN_LENGTH = 2 * 1024  # bytes of requests that a connection has answered before others have their turn
MAX_WAITING = 64  # replies that a connection may wait for; then it is not read any more
REQUEST_SECONDS = 10.0  # from the first byte of a request to its last
BODY_RATE = 20_000  # bytes a second; a slower body is not waited for
IDLE_SECONDS = 60.0  # of a kept-alive connection; a client comes back in minutes at the earliest
MAX_BODIES_LENGTH = 64 << 20  # of all unfinished requests together
LINGER_SECONDS = 2.0  # for a client to read why it was refused before it hears that nobody reads it
WRITE_HIGH_WATER = 16 * 1024  # of replies that a client does not take: then it is not read any more
KEPT_HEADERS = frozenset(
    b"authorization content-length expect host shoal-owner x-forwarded-for x-forwarded-proto".split()
)


class Question(Struct, frozen=True, gc=False):
    """One request, as far as we care. Its `repr` holds nothing secret: no path, no headers."""

    path: bytes
    query: bytes  # what follows the `?`, still percent-encoded
    host: bytes  # the asker's packed address: the socket's, or what a trusted proxy says
    port: int  # the asker's port on this connection
    method: bytes = b"GET"
    headers: dict[bytes, bytes] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<Question {self.method.decode('latin-1')}, {len(self.path)} bytes of path>"


class HttpDoor:
    """Makes a protocol for each connection (`loop.create_server(door)`), and closes those that dawdle."""

    def __init__(
        self,
        answer: Callable[[Question], Soon[Reply] | None],
        clock: Callable[[], float],
        *,
        body_limit: Callable[[bytes, bytes, dict[bytes, bytes]], int] = lambda method, path, headers: 0,
        trusted_proxies: tuple[Network, ...] = (),
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """`body_limit(method, path, headers)` is how many bytes of body are welcome there from that asker."""
        self.answer = answer
        self.clock = clock
        self.body_limit = body_limit
        self.trusted_proxies = trusted_proxies
        self.connections: set[_Connection] = set()
        self.places = Places(max_connections, trusted_proxies)
        self.accepted_count = 0
        self.bodies_length = 0  # of requests that are not whole yet

    def __call__(self) -> asyncio.Protocol:
        return _Connection(self)

    def close_overdue(self, now: float) -> None:
        for connection in [c for c in self.connections if c.deadline <= now]:
            connection.abort()

    def close_all(self) -> None:
        for connection in list(self.connections):
            connection.abort()


class _Refused(Exception):
    """What the parser is stopped with when a request is not to be read on; no status: it is answered as it is."""

    def __init__(self, status: HTTPStatus | None) -> None:
        super().__init__(status)
        self.status = status


class _Connection(asyncio.Protocol):
    """One client. The callbacks of the parser only collect; requests are answered after it has returned."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._host, self._port = b"", 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._body_limit = 0
        self._body_deadline = 0.0  # while a body is awaited
        self._has_chunks = False
        # Each with keeps_alive and the version; bytes: a reply as it is.
        self._requests: list[tuple[Question | Reply | bytes, bool, str]] = []
        self._replies: deque[tuple[Soon[bytes], bool]] = deque()  # each with keeps_alive
        self._unread = b""  # what has come and waits for its turn
        self._unfinished_length = 0  # of the request that is being read
        self._is_ending = False
        self._is_refused = False
        self._is_write_paused = False
        self._has_next_turn = False
        self.deadline = door.clock() + REQUEST_SECONDS

    # -- asyncio calls -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if peer is None or not self._door.places.take(host := pack_host(peer[0])):
            transport.abort()
            return
        self._host, self._port = host, peer[1]
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._door.connections.add(self)
        self._door.accepted_count += 1

    def data_received(self, data: bytes) -> None:
        if len(data) <= TURN_LENGTH and not self._unread:
            self._read(data)
        else:
            self._unread += data
            self._read_on()

    def _read_on(self) -> None:
        """Have one turn, and another one after the others had theirs."""
        self._has_next_turn = False
        if self._transport is None:
            return  # it was lost before its turn
        part, self._unread = self._unread[:TURN_LENGTH], self._unread[TURN_LENGTH:]
        self._read(part)
        self._pace_reading()

    def _read(self, data: bytes) -> None:
        if self._is_ending:
            return
        if self._unfinished_length == 0 and not self._body_deadline:
            if not self._replies and (plain := plain_request(data)) is not None:
                self._answer_plain(*plain)
                return
            self.deadline = self._door.clock() + REQUEST_SECONDS
        self._unfinished_length += len(data)
        refusal: HTTPStatus | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # declined: that request is answered as usual, and the connection ends with it
        except httptools.HttpParserCallbackError as error:
            refusal = self._stop_reading(error.__context__)
        except httptools.HttpParserError:
            refusal = HTTPStatus.BAD_REQUEST
        if self._unfinished_length - len(self._body) > MAX_REQUEST_LENGTH:
            refusal = refusal or HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._answer_requests(refusal)

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self.deadline = self._door.clock() + REQUEST_SECONDS
        self._pace_reading()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self.deadline = self._door.clock() + IDLE_SECONDS
        self._pace_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        if self in self._door.connections:
            self._door.connections.discard(self)
            self._door.places.leave(self._host)
        self._drop_body()
        self._unread = b""
        self._transport = None
        self._replies.clear()
        del self._parser  # it holds this connection, and only the collector would see that both are of no use

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- the parser calls ----------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) in KEPT_LENGTHS and (kept := name.lower()) in KEPT_HEADERS:
            if self._has_chunks:
                return  # behind the body: no proxy looks there, so anybody may have written it
            if kept == b"x-forwarded-for" and kept in self._headers:
                value = self._headers[kept] + b"," + value  # some proxies add a line of their own
            self._headers[kept] = value

    def on_headers_complete(self) -> None:
        if (method := self._parser.get_method()) == b"GET":
            return
        headers = self._headers
        limit = self._door.body_limit(method, split_target(self._target)[0], headers)
        if int(headers.get(b"content-length", b"0")) > limit:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE if limit else None)
        if limit:
            self._body_limit = limit
            self.deadline = self._body_deadline = self._door.clock() + REQUEST_SECONDS + limit / BODY_RATE
            if headers.get(b"expect", b"").lower() == b"100-continue":
                self._requests.append((CONTINUE, True, ""))

    def on_chunk_header(self) -> None:
        self._has_chunks = True

    def on_body(self, body: bytes) -> None:
        if self._body_limit == 0:
            return  # nobody reads it; it counts as a part of the request, which may not be long
        self._body += body
        self._door.bodies_length += len(body)
        if len(self._body) > self._body_limit:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self._door.bodies_length > MAX_BODIES_LENGTH:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE)

    def on_message_complete(self) -> None:
        parser = self._parser
        keeps_alive = parser.should_keep_alive() and not parser.should_upgrade()
        self._requests.append((self._question(parser.get_method()), keeps_alive, parser.get_http_version()))
        self._target = b""
        self._unfinished_length = 0
        if self._headers:
            self._headers = {}
        if self._body_limit:
            self._drop_body()
        self._has_chunks = False

    def _drop_body(self) -> None:
        self._door.bodies_length -= len(self._body)
        self._body, self._body_limit, self._body_deadline = bytearray(), 0, 0.0

    def _stop_reading(self, why: BaseException | None) -> HTTPStatus | None:
        """What to refuse a request with that the parser was stopped at; None if its head is enough for an answer."""
        if not isinstance(why, _Refused):
            return HTTPStatus.BAD_REQUEST
        if why.status is None:
            self._requests.append(
                (self._question(self._parser.get_method()), False, self._parser.get_http_version())
            )
            self._is_refused = True
        return why.status

    def _question(self, method: bytes) -> Question | Reply:
        path, query = split_target(self._target)
        host, headers = self._host, self._headers
        if self._door.trusted_proxies and b"x-forwarded-for" in headers:
            forwarded = forwarded_host(host, headers[b"x-forwarded-for"], self._door.trusted_proxies)
            if forwarded is None:
                return BAD_FORWARD
            host = forwarded
        body = bytes(self._body) if self._body else b""
        return Question(path, query, host, self._port, method, headers, body)

    # -- answering -----------------------------------------------------------------------------------

    def _answer_plain(self, target: bytes, keeps_alive: bool) -> None:
        """Reply to the only request there is."""
        path, _, query = target.partition(b"?")
        question = Question(path, query, self._host, self._port)
        self.deadline = self._door.clock() + IDLE_SECONDS
        reply = self._reply_to(question, keeps_alive, "1.1")
        transport = self._transport
        if isinstance(reply, Future) or transport is None:
            self._put(reply, keeps_alive)
            return
        transport.write(reply)
        if not keeps_alive:
            self._is_ending = True
            transport.close()

    def _answer_requests(self, refusal: HTTPStatus | None) -> None:
        """Reply to everything that was read, in order, with one write."""
        transport, requests = self._transport, self._requests
        if transport is None or transport.is_closing():
            return
        if requests:
            self.deadline = self._body_deadline or self._door.clock() + IDLE_SECONDS
            self._requests = []
        for question, keeps_alive, version in requests:
            self._put(self._reply_to(question, keeps_alive, version), keeps_alive)
            if not keeps_alive:
                break
        if refusal is not None and not self._is_ending:
            reply = Reply(refusal.phrase.encode() + b"\n", status=refusal)
            self._put(encode_reply(reply, False), False)
            self._is_refused = True
        self._write_known()
        if len(self._replies) > MAX_WAITING:
            self._pace_reading()

    def _put(self, reply: Soon[bytes], keeps_alive: bool) -> None:
        self._replies.append((reply, keeps_alive))
        self._is_ending = not keeps_alive
        if isinstance(reply, Future):
            reply.add_done_callback(self._write_known)

    def _write_known(self, _known: object = None) -> None:
        """Write the replies that are known, up to the first that is not."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        known, keeps_alive, was_long = [], True, len(self._replies) > MAX_WAITING
        while self._replies and keeps_alive:
            reply, keeps_alive = self._replies[0]
            if isinstance(reply, Future):
                if not reply.done():
                    keeps_alive = True
                    break
                if (error := reply.exception()) is not None:
                    self._tell_of(error)
                    reply, keeps_alive = encode_reply(BROKEN, False), False
                else:
                    reply = reply.result()
            known.append(reply)
            self._replies.popleft()
        if known:
            transport.write(b"".join(known) if len(known) > 1 else known[0])
        if not keeps_alive and not self._is_refused:
            transport.close()
        elif not keeps_alive:
            transport.write_eof()  # a reset for what it still sends would reach it before the reply
            self.deadline = self._door.clock() + LINGER_SECONDS
        elif was_long:
            self._pace_reading()

    def _pace_reading(self) -> None:
        """Read while the client takes its replies and does not wait for too many, and what has come first."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        is_held_up = self._is_write_paused or len(self._replies) > MAX_WAITING
        if is_held_up or self._unread:
            transport.pause_reading()
        else:
            transport.resume_reading()
        if self._unread and not is_held_up and not self._has_next_turn:
            self._has_next_turn = True
            asyncio.get_running_loop().call_soon(self._read_on)

    def _reply_to(self, question: Question | Reply | bytes, keeps_alive: bool, version: str) -> Soon[bytes]:
        says_keep_alive = version == "1.0"
        if isinstance(question, bytes):
            return question
        if isinstance(question, Reply):
            return encode_reply(question, keeps_alive, says_keep_alive=says_keep_alive)
        is_head = question.method == b"HEAD"
        try:
            reply = self._door.answer(question) or NOT_FOUND
        except Exception as error:  # noqa: BLE001 (our mistake; whoever asked hears of it)
            self._tell_of(error)
            reply = BROKEN
        if not isinstance(reply, Future):
            return encode_reply(reply, keeps_alive, says_keep_alive=says_keep_alive, is_head=is_head)
        encode = partial(
            encode_reply, keeps_alive=keeps_alive, says_keep_alive=says_keep_alive, is_head=is_head
        )
        return later(reply, encode)

    def _tell_of(self, error: BaseException) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "a request", "exception": error})


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """A request's target -> path and query; a proxy's absolute form (`http://host/path`) is understood."""
    if not target.startswith(b"/"):
        _, _, behind_scheme = target.partition(b"://")
        _, slash, path = behind_scheme.partition(b"/")
        target = slash + path
    path, _, query = target.partition(b"?")
    return path, query


KEPT_LENGTHS = frozenset(map(len, KEPT_HEADERS))
