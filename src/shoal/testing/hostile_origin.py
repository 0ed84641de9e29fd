"""An HTTP origin on loopback that misbehaves on command, and remembers what it was asked.

Each path has a `Page`, or a function that makes one for each request (numbered from 0): so a test says "the second
request is told to come again later". Threads and blocking sockets, because a misdeed is then a few plain lines.
"""

from __future__ import annotations

import gzip
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from typing import Final

from shoal.units import KIB

SLICE: Final = 4 * KIB  # bytes a write; small, so that what happens "in the middle" does
MOST_HEAD: Final = 256 * KIB
NO_LINGERING: Final = struct.pack("ii", 1, 0)  # closing sends a reset
LOGIN_PAGE: Final = b"<!doctype html><title>Please log in</title><form action=/login></form>"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class Page:
    """What is served at a path, and how badly. Everything is well unless it is said."""

    body: bytes = b""
    etag: str | None = '"v1"'
    modified: str | None = None
    headers: tuple[tuple[str, str], ...] = ()  # besides those that are made
    status: int | None = None  # instead of what fits; the body is sent whole
    takes_ranges: bool = True  # False: a 200 with all of it, whatever is asked
    says_length: bool = True  # False: the connection's end is the body's
    is_chunked: bool = False
    shifted_by: int = 0  # Content-Range names bytes that are not those sent
    total_is: str | None = None  # Content-Range names this total
    is_gzipped: bool = False  # though nobody asked for it
    closes_after: int | None = None  # bytes of each body; then the connection ends as if all was well
    resets_after: int | None = None  # the same, with a reset
    stalls_after: int | None = None  # bytes of each body, then silence
    rate: int | Callable[[], int] | None = (
        None  # bytes a second of each body; a function is asked before each slice
    )
    most_at_once: int | None = None  # requests; others are told 503
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came."""

    method: str
    path: str
    headers: Message
    from_port: int
    raw: bytes = field(repr=False)

    @property
    def range(self) -> tuple[int, int | None] | None:
        """First byte and end, if a range was asked for."""
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        return match and (int(match[1]), int(match[2]) + 1 if match[2] else None)


Pages = Page | Callable[[int], Page]


class HostileOrigin:
    """Use as a context manager. Other hosts are other loopback addresses."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.pages: dict[str, Pages] = {}
        self.asked: list[Asked] = []
        self.sent = 0  # bytes of bodies
        self.rate: int | None = (
            None  # bytes a second of all bodies together; it may change while they are sent
        )
        self._is_free_at = 0.0  # of what `rate` allows
        self.running = 0  # requests that are being answered ...
        self.most_running = 0  # ... and how many there were at most
        self.on_body: dict[
            str, Callable[[int], object]
        ] = {}  # by path: told after each slice how much was sent of it; the next one waits for its return
        self.turned_away = 0  # connections that were reset at once
        self._is_away = threading.Event()
        self._counts: dict[str, int] = {}
        self._sent_of: dict[str, int] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._connections: set[socket.socket] = set()
        self._listener = socket.create_server((host, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def url(self, path: str) -> str:
        return f"http://{self.host}:{self.port}{path}"

    def asked_for(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.partition("?")[0] == path]

    def __enter__(self) -> HostileOrigin:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def go_away(self) -> None:
        """Every connection is reset, and each new one too, as where nobody listens, until `come_back`."""
        self._is_away.set()
        with self._lock:
            for connection in self._connections:
                _reset(connection)

    def come_back(self) -> None:
        with self._lock:
            self.most_running = 0
        self._is_away.clear()

    # ---- connections

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._is_away.is_set():
                    self.turned_away += 1
                    _reset(connection)
                    connection.close()
                    continue
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, _Cut), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            rest = b""
            while not self._ended.is_set():
                head, rest = _read_head(connection, rest)
                if not head:
                    break
                self._answer(connection, _parsed(head, connection.getpeername()[1]))
        with self._lock:
            self._connections.discard(connection)

    def _answer(self, connection: socket.socket, asked: Asked) -> None:
        path = asked.path.partition("?")[0]
        with self._lock:
            self.asked.append(asked)
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            pages = self.pages.get(path, Page(b"no such page", status=404))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            running = self.running
        try:
            page = pages(number) if callable(pages) else pages
            if page.most_at_once is not None and running > page.most_at_once:
                page = Page(b"too many", status=503, retry_after=page.retry_after)
            self._send(connection, asked, page)
        finally:
            with self._lock:
                self.running -= 1

    # ---- answers

    def _send(self, connection: socket.socket, asked: Asked, page: Page) -> None:
        status, headers, body = _answer_of(asked, page)
        lines = [f"HTTP/1.1 {status} Because", *(f"{name}: {value}" for name, value in headers)]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if asked.method == "HEAD":
            return
        gone = 0
        for piece in _slices(body, page):
            if gone == page.stalls_after:
                self._ended.wait()
            self._wait_for(page, len(piece))
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if page.is_chunked else piece)
            gone += len(piece)
            self._count(asked, len(piece))
        self._end(connection, page, gone)

    def _end(self, connection: socket.socket, page: Page, gone: int) -> None:
        if gone == page.stalls_after:
            self._ended.wait()
        if gone == page.resets_after:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
            raise _Cut
        if gone == page.closes_after:
            raise _Cut
        if page.is_chunked:
            connection.sendall(b"0\r\n\r\n")
        elif not page.says_length:
            raise _Cut

    def _wait_for(self, page: Page, count: int) -> None:
        if page.rate is not None:
            self._ended.wait(count / (page.rate() if callable(page.rate) else page.rate))
        if self.rate is not None:
            with self._lock:
                now = time.monotonic()
                self._is_free_at = max(self._is_free_at, now) + count / self.rate
                wait = self._is_free_at - now
            self._ended.wait(wait)

    def _count(self, asked: Asked, count: int) -> None:
        path = asked.path.partition("?")[0]
        with self._lock:
            self.sent += count
            self._sent_of[path] = sent = self._sent_of.get(path, 0) + count
        if path in self.on_body:
            self.on_body[path](sent)


class _Cut(Exception):
    """This connection ends here."""


def _reset(connection: socket.socket) -> None:
    """Both sides know at once; whoever serves it still has to close it."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
        connection.shutdown(socket.SHUT_RDWR)


def _answer_of(asked: Asked, page: Page) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body, misdeeds included."""
    headers = list(page.headers)
    headers += [("ETag", page.etag)] if page.etag is not None else []
    headers += [("Last-Modified", page.modified)] if page.modified is not None else []
    headers += [("Retry-After", page.retry_after)] if page.retry_after is not None else []
    total = len(page.body)
    status, body = page.status or 200, page.body
    if page.status is None and page.takes_ranges:
        headers.append(("Accept-Ranges", "bytes"))
        if asked.range is not None:
            begin, end = asked.range[0], min(asked.range[1] or total, total)
            if begin >= total:
                status, body = 416, b""
                headers.append(("Content-Range", f"bytes */{total}"))
            else:
                status, body = 206, page.body[begin:end]
                begin, end = begin + page.shifted_by, end + page.shifted_by
                headers.append(("Content-Range", f"bytes {begin}-{end - 1}/{page.total_is or total}"))
    if page.is_gzipped:
        body = gzip.compress(body)
        headers.append(("Content-Encoding", "gzip"))
    if page.is_chunked:
        headers.append(("Transfer-Encoding", "chunked"))
    elif page.says_length:
        headers.append(("Content-Length", str(len(body))))
    else:
        headers.append(("Connection", "close"))
    return status, headers, body


def _slices(body: bytes, page: Page) -> Iterator[bytes]:
    """The body in pieces, cut where something is to happen."""
    happenings = (page.closes_after, page.resets_after, page.stalls_after)
    marks = [mark for mark in happenings if mark is not None]
    end = min([len(body), *marks])
    for begin in range(0, end, SLICE):
        yield body[begin : min(begin + SLICE, end)]


def _read_head(connection: socket.socket, data: bytes) -> tuple[bytes, bytes]:
    """One request's head and what came behind it; no head when the other side has closed."""
    while b"\r\n\r\n" not in data:
        more = connection.recv(64 * KIB)
        if not more or len(data) > MOST_HEAD:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _parsed(head: bytes, from_port: int) -> Asked:
    first, _, lines = head.partition(b"\r\n")
    method, target, _ = first.decode("latin-1").split(" ", 2)
    path = re.sub(r"^http://[^/]*", "", target)  # a proxy passes the whole URL on
    return Asked(method, path, BytesParser().parsebytes(lines), from_port, head)


# ---- well-known misdeeds


def redirect(to: str, status: int = 302) -> Page:
    return Page(b"moved", etag=None, status=status, headers=(("Location", to),))


def login_page() -> Page:
    return Page(LOGIN_PAGE, etag=None, status=200, headers=(("Content-Type", "text/html; charset=utf-8"),))


def first(*pages: Page, then: Page) -> Callable[[int], Page]:
    """One page for each of the first requests, and another for all that follow."""
    return lambda number: pages[number] if number < len(pages) else then
