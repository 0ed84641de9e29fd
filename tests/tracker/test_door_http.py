"""The HTTP door on real sockets (loopback), with a clock in the tests' hands."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.tracker.door_http import IDLE_SECONDS, MAX_REQUEST_LENGTH, REQUEST_SECONDS, split_target

from .http_bench import CLOSE, LAST, Bench, closed, ok

Runner = Callable[[Awaitable[None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


def test_a_request_is_answered_and_the_connection_lives_on(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            answer = await bench.talk(b"GET /a?b=%00 HTTP/1.1\r\nHost: x\r\n\r\n", CLOSE)
            assert answer == ok(b"/a?b=%00") + LAST
            assert bench.questions[0].host == socket.inet_aton("127.0.0.1")
            assert bench.questions[0].port == bench.questions[1].port

    run(story())


def test_pipelined_requests_are_answered_in_their_order(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            asked = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(500))
            expected = b"".join(ok(b"/%d?" % number) for number in range(500))
            assert await bench.talk(asked + CLOSE) == expected + LAST

    run(story())


def test_nothing_is_answered_behind_a_close(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            assert await bench.talk(CLOSE + b"GET /late HTTP/1.1\r\n\r\n") == LAST

    run(story())


def test_a_request_may_come_byte_by_byte(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            whole = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n" + CLOSE
            assert await bench.talk(*[whole[i : i + 1] for i in range(len(whole))]) == ok(b"/a?b") + LAST

    run(story())


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", ok(b"/?", b"Connection: close\r\n")),
        (b"HEAD /a HTTP/1.1\r\nConnection: close\r\n\r\n", ok(b"/a?", b"Connection: close\r\n")[:-3]),
        (b"GET http://h:1/a?b HTTP/1.1\r\nConnection: close\r\n\r\n", ok(b"/a?b", b"Connection: close\r\n")),
    ],
)
def test_dialects_of_http_are_understood(run: Runner, asked: bytes, answered: bytes) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            assert await bench.talk(asked) == answered

    run(story())


def test_an_old_client_that_asks_for_keep_alive_is_told_that_it_has_it(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            answer = await bench.talk(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", CLOSE)
            assert answer == ok(b"/a?", b"Connection: keep-alive\r\n") + LAST

    run(story())


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"GET /missing HTTP/1.1\r\nConnection: close\r\n\r\n", b"404 Not Found"),
        (b"\x13BitTorrent protocol" + bytes(48), b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"400 Bad Request"),
        (b"GET /" + b"a" * MAX_REQUEST_LENGTH, b"431 Request Header Fields Too Large"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000, b"431 Request Header Fields Too Large"),
        (b"GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"200 OK"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), b"400 Bad Request"),
    ],
)
def test_what_is_not_for_us_gets_a_status_and_a_closed_connection(
    run: Runner, asked: bytes, status: bytes
) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            answer = await bench.talk(asked)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"Connection: close\r\n" in answer

    run(story())


def test_good_requests_before_a_bad_one_are_answered(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            answer = await bench.talk(b"GET /a HTTP/1.1\r\n\r\n\x00\x01garbage\r\n\r\n")
            assert answer.startswith(ok(b"/a?") + b"HTTP/1.1 400 ")

    run(story())


def test_a_slow_sender_is_closed_however_often_it_sends(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            bench.now = 1.0
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(b"GET /")
            await bench.until(lambda: len(bench.door.connections) == 1)
            (connection,) = bench.door.connections
            for _ in range(5):
                bench.now += 1.0
                writer.write(b"a")
                assert await bench.talk(CLOSE) == LAST  # by then the byte has been read, too
            assert connection.deadline == 1 + REQUEST_SECONDS
            bench.door.close_overdue(REQUEST_SECONDS)
            assert connection in bench.door.connections
            bench.door.close_overdue(1 + REQUEST_SECONDS)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            await bench.until(lambda: len(bench.door.connections) == 0)
            await closed(writer)

    run(story())


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            idle = await asyncio.open_connection("127.0.0.1", bench.port)
            busy = await asyncio.open_connection("127.0.0.1", bench.port)
            for reader, writer in (idle, busy):
                writer.write(b"GET /a HTTP/1.1\r\n\r\n")
                await reader.readexactly(len(ok(b"/a?")))
            bench.now = IDLE_SECONDS - 1
            busy[1].write(b"GET /a HTTP/1.1\r\n\r\n")
            await busy[0].readexactly(len(ok(b"/a?")))
            bench.now = IDLE_SECONDS + 1
            bench.door.close_overdue(bench.now)
            await bench.until(lambda: len(bench.door.connections) == 1)
            busy[1].write(CLOSE)
            assert await busy[0].read() == LAST
            for _, writer in (idle, busy):
                await closed(writer)

    run(story())


def test_a_slow_reader_is_not_read_and_in_the_end_closed(run: Runner) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port, limit=1024)
            for _ in range(4):
                writer.write(b"GET /big HTTP/1.1\r\n\r\n")
            await bench.until(lambda: len(bench.door.connections) == 1)
            await reader.readexactly(100)
            bench.now = IDLE_SECONDS + 1
            bench.door.close_overdue(bench.now)
            await bench.until(lambda: len(bench.door.connections) == 0)
            await closed(writer)

    run(story())


def test_one_connection_too_many_is_closed(run: Runner) -> None:
    async def story() -> None:
        async with Bench(max_connections=1).serve() as bench:
            first = await asyncio.open_connection("127.0.0.1", bench.port)
            first[1].write(CLOSE[:1])
            await bench.until(lambda: len(bench.door.connections) == 1)
            assert await bench.talk(CLOSE) == b""
            first[1].write(CLOSE[1:])
            assert await first[0].read() == LAST
            await closed(first[1])

    run(story())


@settings(max_examples=60)
@given(st.binary(max_size=400) | st.text("GET /HTP1.\r\n :?%&a", max_size=200).map(str.encode))
def test_any_bytes_get_a_status_or_a_closed_connection(data: bytes) -> None:
    async def story() -> None:
        async with Bench().serve() as bench:
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(data)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
                assert not answer or answer.startswith(b"HTTP/1.1 ")
            await closed(writer)

    asyncio.run(story())


def test_targets_are_split_into_path_and_query() -> None:
    assert split_target(b"/a?b?c") == (b"/a", b"b?c")
    assert split_target(b"http://h/a?b") == (b"/a", b"b")
    assert split_target(b"http://h") == (b"", b"")
    assert split_target(b"*") == (b"", b"")
