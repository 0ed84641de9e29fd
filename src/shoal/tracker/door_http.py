"""The HTTP door: bytes from a socket -> questions; replies -> bytes. What is answered is decided elsewhere.

Speaks HTTP/1.0 and 1.1 with keep-alive and pipelining, GET and HEAD. Always true: replies leave in the order
of the requests; a connection holds at most one read and `MAX_REQUEST_LENGTH` bytes of an unfinished request;
one that is slow to ask, slow to read or idle is closed by `close_overdue`; whatever a client sends, it gets a
status or a closed connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import httptools

from shoal.net.addresses import pack_host

MAX_REQUEST_LENGTH = 16 * 1024  # the longest scrape there is, and headers of a chatty client
MAX_CONNECTIONS = 10_000  # about 10 KiB each
REQUEST_SECONDS = 10.0  # from the first byte of a request to its last
IDLE_SECONDS = 60.0  # of a kept-alive connection; a client comes back in minutes at the earliest
WRITE_HIGH_WATER = 64 * 1024  # of replies that a client does not take: then it is not read any more


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as far as we care."""

    path: bytes
    query: bytes  # what follows the `?`, still percent-encoded
    host: bytes  # the asker's packed address, as the socket shows it
    port: int  # the asker's port on this connection


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes
    content_type: str = "text/plain"
    status: int = HTTPStatus.OK


class HttpDoor:
    """Makes a protocol for each connection (`loop.create_server(door)`), and closes those that dawdle."""

    def __init__(
        self,
        answer: Callable[[Question], Reply | None],
        clock: Callable[[], float],
        *,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.answer = answer
        self.clock = clock
        self.connections: set[_Connection] = set()
        self.max_connections = max_connections

    def __call__(self) -> asyncio.Protocol:
        return _Connection(self)

    def close_overdue(self, now: float) -> None:
        for connection in [c for c in self.connections if c.deadline <= now]:
            connection.abort()

    def close_all(self) -> None:
        for connection in list(self.connections):
            connection.abort()


@dataclass(frozen=True, slots=True)
class _Request:
    method: bytes
    target: bytes
    version: str
    keeps_alive: bool


class _Connection(asyncio.Protocol):
    """One client. The callbacks of the parser only collect; requests are answered after it has returned."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._host, self._port = b"", 0
        self._target = b""
        self._requests: list[_Request] = []
        self._unfinished_length = 0  # of the request that is being read
        self.deadline = door.clock() + REQUEST_SECONDS

    # -- asyncio calls -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if peer is None or len(self._door.connections) >= self._door.max_connections:
            transport.abort()
            return
        self._host, self._port = pack_host(peer[0]), peer[1]
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._door.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._unfinished_length == 0:
            self.deadline = self._door.clock() + REQUEST_SECONDS
        self._unfinished_length += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # declined: that request is answered as usual, and the connection ends with it
        except httptools.HttpParserError:
            self._answer_requests()
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        self._answer_requests()
        if self._unfinished_length > MAX_REQUEST_LENGTH:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        self._door.connections.discard(self)
        self._transport = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- the parser calls ----------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_message_complete(self) -> None:
        parser = self._parser
        keeps_alive = parser.should_keep_alive() and not parser.should_upgrade()
        request = _Request(parser.get_method(), self._target, parser.get_http_version(), keeps_alive)
        self._requests.append(request)
        self._target = b""
        self._unfinished_length = 0

    # -- answering -----------------------------------------------------------------------------------

    def _answer_requests(self) -> None:
        """Reply to everything that was read, in order, with one write."""
        if not self._requests or self._transport is None or self._transport.is_closing():
            return
        replies = []
        keeps_alive = True
        for request in self._requests:
            replies.append(self._reply_to(request))
            keeps_alive = request.keeps_alive
            if not keeps_alive:
                break
        self._requests.clear()
        self.deadline = self._door.clock() + IDLE_SECONDS
        self._transport.write(b"".join(replies))
        if not keeps_alive:
            self._transport.close()

    def _reply_to(self, request: _Request) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            return encode_reply(
                Reply(b"only GET and HEAD\n", status=HTTPStatus.METHOD_NOT_ALLOWED), request.keeps_alive
            )
        path, query = split_target(request.target)
        reply = self._door.answer(Question(path, query, self._host, self._port))
        return encode_reply(
            reply or Reply(b"not found\n", status=HTTPStatus.NOT_FOUND),
            request.keeps_alive,
            says_keep_alive=request.version == "1.0",
            is_head=request.method == b"HEAD",
        )

    def _refuse(self, status: HTTPStatus) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(encode_reply(Reply(status.phrase.encode() + b"\n", status=status), False))
        self._transport.close()


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """A request's target -> path and query; a proxy's absolute form (`http://host/path`) is understood."""
    if not target.startswith(b"/"):
        _, _, behind_scheme = target.partition(b"://")
        _, slash, path = behind_scheme.partition(b"/")
        target = slash + path
    path, _, query = target.partition(b"?")
    return path, query


def encode_reply(
    reply: Reply, keeps_alive: bool, *, says_keep_alive: bool = False, is_head: bool = False
) -> bytes:
    """A whole HTTP/1.1 reply. HTTP/1.0 clients are told of keep-alive (`says_keep_alive`); 1.1 ones know."""
    head = _STATUS_LINES[reply.status] + (
        f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
    ).encode("latin-1")
    if not keeps_alive:
        head += b"Connection: close\r\n"
    elif says_keep_alive:
        head += b"Connection: keep-alive\r\n"
    if reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
        head += b"Allow: GET, HEAD\r\n"
    return head + b"\r\n" + (b"" if is_head else reply.body)


_STATUS_LINES = {
    int(status): f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
