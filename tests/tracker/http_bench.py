"""A door on a real socket (loopback) that echoes what it is asked, with its clock in the tests' hands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from shoal.net.eager_server import EagerServer
from shoal.net.listening import listening_sockets
from shoal.tracker.door_http import HttpDoor, Question
from shoal.tracker.replies import Reply
from shoal.tracker.soon import Soon

CLOSE = b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n"
SECONDS = 60  # of patience


class Bench:
    """The door's owner: `answer` may be another one, and is told every question."""

    def __init__(self, answer: Callable[[Question], Soon[Reply] | None] | None = None, **how: Any) -> None:
        self.now = 0.0
        self.questions: list[Question] = []
        self._answer = answer or echo
        self.door = HttpDoor(self.answer, lambda: self.now, **how)
        self.port = 0

    def answer(self, question: Question) -> Soon[Reply] | None:
        self.questions.append(question)
        return self._answer(question)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Bench]:
        (listener,) = listening_sockets("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        server = EagerServer(listener, self.door)
        try:
            yield self
        finally:
            server.close()
            self.door.close_all()

    async def talk(self, *chunks: bytes) -> bytes:
        """Send, and read until the door closes (ask for `Connection: close`)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            await closed(writer)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what only the loop can bring about."""
        async with asyncio.timeout(SECONDS):
            while not is_so():  # noqa: ASYNC110
                await asyncio.sleep(0)


def echo(question: Question) -> Reply | None:
    if question.path == b"/missing":
        return None
    if question.path == b"/big":
        return Reply(bytes(8 * 1024 * 1024))
    return Reply(question.path + b"?" + question.query)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def ok(body: bytes, extra: bytes = b"") -> bytes:
    return (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%b\r\n%b") % (
        len(body),
        extra,
        body,
    )


LAST = ok(b"/last?", b"Connection: close\r\n")
