"""The eager server under plain asyncio protocols, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from shoal.net.eager_server import EagerServer
from shoal.net.listening import open_port

from ..peers.processes import free_port

Runner = Callable[[Awaitable[None]], None]
LARGE = 8 * 1024 * 1024
LITTLE = 64 * 1024  # that the system takes at a time, however much it would take if nobody said so


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


class Talker(asyncio.Protocol):
    """Answers `large` with a lot, `bye` with an end, and everything else with itself."""

    def __init__(self, everybody: list[Talker]) -> None:
        everybody.append(self)
        self.transport: asyncio.Transport | None = None
        self.is_lost = asyncio.Event()
        self.error: Exception | None = None
        self.pauses: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        if data == b"large":
            self.transport.write(bytes(LARGE))
            self.transport.write(b"end")
        elif data == b"abort":
            self.transport.abort()
        else:
            self.transport.write(data)
            if data == b"bye":
                self.transport.close()
                self.transport.write(b"never sent")

    def pause_writing(self) -> None:
        self.pauses.append("pause")

    def resume_writing(self) -> None:
        self.pauses.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        self.is_lost.set()


@contextlib.asynccontextmanager
async def serving(kind: type[Talker] = Talker) -> AsyncIterator[tuple[int, list[Talker]]]:
    everybody: list[Talker] = []
    [listener] = open_port(["127.0.0.1"], free_port(), [socket.SOCK_STREAM])
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        listener.setsockopt(socket.SOL_SOCKET, buffer, LITTLE)
    server = EagerServer(listener, lambda: kind(everybody))
    port = listener.getsockname()[1]
    try:
        yield port, everybody
    finally:
        server.close()
        for talker in everybody:
            assert talker.transport is not None
            talker.transport.abort()
            await talker.is_lost.wait()


def test_a_conversation_goes_on_and_ends(run: Runner) -> None:
    async def story() -> None:
        async with serving() as (port, everybody):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for word in (b"one", b"two", b"three"):
                writer.write(word)
                assert await reader.readexactly(len(word)) == word
            writer.write(b"bye")
            assert await reader.read() == b"bye"
            await everybody[0].is_lost.wait()
            assert everybody[0].error is None
            writer.close()

    run(story())


def test_a_hundred_callers_at_once_are_all_answered(run: Runner) -> None:
    async def story() -> None:
        async with serving() as (port, everybody):

            async def call(number: int) -> None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"%d" % number)
                assert await reader.read(100) == b"%d" % number
                writer.close()

            await asyncio.gather(*(call(number) for number in range(200)))
            for talker in everybody:
                await talker.is_lost.wait()
            assert len(everybody) == 200

    run(story())


def test_what_the_other_side_does_not_take_waits_and_the_protocol_is_told(run: Runner) -> None:
    async def story() -> None:
        async with serving() as (port, everybody):
            caller = socket.socket()
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
            caller.connect(("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=caller)
            writer.write(b"large")
            assert await reader.readexactly(LARGE) == bytes(LARGE)
            assert await reader.readexactly(3) == b"end"
            assert everybody[0].pauses == ["pause", "resume"]
            writer.close()

    run(story())


def test_a_close_lets_what_was_written_go_out_first(run: Runner) -> None:
    async def story() -> None:
        async with serving() as (port, everybody):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"large")
            assert len(await reader.readexactly(1000)) == 1000
            transport = everybody[0].transport
            assert transport is not None
            transport.close()
            assert transport.is_closing()
            assert len(await reader.read()) == LARGE + 3 - 1000
            await everybody[0].is_lost.wait()
            writer.close()

    run(story())


def test_who_stops_reading_is_not_read_until_he_is_resumed(run: Runner) -> None:
    async def story() -> None:
        async with serving() as (port, everybody):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"a")
            assert await reader.read(1) == b"a"
            transport = everybody[0].transport
            assert transport is not None
            transport.pause_reading()
            writer.write(b"b")
            await writer.drain()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.05)
            transport.resume_reading()
            assert await reader.read(1) == b"b"
            writer.close()

    run(story())


def test_an_end_of_input_and_an_abort_are_told_once(run: Runner) -> None:
    async def story() -> None:
        async with serving() as (port, everybody):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            writer.write_eof()
            reader, other = await asyncio.open_connection("127.0.0.1", port)
            other.write(b"abort")
            assert await reader.read() == b""
            for talker in everybody:
                await talker.is_lost.wait()
            assert len(everybody) == 2
            assert [talker.error for talker in everybody] == [None, None]
            writer.close()
            other.close()

    run(story())


def test_without_a_free_descriptor_it_waits_and_goes_on(run: Runner) -> None:
    async def story() -> None:
        async with serving() as (port, everybody):
            caller = socket.create_connection(("127.0.0.1", port))
            caller.setblocking(False)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            taken: list[socket.socket] = []
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
                with pytest.raises(OSError) as error:
                    while True:
                        taken.append(socket.socket())
                assert error.value.errno == errno.EMFILE
                caller.send(b"hello")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.get_running_loop().sock_recv(caller, 10), 0.05)
                assert everybody == []
            finally:
                for sock in taken:
                    sock.close()
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert await asyncio.get_running_loop().sock_recv(caller, 10) == b"hello"
            caller.close()

    run(story())


def test_nobody_is_accepted_after_the_close(run: Runner) -> None:
    async def story() -> None:
        async with serving() as (port, _):
            pass
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    run(story())


def test_a_mistake_of_a_protocol_ends_its_connection_and_no_other(run: Runner) -> None:
    class Clumsy(Talker):
        def data_received(self, data: bytes) -> None:
            if data == b"fail":
                raise IndexError
            super().data_received(data)

    async def story() -> None:
        heard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: heard.append(context["exception"])
        )
        async with serving(Clumsy) as (port, everybody):
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
            other_writer.write(b"before")
            assert await other_reader.readexactly(6) == b"before"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"fail")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            assert [type(error) for error in heard] == [IndexError]
            await everybody[1].is_lost.wait()
            assert isinstance(everybody[1].error, IndexError)
            other_writer.write(b"after")
            assert await other_reader.readexactly(5) == b"after"
            writer.close()
            other_writer.close()

    run(story())
