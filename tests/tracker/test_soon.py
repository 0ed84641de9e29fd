"""Answers made of answers: now, later, and never by our own mistake."""

from __future__ import annotations

import asyncio
from asyncio import Future

import pytest

from shoal.tracker.soon import known, later, then


def test_what_is_there_is_used_at_once() -> None:
    assert then(2, lambda number: number + 1) == 3


def test_what_comes_later_is_waited_for_as_often_as_need_be() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        first: Future[int] = loop.create_future()
        second: Future[int] = loop.create_future()
        made = later(later(first, lambda number: second), lambda number: number + 1)
        first.set_result(1)
        second.set_result(2)
        assert await known(made) == 3

    asyncio.run(story())


@pytest.mark.parametrize("where", ["first", "made", "second"])
def test_a_mistake_reaches_whoever_waits(where: str) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        first: Future[int] = loop.create_future()
        second: Future[int] = loop.create_future()

        def make(number: int) -> Future[int]:
            if where == "made":
                raise IndexError
            return second

        made = later(first, make)
        if where == "first":
            first.set_exception(IndexError())
        else:
            first.set_result(1)
        if where == "second":
            second.set_exception(IndexError())
        with pytest.raises(IndexError):
            await made

    asyncio.run(story())


def test_whoever_gives_up_is_told_nothing_more() -> None:
    async def story() -> None:
        first: Future[int] = asyncio.get_running_loop().create_future()
        made = later(first, lambda number: number)
        made.cancel()
        first.set_result(1)
        await asyncio.sleep(0)
        assert made.cancelled()

    asyncio.run(story())
