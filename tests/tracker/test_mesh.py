"""Workers that ask one another, here as meshes in one loop over real Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shoal.tracker import mesh as mesh_module
from shoal.tracker.mesh import Mesh

pytestmark = pytest.mark.usefixtures("patient")


@contextlib.asynccontextmanager
async def meshes(folder: Path, count: int = 2) -> AsyncIterator[list[Mesh]]:
    made = [Mesh(number, count, folder) for number in range(count)]
    async with contextlib.AsyncExitStack() as opened:
        for one in made:
            await opened.enter_async_context(one.open())
        yield made


def test_a_worker_is_answered_by_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with meshes(tmp_path, 3) as (first, second, third):
            second.handlers["twice"] = lambda body: body * 2
            third.handlers["twice"] = lambda body: body[::-1]
            assert await first.ask(1, "twice", b"ab") == b"abab"
            assert await first.ask(2, "twice", b"ab") == b"ba"
            assert await second.ask(2, "twice", b"xy") == b"yx"

    asyncio.run(story())


def test_answers_find_their_questions_whatever_their_order(tmp_path: Path) -> None:
    async def story() -> None:
        async with meshes(tmp_path) as (first, second):
            held: dict[bytes, asyncio.Future[bytes]] = {}

            def hold(body: bytes) -> asyncio.Future[bytes]:
                held[body] = asyncio.get_running_loop().create_future()
                return held[body]

            second.handlers["hold"] = hold
            second.handlers["echo"] = lambda body: body
            slow = [first.ask(1, "hold", bytes([number])) for number in range(50)]
            assert await first.ask(1, "echo", b"overtakes") == b"overtakes"
            for body, future in reversed(held.items()):
                future.set_result(body + b"!")
            assert await asyncio.gather(*slow) == [bytes([number]) + b"!" for number in range(50)]

    asyncio.run(story())


def test_a_question_of_megabytes_comes_through_whole(tmp_path: Path) -> None:
    async def story() -> None:
        async with meshes(tmp_path) as (first, second):
            second.handlers["echo"] = lambda body: body
            body = bytes(range(256)) * 20_000
            assert await first.ask(1, "echo", body) == body

    asyncio.run(story())


def test_who_is_away_answers_nothing_and_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_module, "RECONNECT_SECONDS", 0.0)

    async def story() -> None:
        first, second = Mesh(0, 2, tmp_path), Mesh(1, 2, tmp_path)
        second.handlers["echo"] = lambda body: body
        async with first.open():
            assert await first.ask(1, "echo", b"too early") is None
            async with second.open():
                assert await first.ask(1, "echo", b"here") == b"here"
            assert await first.ask(1, "echo", b"too late") is None
            async with second.open():
                assert await first.ask(1, "echo", b"again") == b"again"

    asyncio.run(story())


def test_a_worker_that_dies_with_the_question_answers_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with meshes(tmp_path) as (first, second):
            asked = asyncio.Event()

            def never(body: bytes) -> asyncio.Future[bytes]:
                asked.set()
                return asyncio.get_running_loop().create_future()

            second.handlers["never"] = never
            future = first.ask(1, "never")
            await asked.wait()
            for link in first._links.values():
                link._stream.close()
            assert await future is None

    asyncio.run(story())


def test_an_answer_that_is_late_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with meshes(tmp_path) as (first, second):
            second.handlers["never"] = lambda body: asyncio.get_running_loop().create_future()
            second.handlers["echo"] = lambda body: body
            with monkeypatch.context() as impatience:
                impatience.setattr(mesh_module, "ANSWER_SECONDS", 0.05)
                assert await first.ask(1, "never") is None
            assert await first.ask(1, "echo", b"x") == b"x"

    asyncio.run(story())


def test_a_kind_that_nobody_answers_is_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with meshes(tmp_path) as (first, _):
            assert await first.ask(1, "unheard of") is None

    asyncio.run(story())


def test_no_more_than_so_many_questions_wait_for_one_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_module, "MAX_WAITING", 5)

    async def story() -> None:
        async with meshes(tmp_path) as (first, second):
            second.handlers["echo"] = lambda body: body
            answers = await asyncio.gather(*(first.ask(1, "echo", b"x") for _ in range(8)))
            assert answers == [b"x"] * 5 + [None] * 3

    asyncio.run(story())
