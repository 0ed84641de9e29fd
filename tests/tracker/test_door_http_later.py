"""Replies of the HTTP door that come later: their order, and how many a client may wait for."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from shoal.tracker.door_http import MAX_WAITING, WRITE_HIGH_WATER, Question
from shoal.tracker.replies import Reply
from shoal.tracker.soon import Soon

from .http_bench import CLOSE, Bench, closed, ok

Runner = Callable[[Awaitable[None]], None]
BIG = 8 * 1024 * 1024
GET = b"GET /%d HTTP/1.1\r\n\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


class Later:
    """Answers `/1`, `/3` ... when it is told to, and everything else at once; `/big` is more than a client takes."""

    def __init__(self) -> None:
        self.waiting: dict[int, Future[Reply]] = {}

    def answer(self, question: Question) -> Soon[Reply] | None:
        name = question.path[1:]
        if name.isdigit() and int(name) % 2:
            future = self.waiting[int(name)] = asyncio.get_running_loop().create_future()
            return future
        return Reply(bytes(BIG) if name == b"big" else name)

    def tell(self, number: int) -> None:
        self.waiting.pop(number).set_result(Reply(b"%d" % number))


def last(body: bytes = b"last") -> bytes:
    return ok(body, b"Connection: close\r\n")


@pytest.mark.parametrize("order", [(1, 3, 5), (5, 3, 1), (3, 5, 1)])
def test_replies_keep_the_order_of_the_questions(run: Runner, order: tuple[int, ...]) -> None:
    async def story() -> None:
        later = Later()
        async with Bench(later.answer).serve() as bench:
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(b"".join(GET % number for number in range(6)) + CLOSE)
            await bench.until(lambda: len(later.waiting) == 3)
            for number in order:
                later.tell(number)
            assert await reader.read() == b"".join(ok(b"%d" % number) for number in range(6)) + last()
            await closed(writer)

    run(story())


def test_a_reply_that_is_known_leaves_before_a_later_one_is(run: Runner) -> None:
    async def story() -> None:
        later = Later()
        async with Bench(later.answer).serve() as bench:
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(b"".join(GET % number for number in range(4)))
            await bench.until(lambda: len(later.waiting) == 2)
            expected = ok(b"0")
            assert await reader.readexactly(len(expected)) == expected
            later.tell(1)
            expected = ok(b"1") + ok(b"2")
            assert await reader.readexactly(len(expected)) == expected
            await closed(writer)

    run(story())


def test_the_last_reply_of_a_connection_may_come_later(run: Runner) -> None:
    async def story() -> None:
        later = Later()
        async with Bench(later.answer).serve() as bench:
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(b"GET /1 HTTP/1.0\r\n\r\n" + GET % 3)
            await bench.until(lambda: bool(later.waiting))
            later.tell(1)
            assert await reader.read() == last(b"1")
            assert [question.path for question in bench.questions] == [b"/1"]
            await closed(writer)

    run(story())


def test_a_bad_request_is_answered_behind_one_that_waits(run: Runner) -> None:
    async def story() -> None:
        later = Later()
        async with Bench(later.answer).serve() as bench:
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(GET % 1 + b"what\r\n\r\n")
            await bench.until(lambda: bool(later.waiting))
            later.tell(1)
            assert (await reader.read()).startswith(ok(b"1") + b"HTTP/1.1 400 ")
            await closed(writer)

    run(story())


def test_a_reply_for_one_who_has_gone_is_dropped(run: Runner) -> None:
    async def story() -> None:
        later = Later()
        async with Bench(later.answer).serve() as bench:
            _, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(GET % 1)
            await bench.until(lambda: bool(later.waiting))
            writer.transport.abort()
            await bench.until(lambda: not bench.door.connections)
            later.tell(1)
            assert await bench.talk(CLOSE) == last()

    run(story())


def test_who_waits_for_too_many_is_not_read_until_they_are_there(run: Runner) -> None:
    async def story() -> None:
        later = Later()
        async with Bench(later.answer).serve() as bench:
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(b"".join(GET % (2 * number + 1) for number in range(MAX_WAITING + 1)))
            await bench.until(lambda: len(later.waiting) == MAX_WAITING + 1)
            writer.write(CLOSE)
            await writer.drain()
            for _ in range(5):
                assert await bench.talk(CLOSE) == last()  # what another sent after it has been answered
            assert b"/last" not in [q.path for q in bench.questions if q.port == bench.questions[0].port]
            numbers = list(later.waiting)
            for number in numbers:
                later.tell(number)
            assert await reader.read() == b"".join(ok(b"%d" % number) for number in numbers) + last()
            await closed(writer)

    run(story())


def test_who_does_not_take_replies_is_not_read_when_those_it_waits_for_are_there(run: Runner) -> None:
    async def story() -> None:
        later = Later()
        async with Bench(later.answer).serve() as bench:
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port, limit=1024)
            writer.write(b"GET /big HTTP/1.1\r\n\r\n")
            writer.write(b"".join(GET % (2 * number + 1) for number in range(MAX_WAITING + 1)))
            await bench.until(lambda: len(later.waiting) == MAX_WAITING + 1)
            (connection,) = bench.door.connections
            transport = connection._transport
            assert transport is not None
            assert transport.get_write_buffer_size() > WRITE_HIGH_WATER
            for number in list(later.waiting):
                later.tell(number)
            await bench.until(lambda: not connection._replies)
            assert not transport.is_reading()
            writer.write(CLOSE)
            assert (await reader.read()).endswith(last())
            await closed(writer)

    run(story())


@pytest.mark.parametrize("comes_later", [True, False])
def test_a_mistake_of_ours_is_a_reply_too_and_the_loop_hears_of_it(run: Runner, comes_later: bool) -> None:
    def answer(question: Question) -> Soon[Reply]:
        if not comes_later:
            raise IndexError
        future: Future[Reply] = asyncio.get_running_loop().create_future()
        future.set_exception(IndexError())
        return future

    async def story() -> None:
        heard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: heard.append(context["exception"])
        )
        async with Bench(answer).serve() as bench:
            replied = await bench.talk(CLOSE)
        assert replied.startswith(b"HTTP/1.1 500 ")
        assert [type(error) for error in heard] == [IndexError]

    run(story())
