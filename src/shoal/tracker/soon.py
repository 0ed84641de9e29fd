"""Answers that are there now or come later, and how one is made of another. No future here ever fails."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import TypeAlias, TypeVar

Answer = TypeVar("Answer")
Result = TypeVar("Result")
Soon: TypeAlias = Answer | Future[Answer]


def later(answer: Future[Answer], make: Callable[[Answer], Result]) -> Future[Result]:
    """What `make` will make of an answer that is not there yet."""
    made: Future[Result] = answer.get_loop().create_future()

    def on_known(known: Future[Answer]) -> None:
        if known.cancelled():
            made.cancel()
        elif not made.cancelled():
            made.set_result(make(known.result()))

    answer.add_done_callback(on_known)
    return made


async def known(answer: Soon[Answer]) -> Answer:
    """An answer, waited for if need be."""
    return await answer if isinstance(answer, Future) else answer


def then(answer: Soon[Answer], make: Callable[[Answer], Soon[Result]]) -> Soon[Result]:
    """What `make` makes of an answer, which may take time as well."""
    if not isinstance(answer, Future):
        return make(answer)
    made: Future[Result] = answer.get_loop().create_future()

    def settle(result: Future[Result]) -> None:
        if not made.cancelled():
            made.set_result(result.result())

    def on_known(known: Future[Answer]) -> None:
        if made.cancelled():
            return
        result = make(known.result())
        if isinstance(result, Future):
            result.add_done_callback(settle)
        else:
            made.set_result(result)

    answer.add_done_callback(on_known)
    return made
