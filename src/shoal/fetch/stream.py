"""A file that comes in one piece: no ranges, no length, or nothing to tell by that two parts fit together.

Always true: what is in the part file is from one response; a response that ends badly is thrown away whole, and so
is a failed try, however much it brought.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from shoal.errors import NetworkError, ShoalError
from shoal.fetch.facts import Facts
from shoal.fetch.judging import Asked, NoRanges, Refused, Replaced, Retry
from shoal.fetch.opening import BEAT, FETCHER
from shoal.fetch.origins import Origins
from shoal.fetch.patience import Silence
from shoal.fetch.progress import Fetching, OnNote
from shoal.fetch.ranged import Changed
from shoal.fetch.receiver import Receiver
from shoal.fetch.sources import Source
from shoal.fetch.transfer import Flow
from shoal.fetch.writing import Writing

CUT_OFF = "the server ends the file early and serves no parts of it: try later, or another server (--mirror)"


class Stream:
    """`length` is None if nobody said it. `on_begun_anew` is called when what came so far is thrown away."""

    def __init__(
        self,
        origins: Origins,
        facts: Facts,
        writing: Writing,
        name: bytes,
        on_beat: Callable[[], None],
        on_begun_anew: Callable[[], None],
        on_note: OnNote,
        shortest_silence: float,
    ) -> None:
        self.length = facts.length
        self.position = 0
        self.trouble = ""
        self.is_waiting = False
        self._origins = origins
        self._sources = origins.sources
        self._writing = writing
        self._name = name
        self._on_beat = on_beat
        self._on_begun_anew = on_begun_anew
        self._on_note = on_note
        self._shortest_silence = shortest_silence
        self._silence = Silence(shortest_silence)
        self._has_told_of_silence = False
        self._source_name = ""
        self._failure: Exception | None = None

    async def run(self, first: Receiver, source: Source) -> None:
        """Until it has come once from its beginning to its end."""
        receiver = first
        while True:
            self._source_name = source.name
            receiver.hand_to(self._keep)
            await self._beats(receiver)
            receiver.flush()
            if self._failure is not None:
                raise self._failure
            if receiver.is_accepted and receiver.error is None and self.length in (None, self.position):
                return
            if self._silence.is_too_long:
                self._on_silence(source)
            else:
                self._on_trouble(receiver, source)
            source = await self._next_source()
            if self.position:
                await self._writing.drain()
                self._on_begun_anew()
                self.position = 0
            self._silence = Silence(self._shortest_silence)
            receiver = self._origins.receiver(source, Asked(source.url, name=self._name), self._keep)
            self._origins.begin(source, receiver, None)

    def fail(self, error: Exception) -> None:
        self._failure = self._failure or error

    def fetching(self, now: float) -> tuple[Fetching, ...]:
        rate = sum(source.meter.rate(now) for source in self._sources)
        return (Fetching(FETCHER, self._source_name, self.position, self.length, rate),)

    async def _beats(self, receiver: Receiver) -> None:
        """Until this transfer is over."""
        while not receiver.is_over and self._failure is None:
            self._on_beat()
            await self._origins.wait_for(receiver, BEAT)
            if not receiver.is_over:
                receiver.flush()
            self._silence.look(self.position, time.monotonic(), is_held=self._writing.is_full)
            if self._silence.is_too_long and not receiver.is_over:
                break
        self._origins.end(receiver)

    def _keep(self, receiver: Receiver) -> Flow:
        chunks, count = receiver.take()
        if self.length is not None and self.position + count > self.length:
            self.position += count  # it sends more than it said: neither can be believed
            return Flow.END
        self._writing.put(self.position, chunks)
        self.position += count
        self._sources.on_bytes(FETCHER, count, time.monotonic())
        if self._failure is not None:
            return Flow.END
        if self._writing.is_full:
            self._writing.when_room(receiver.go_on)
            return Flow.HOLD
        return Flow.MORE

    def _on_trouble(self, receiver: Receiver, source: Source) -> None:
        now = time.monotonic()
        match receiver.verdict:
            case Replaced(reason):
                if not self._origins.is_stranger(source):
                    raise Changed(reason)
                self._sources.give_up(FETCHER, NetworkError(f"{source.name} has another file: {reason}"))
            case Retry(after, error):
                self._note(error)
                self._sources.on_failure(FETCHER, now, error, retry_after=after, is_in_vain=True)
            case Refused(error):
                self._note(error)
                self._sources.give_up(FETCHER, error)
            case NoRanges(reason):
                self._sources.give_up(FETCHER, NetworkError(f"{source.name}: {reason}"))
            case _:
                error = receiver.error or NetworkError(f"{source.name}: sent another length than it said")
                if self.position and isinstance(error, NetworkError):
                    error = type(error)(error.message, hint=error.hint or CUT_OFF)
                self._note(error)
                if self._origins.is_final(source, error):
                    self._sources.give_up(FETCHER, error)
                else:
                    self._sources.on_failure(FETCHER, now, error, is_in_vain=True)

    def _on_silence(self, source: Source) -> None:
        error = NetworkError(f"{source.name}: nothing came any more")
        self._note(error)
        self._sources.on_failure(FETCHER, time.monotonic(), error, is_in_vain=True)
        if not self._has_told_of_silence:
            self._has_told_of_silence = True
            self._on_note(f"{error.message}; begins again from the first byte, for parts are not to be had")

    def _note(self, error: ShoalError) -> None:
        self.trouble = str(error)

    async def _next_source(self) -> Source:
        self.is_waiting = True
        while (source := self._sources.source_for(FETCHER, time.monotonic())) is None:
            if self._sources.are_given_up:
                raise self._sources.error()
            self._on_beat()
            await asyncio.sleep(BEAT)
        self.is_waiting = False
        return source
