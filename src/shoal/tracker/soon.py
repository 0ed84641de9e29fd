"""Answers that are there now or come later, and how one is made of another.

A future here fails only by a mistake of ours; whatever is made of it then fails with it, and nobody waits for ever.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import TypeAlias, TypeVar

Answer = TypeVar("Answer")
Result = TypeVar("Result")
Soon: TypeAlias = Answer | Future[Answer]


def then(answer: Soon[Answer], make: Callable[[Answer], Soon[Result]]) -> Soon[Result]:
    """What `make` makes of an answer, which may take time as well."""
    return later(answer, make) if isinstance(answer, Future) else make(answer)


def later(answer: Future[Answer], make: Callable[[Answer], Soon[Result]]) -> Future[Result]:
    """The same for an answer that is not there yet."""
    made: Future[Result] = answer.get_loop().create_future()

    def settle(known: Future[Result]) -> None:
        if made.done():
            return
        if known.cancelled():
            made.cancel()
        elif (error := known.exception()) is not None:
            made.set_exception(error)
        else:
            made.set_result(known.result())

    def on_known(known: Future[Answer]) -> None:
        if made.done():
            return
        if known.cancelled():
            made.cancel()
            return
        try:
            result = make(known.result())
        except Exception as error:  # noqa: BLE001 (whatever it is, it goes to whoever waits)
            made.set_exception(error)
            return
        if isinstance(result, Future):
            result.add_done_callback(settle)
        else:
            made.set_result(result)

    answer.add_done_callback(on_known)
    return made


async def known(answer: Soon[Answer]) -> Answer:
    """An answer, waited for if need be."""
    return await answer if isinstance(answer, Future) else answer
