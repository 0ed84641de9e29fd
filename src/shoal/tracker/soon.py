"""Answers that are there now or come later, one made of another."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import TypeVar

from shoal.tracker.store import Soon

Answer = TypeVar("Answer")
Result = TypeVar("Result")


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
