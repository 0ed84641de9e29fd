"""Where the file is had from: each source with what it said of the file, where it led to, and what it may be told.

It starts the transfers and waits for them; who fetches what is not its business.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from shoal.errors import FormatError, GuardError, NetworkError, NotFoundError, ShoalError
from shoal.fetch.facts import Facts, facts_of
from shoal.fetch.judging import Answer, Asked
from shoal.fetch.options import AskedUrl
from shoal.fetch.receiver import Keep, Receiver
from shoal.fetch.sources import Source, Sources
from shoal.fetch.transfer import Transfers

FIRST_TRIES = 3  # of a source that never answered: it is a wrong port rather than a bad line


class Origins:
    def __init__(
        self,
        group: asyncio.TaskGroup,
        transfers: Transfers,
        sources: Sources,
        asked: dict[str, AskedUrl],
        *,
        first_url: str = "",
        length: int | None = None,
    ) -> None:
        """`length`: of the file, if it is known before anybody was asked. `first_url`: whose file is the right one."""
        self.sources = sources
        self._group = group
        self._transfers = transfers
        self._asked = asked
        self._facts: dict[str, Facts] = {}  # by the URL of the source that said so
        self._places: dict[
            str, str
        ] = {}  # where a source led to, so that not every request is led there again
        self._first: Facts | None = None
        self._first_url = first_url  # "" if something else says what is right
        self._expected = None if length is None else Facts(length=length)
        self._running: dict[Receiver, asyncio.Task[None]] = {}

    # ---- facts

    def receiver(self, source: Source, asked: Asked, keep: Keep) -> Receiver:
        """For one request to `source`, whose response has to fit what is known by then."""
        return Receiver(asked, partial(self._known_of, source), partial(self._on_accepted, source), keep)

    def _known_of(self, source: Source) -> Facts | None:
        known = self._facts.get(source.url)
        return known or (self._first and self._first.for_mirror()) or self._expected

    def _on_accepted(self, source: Source, answer: Answer) -> None:
        facts = facts_of(answer.status, answer.headers, answer.url)
        known = self._facts.setdefault(source.url, facts)
        if known.validator is None and known.shown_later is None and facts.validator is not None:
            self._facts[source.url] = replace(known, shown_later=facts.validator)
        self._first = self._first or self._facts[source.url]
        if answer.url != source.url:
            self._places[source.url] = answer.url

    def know(self, url: str, facts: Facts) -> None:
        """What the file of this source is, though it was not asked yet."""
        self._facts[url] = self._first = facts

    def is_stranger(self, source: Source) -> bool:
        """It never gave anything that fits: that it has another file is its own fault."""
        return source.url not in self._facts

    def decides(self, source: Source) -> bool:
        """It is the URL that says which file is right, and has not said it yet."""
        return source.url == self._first_url and self.is_stranger(source)

    @property
    def answered(self) -> dict[str, str]:
        """The sources that gave something that fits: URL and name."""
        return {source.url: source.name for source in self.sources if source.url in self._facts}

    def is_final(self, source: Source, error: ShoalError) -> bool:
        """Whether to ask again is of no use."""
        if isinstance(error, FormatError | GuardError):
            return True
        if source.meter.total:
            return False
        return (
            isinstance(error, NotFoundError)
            or source.patience.failures + 1 >= FIRST_TRIES
            or not isinstance(error, NetworkError)
        )

    def forget_place(self, source: Source) -> bool:
        """Ask the URL itself next time; whether that is another one than the last."""
        return self._places.pop(source.url, None) is not None

    # ---- transfers

    def begin(self, source: Source, receiver: Receiver, begin: int | None, end: int | None = None) -> None:
        """A transfer that runs by itself; `wait_for` it or `end` it."""
        task = self._group.create_task(self.transfer(source, receiver, begin, end))
        self._running[receiver] = task
        task.add_done_callback(lambda _: self._running.pop(receiver, None))

    async def wait_for(self, receiver: Receiver, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Until its transfer is over, or `timeout` seconds have passed."""
        task = self._running.get(receiver)
        if task is not None:
            await asyncio.wait([task], timeout=timeout)

    def end(self, receiver: Receiver) -> None:
        task = self._running.get(receiver)
        if task is not None:
            task.cancel()

    def end_all(self) -> None:
        for task in list(self._running.values()):
            task.cancel()

    async def transfer(
        self, source: Source, receiver: Receiver, begin: int | None, end: int | None = None
    ) -> None:
        """How it failed, if it did, is told to the receiver."""
        error: ShoalError | None = None
        try:
            await self._transfers.get(
                self._asked[source.url], receiver, begin, end, at=self._places.get(source.url)
            )
        except ShoalError as failure:
            error = failure
        finally:
            receiver.on_over(error)

    async def wait_for_judgement(self, receiver: Receiver, timeout: float) -> None:  # noqa: ASYNC109
        """Until its response is there, or its transfer over, or `timeout` seconds have passed."""
        try:
            async with asyncio.timeout(timeout):
                await receiver.judged.wait()
        except TimeoutError:
            pass
