"""Bodies at the HTTP door: taken where they are welcome, refused early and readably where they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from shoal.tracker import door_http
from shoal.tracker.door_http import BODY_RATE, REQUEST_SECONDS, Question
from shoal.tracker.replies import Reply

from .http_bench import CLOSE, Bench, closed, ok

Runner = Callable[[Awaitable[None]], None]
LIMIT = 100_000
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


def body_limit(method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
    return LIMIT if (method, path) == (b"PUT", b"/up") else 0


def describe(question: Question) -> Reply:
    return Reply(b"%b %b %d" % (question.method, question.path, len(question.body)))


def bench() -> Bench:
    return Bench(describe, body_limit=body_limit)


def put(body: bytes, path: bytes = b"/up", extra: bytes = b"") -> bytes:
    return b"PUT %b HTTP/1.1\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(body), extra, body)


def put_in_chunks(*chunks: bytes, trailer: bytes = b"", path: bytes = b"/up") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"PUT %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (path, framed, trailer)


THE_LAST = ok(b"GET /last 0", b"Connection: close\r\n")


@pytest.mark.parametrize("length", [0, 1, LIMIT])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_within_the_limit_arrives_whole(run: Runner, length: int, is_chunked: bool) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            body = bytes(range(256)) * (length // 256) + bytes(length % 256)
            chunks = [body[at : at + 30_000] for at in range(0, length, 30_000)]
            asked = put_in_chunks(*chunks) if is_chunked else put(body)
            assert await here.talk(asked + CLOSE) == ok(b"PUT /up %d" % length) + THE_LAST
            assert here.questions[0].body == body
            assert here.door.bodies_length == 0

    run(story())


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_the_limit_is_refused_though_its_sender_goes_on(run: Runner, is_chunked: bool) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            asked = put_in_chunks(bytes(LIMIT), bytes(1)) if is_chunked else put(bytes(LIMIT + 1))
            answer = await here.talk(asked, *[bytes(65536)] * 40)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"Connection: close\r\n" in answer
            assert here.questions == []
            await here.until(lambda: not here.door.connections)
            assert here.door.bodies_length == 0

    run(story())


def test_a_body_that_nobody_takes_is_not_waited_for(run: Runner) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            answer = await here.talk(put(bytes(5_000_000), b"/other"))
            assert answer == ok(b"PUT /other 0", b"Connection: close\r\n")

    run(story())


def test_a_small_body_in_chunks_that_nobody_takes_is_passed_over(run: Runner) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            answer = await here.talk(put_in_chunks(b"abc", path=b"/other") + CLOSE)
            assert answer == ok(b"PUT /other 0") + THE_LAST

    run(story())


def test_the_next_request_has_no_right_to_a_body_because_the_last_had(run: Runner) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            get = b"GET /up HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
            assert await here.talk(put(b"") + get + CLOSE) == ok(b"PUT /up 0") + ok(b"GET /up 0") + THE_LAST

    run(story())


def test_who_asks_first_is_told_to_go_on_behind_the_replies_before_it(run: Runner) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
            whole = put(b"abc", extra=b"Expect: 100-continue\r\n")
            writer.write(b"GET /a HTTP/1.1\r\n\r\n" + whole[:-3])
            expected = ok(b"GET /a 0") + CONTINUE
            assert await reader.readexactly(len(expected)) == expected
            writer.write(b"abc" + CLOSE)
            assert await reader.read() == ok(b"PUT /up 3") + THE_LAST
            await closed(writer)

    run(story())


def test_who_asks_first_is_not_told_to_go_on_when_it_is_of_no_use(run: Runner) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            expect = b"Expect: 100-continue\r\n"
            too_long = put(bytes(LIMIT + 1), extra=expect)[: -LIMIT - 1]
            assert (await here.talk(too_long)).startswith(b"HTTP/1.1 413 ")
            unwanted = put(b"abc", b"/other", expect)[:-3]
            assert await here.talk(unwanted) == ok(b"PUT /other 0", b"Connection: close\r\n")

    run(story())


@pytest.mark.parametrize("before", [b"", b"GET /a HTTP/1.1\r\n\r\n"], ids=["alone", "behind another"])
def test_a_body_has_its_time_and_no_more(run: Runner, before: bytes) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            _, writer = await asyncio.open_connection("127.0.0.1", here.port)
            writer.write(before + put(bytes(LIMIT))[:-1])
            await here.until(lambda: here.door.bodies_length == LIMIT - 1)
            enough = REQUEST_SECONDS + LIMIT / BODY_RATE
            here.door.close_overdue(enough - 0.1)
            assert len(here.door.connections) == 1
            here.now = enough
            here.door.close_overdue(here.now)
            await here.until(lambda: not here.door.connections)
            assert here.door.bodies_length == 0
            await closed(writer)

    run(story())


def test_all_bodies_together_have_a_limit_as_well(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_http, "MAX_BODIES_LENGTH", 3 * LIMIT // 2)

    async def story() -> None:
        async with bench().serve() as here:
            _, first = await asyncio.open_connection("127.0.0.1", here.port)
            first.write(put(bytes(LIMIT))[:-1])
            await here.until(lambda: here.door.bodies_length == LIMIT - 1)
            assert (await here.talk(put(bytes(LIMIT)))).startswith(b"HTTP/1.1 503 ")
            await closed(first)
            await here.until(lambda: here.door.bodies_length == 0)
            assert (await here.talk(put(bytes(LIMIT)) + CLOSE)).startswith(ok(b"PUT /up %d" % LIMIT))

    run(story())


def test_one_that_was_refused_and_stays_is_closed(run: Runner) -> None:
    async def story() -> None:
        async with bench().serve() as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
            writer.write(b"what\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            assert len(here.door.connections) == 1
            here.now += door_http.LINGER_SECONDS
            here.door.close_overdue(here.now)
            await here.until(lambda: not here.door.connections)
            await closed(writer)

    run(story())


def test_what_stands_behind_a_body_is_no_header() -> None:
    async def story() -> None:
        async with bench().serve() as here:
            await here.talk(put_in_chunks(b"abc", trailer=b"Authorization: me\r\n") + CLOSE)
            assert here.questions[0].headers == {}
            assert here.questions[0].body == b"abc"

    asyncio.run(story())
