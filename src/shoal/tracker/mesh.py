"""How the worker processes of one tracker ask one another: a Unix socket each, in a folder that is only theirs.

A question is a kind and some bytes, its answer some bytes; who can answer a kind registers for it. Everything asked
in one turn of the loop leaves in one write, because a worker asks the others thousands of times a second. Always
true: a question gets exactly one answer, which is None if that worker is away, is late, or does not know the kind;
no more than `MAX_WAITING` questions wait for one worker; a worker that comes back is found again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

from msgspec import DecodeError, Struct, msgpack

from shoal.tracker.soon import Soon

ANSWER_SECONDS = 2.0  # a worker that takes longer is stuck, and whoever asked the tracker is gone by then
RECONNECT_SECONDS = 0.2  # between attempts: a worker that died is started again at once
MAX_WAITING = 20_000  # questions for one worker: 4 MB, and what a busy second brings
MAX_FRAME_LENGTH = 64 << 20  # a listing of all peers; workers are ours, so this only bounds our own mistakes
LENGTH_BYTES = 4

Handler = Callable[[bytes], Soon[bytes]]


class _Message(Struct, array_like=True, gc=False):
    """A question, or with `kind` empty the answer to one."""

    ticket: int
    kind: str
    body: bytes | None


_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(list[_Message]).decode


class Mesh:
    """One worker's place among `count` workers."""

    def __init__(self, number: int, count: int, folder: Path) -> None:
        self.number = number
        self.others = [other for other in range(count) if other != number]
        self.handlers: dict[str, Handler] = {}
        self._folder = folder
        self._links = {other: _Link(folder / str(other)) for other in self.others}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answer the others while the context lasts."""
        own = self._folder / str(self.number)
        own.unlink(missing_ok=True)  # of one that died
        answering: set[_Stream] = set()
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Stream(self._answer, answering), path=str(own)
        )
        try:
            yield
        finally:
            server.close()
            for stream in list(answering):
                stream.close()
            for link in self._links.values():
                link.close()
            await server.wait_closed()
            own.unlink(missing_ok=True)

    def ask(self, worker: int, kind: str, body: bytes = b"") -> Future[bytes | None]:
        """Ask another worker; None where it cannot answer."""
        return self._links[worker].ask(kind, body)

    def _answer(self, stream: _Stream, question: _Message) -> None:
        handler = self.handlers.get(question.kind)
        answer = None if handler is None else handler(question.body or b"")
        if isinstance(answer, Future):
            answer.add_done_callback(
                lambda known: stream.put(
                    _Message(question.ticket, "", None if known.cancelled() else known.result())
                )
            )
        else:
            stream.put(_Message(question.ticket, "", answer))


class _Stream(asyncio.Protocol):
    """Messages over one connection, those of a turn of the loop together."""

    def __init__(self, on_message: Callable[[_Stream, _Message], None], others: set[_Stream]) -> None:
        self._on_message = on_message
        self._others = others
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._outgoing: list[_Message] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._others.add(self)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._others.discard(self)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at = 0
        while len(received) - at >= LENGTH_BYTES:
            length = int.from_bytes(received[at : at + LENGTH_BYTES], "big")
            if length > MAX_FRAME_LENGTH:
                self.close()
                return
            end = at + LENGTH_BYTES + length
            if end > len(received):
                break
            try:
                messages = _decode(memoryview(received)[at + LENGTH_BYTES : end])
            except DecodeError:
                self.close()
                return
            for message in messages:
                self._on_message(self, message)
            at = end
        del received[:at]

    def put(self, message: _Message) -> None:
        """Send with whatever else is put in this turn of the loop."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._transport is None or not self._outgoing:
            return
        frame = _encode(self._outgoing)
        self._outgoing.clear()
        self._transport.write(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)


class _Link:
    """The way to one other worker: connected when first asked, and again when it was lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: _Stream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._next_try_at = 0.0
        self._waiting: dict[
            int, tuple[Future[bytes | None], float]
        ] = {}  # ticket -> who waits, and until when
        self._last_ticket = 0
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, kind: str, body: bytes) -> Future[bytes | None]:
        loop = asyncio.get_running_loop()
        future: Future[bytes | None] = loop.create_future()
        stream = self._usable_stream(loop)
        if stream is None or len(self._waiting) >= MAX_WAITING:
            future.set_result(None)
            return future
        self._last_ticket += 1
        self._waiting[self._last_ticket] = future, loop.time() + ANSWER_SECONDS
        if self._timer is None:
            self._timer = loop.call_later(ANSWER_SECONDS, self._give_up_late)
        stream.put(_Message(self._last_ticket, kind, body))
        return future

    def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._stream is not None:
            self._stream.close()
        if self._timer is not None:
            self._timer.cancel()
        self._give_up(list(self._waiting))

    def _usable_stream(self, loop: asyncio.AbstractEventLoop) -> _Stream | None:
        """The connection, or the one being made; None shortly after one was refused."""
        if self._stream is None and loop.time() >= self._next_try_at:
            self._next_try_at = loop.time() + RECONNECT_SECONDS
            self._stream = _LinkStream(self._on_answer, self._on_lost)
            self._connecting = loop.create_task(self._connect(self._stream))
        return self._stream

    async def _connect(self, stream: _Stream) -> None:
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: stream, path=str(self._path))
        except OSError:
            self._on_lost()

    def _on_answer(self, stream: _Stream, answer: _Message) -> None:
        future, _ = self._waiting.pop(answer.ticket, (None, 0.0))
        if future is not None and not future.done():
            future.set_result(answer.body)

    def _on_lost(self) -> None:
        self._stream = None
        self._give_up(list(self._waiting))

    def _give_up_late(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._give_up([ticket for ticket, (_, until) in self._waiting.items() if until <= now])
        until = next((until for _, until in self._waiting.values()), None)
        self._timer = None if until is None else loop.call_at(until, self._give_up_late)

    def _give_up(self, tickets: list[int]) -> None:
        for ticket in tickets:
            future, _ = self._waiting.pop(ticket)
            if not future.done():
                future.set_result(None)


class _LinkStream(_Stream):
    """The asking end."""

    def __init__(self, on_message: Callable[[_Stream, _Message], None], on_lost: Callable[[], None]) -> None:
        super().__init__(on_message, set())
        self._on_lost = on_lost

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._on_lost()
