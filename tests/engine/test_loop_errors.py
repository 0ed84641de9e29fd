"""Errors of callbacks: ours reach every engine of the loop, all others reach the program that the loop belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shoal.engine import loop_errors
from shoal.units import parse_size

from .scene import LOOPS


def fail_in_shoal() -> None:
    parse_size("no size")


def fail_outside() -> None:
    raise RuntimeError("the program's own")


def play(loop_name: str, story: Callable[[asyncio.AbstractEventLoop], Any]) -> None:
    loop = LOOPS[loop_name]()
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.close()


async def a_turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize("loop_name", LOOPS)
def test_ours_reach_all_who_listen_and_others_the_handler_before(loop_name: str) -> None:
    async def story(loop: asyncio.AbstractEventLoop) -> None:
        programs: list[dict[str, Any]] = []
        first: list[BaseException] = []
        second: list[BaseException] = []
        loop.set_exception_handler(lambda _, context: programs.append(context))
        loop_errors.listen(loop, first.append)
        loop_errors.listen(loop, second.append)
        loop.call_soon(fail_in_shoal)
        loop.call_soon(fail_outside)
        await a_turn()
        assert len(first) == len(second) == 1
        assert "size" in str(first[0])
        assert [str(context["exception"]) for context in programs] == ["the program's own"]
        loop_errors.unlisten(loop, first.append)
        loop_errors.unlisten(loop, second.append)

    play(loop_name, story)


@pytest.mark.parametrize("loop_name", LOOPS)
def test_whoever_leaves_first_the_handler_before_is_back_when_all_have(loop_name: str) -> None:
    async def story(loop: asyncio.AbstractEventLoop) -> None:
        def before(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            """The program's."""

        first: list[BaseException] = []
        second: list[BaseException] = []
        loop.set_exception_handler(before)
        loop_errors.listen(loop, first.append)
        loop_errors.listen(loop, second.append)
        loop_errors.unlisten(loop, first.append)
        loop.call_soon(fail_in_shoal)
        await a_turn()
        assert not first
        assert len(second) == 1
        loop_errors.unlisten(loop, second.append)
        assert loop.get_exception_handler() is before

    play(loop_name, story)


def test_a_handler_that_the_program_set_meanwhile_stays() -> None:
    async def story(loop: asyncio.AbstractEventLoop) -> None:
        def later(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            """The program's."""

        heard: list[BaseException] = []
        loop_errors.listen(loop, heard.append)
        loop.set_exception_handler(later)
        loop_errors.unlisten(loop, heard.append)
        assert loop.get_exception_handler() is later

    play("asyncio", story)
