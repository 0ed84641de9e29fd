"""The first response of a download, from whichever source gives one; the download goes on with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from shoal.errors import NetworkError
from shoal.fetch.judging import Asked, NoRanges, Refused, Replaced, Retry
from shoal.fetch.origins import Origins
from shoal.fetch.receiver import Receiver, keep_early, keep_in
from shoal.fetch.sources import Source

FETCHER = 1  # the number of the first one
BEAT = 0.1  # seconds between two looks; a display is fed with it


class Opening:
    """`in_runs`: ask for ranges from the first request on; `first_end`: only as far as that."""

    def __init__(
        self,
        origins: Origins,
        name: bytes,
        in_runs: bool,
        on_beat: Callable[[], None],
        first_end: int | None = None,
    ) -> None:
        self.is_waiting = False
        self.trouble = ""
        self._origins = origins
        self._sources = origins.sources
        self._name = name
        self._in_runs = in_runs
        self._first_end = first_end
        self._on_beat = on_beat

    async def first_response(self) -> tuple[Source, Receiver]:
        """The first that brings the file, from whatever source."""
        begin: int | None = 0 if self._in_runs else None
        while True:
            source = await self._next_source()
            end = None if begin is None else self._first_end
            asked = Asked(source.url, begin, end, name=self._name)
            receiver = self._origins.receiver(source, asked, keep_early)
            self._origins.begin(source, receiver, begin, end)
            while not receiver.judged.is_set():
                self._on_beat()
                await self._origins.wait_for_judgement(receiver, BEAT)
            if receiver.is_accepted:
                return source, receiver
            await self._origins.wait_for(receiver)
            match receiver.verdict:
                case NoRanges() if begin is not None:
                    begin = None  # an empty file, say: no range of it can be asked for
                case verdict:
                    self._on_no_file(source, receiver, verdict)

    def _on_no_file(self, source: Source, receiver: Receiver, verdict: object) -> None:
        now = time.monotonic()
        match verdict:
            case Retry(after, error):
                self._sources.on_failure(FETCHER, now, error, retry_after=after)
            case Refused(error):
                self._sources.give_up(FETCHER, error)
            case Replaced(reason):
                error = NetworkError(f"{source.name} has another file: {reason}")
                self._sources.give_up(FETCHER, error)
            case _:
                error = receiver.error or NetworkError(f"{source.name}: sent no file")
                if receiver.answer is None:
                    self._sources.on_no_answer(FETCHER, error)
                if receiver.error is None or self._origins.is_final(source, error):
                    self._sources.give_up(FETCHER, error)
                else:
                    self._sources.on_failure(FETCHER, now, error)
        self.trouble = error.message

    async def _next_source(self) -> Source:
        while (source := self._sources.source_for(FETCHER, time.monotonic())) is None:
            if self._sources.are_given_up:
                raise self._sources.error()
            self.is_waiting = True
            self._on_beat()
            await asyncio.sleep(BEAT)
        self.is_waiting = False
        return source


async def body_of(origins: Origins, receiver: Receiver, most: int) -> bytes:
    """All that comes, up to so many bytes, in memory. Raises how its transfer failed."""
    body = bytearray()
    receiver.hand_to(keep_in(body, most))
    await origins.wait_for(receiver)
    receiver.flush()
    if receiver.error is not None:
        raise receiver.error
    return bytes(body)
