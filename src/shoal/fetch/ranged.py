"""A file fetched in runs, by several connections: the plan decides, transfers carry out, the part file keeps.

Always true: what a response brings is written only where `judge` said that it belongs, and only as far as the plan
still wants it from this fetcher. A version that changed ends all of it (`Changed`). Where a group downloads together,
its `Company` looks at each beat what is ours to fetch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from shoal.disk.piece_digests import PieceDigests
from shoal.errors import NetworkError, ShoalError
from shoal.fetch.claims import Run, StopReason
from shoal.fetch.gaps import gaps_between
from shoal.fetch.judging import Asked, NoRanges, Refused, Replaced, Retry, WriteAt
from shoal.fetch.opening import BEAT
from shoal.fetch.origins import Origins
from shoal.fetch.plan import Plan
from shoal.fetch.progress import Fetching, OnNote
from shoal.fetch.provenance import Provenance
from shoal.fetch.receiver import Receiver, trimmed, without_first
from shoal.fetch.repairs import Repairs
from shoal.fetch.sources import Source
from shoal.fetch.transfer import Flow
from shoal.fetch.writing import Keeper, Writing

QUESTION = 0  # the number of a fetcher that fetches nothing
QUICK_BEAT = BEAT / 2  # seconds between two looks ...
QUICK_FOR = 1.5  # ... while it shows how many connections are worth having
WAKE_WITHIN = 0.02  # seconds; what comes together is looked at together


class Company(Protocol):
    """The others with whom a file is fetched."""

    @property
    def has_others(self) -> bool:
        """Whether anybody is there who may bring what our sources do not."""

    def beat(self, now: float) -> None:
        """Some times a second: say what is ours to fetch."""

    def is_settled(self, now: float) -> bool:
        """All is here: whether nothing of it is in doubt."""

    def on_pause(self, source: Source, seconds: float) -> None:
        """It asked to wait so long."""


class Changed(Exception):
    """The file was replaced on the server; the reason is the message."""


class Disagreed(Exception):
    """The URL asked for has another file than the sources that answered before it; the reason is the message."""


class NoRangesAfterAll(Exception):
    """The last source serves no ranges that fit, though it said so; the reason is the message."""


class Ranged:
    def __init__(
        self,
        origins: Origins,
        plan: Plan,
        writing: Keeper,
        name: bytes,
        on_beat: Callable[[], None],
        company: Company | None = None,
        *,
        on_note: OnNote = lambda text: None,
        is_to_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_to_wait`: though all is here, it is not yet known what to compare it with."""
        self.plan = plan
        self.repairs: Repairs | None = None
        self._company = company
        self._is_stopped = False
        self._origins = origins
        self._sources = origins.sources
        self._writing = writing
        self._name = name
        self._on_beat = on_beat
        self._on_note = on_note
        self._is_to_wait = is_to_wait
        self.provenance = Provenance(gaps_between(plan.have_bits, plan.piece_length, plan.length))
        self._receivers: dict[int, Receiver] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._source_of: dict[int, Source] = {}  # whom each fetcher asks
        self._last_number = 0
        self._question: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._event = asyncio.Event()
        self._is_woken = False
        self.trouble = ""

    # ---- from outside

    async def run(self, group: asyncio.TaskGroup, first: Receiver | None, source: Source) -> None:
        """Until all is here. `first` is a transfer that runs already, from `source`, as fetcher 1, from byte 0 on."""
        self._last_number = 1
        if first is not None:
            self._adopt(group, first, source)
        else:
            self._sources.leave(1)
        soon = time.monotonic() + QUICK_FOR
        while not self._is_over() and self._failure is None:
            self._beat(group)
            try:
                async with asyncio.timeout(QUICK_BEAT if time.monotonic() < soon else BEAT):
                    await self._event.wait()
            except TimeoutError:
                pass
            self._event.clear()
            self._is_woken = False
        for task in self._tasks.values():
            task.cancel()
        if self._question is not None:
            self._question.cancel()
        if self.repairs is not None:
            self.repairs.cancel()
        if self._failure is not None:
            raise self._failure

    def check_pieces(self, expected: PieceDigests, writing: Writing) -> Repairs:
        """From now on each piece is compared with its digest, those that are here first; a wrong one comes again."""
        loop = asyncio.get_running_loop()
        repairs = Repairs(
            self._origins, writing, self.provenance, expected, self._name,
            wake=partial(loop.call_soon_threadsafe, self._event.set), on_wrong=self._on_note, on_lost=self.plan.lose,
            on_given_up=self.drop, on_trouble=self._on_trouble,
        )  # fmt: skip
        self.repairs = repairs

        def on_span(begin: int, end: int) -> None:
            self.provenance.on_written(begin, end)
            repairs.on_written(begin, end)

        writing.on_span = on_span
        return repairs

    def _is_over(self) -> bool:
        if self._is_stopped or not self.plan.is_complete:
            return self._is_stopped
        if self._is_to_wait() or not (self.repairs is None or self.repairs.is_done):
            return False
        return self._company is None or self._company.is_settled(time.monotonic())

    def wake(self) -> None:
        """There may be something to do."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_later(WAKE_WITHIN, self._event.set)

    def stop(self) -> None:
        """Nobody wants the rest."""
        self._is_stopped = True
        self._event.set()

    def fail(self, error: BaseException) -> None:
        """End it with this, unless something else was first."""
        self._failure = self._failure or error
        self._event.set()

    def fetching(self, now: float) -> tuple[Fetching, ...]:
        found = []
        for number, run in self.plan.claimed():
            rate = self.plan.rate_of(number, now)
            found.append(Fetching(number, self._source_of[number].name, run.begin, run.end, rate))
        return tuple(found)

    @property
    def bytes_here(self) -> int:
        wrong = 0 if self.repairs is None else self.repairs.bytes_left
        return self.plan.length - self.plan.bytes_left - wrong

    @property
    def is_waiting(self) -> bool:
        has_others = self._company is not None and self._company.has_others
        return not (self._receivers or self._is_idle or has_others)

    @property
    def _is_idle(self) -> bool:
        """There is nothing to fetch, or nobody is to be waited for."""
        return self.plan.is_complete and (self.repairs is None or not self.repairs.bytes_left)

    # ---- fetchers

    def _beat(self, group: asyncio.TaskGroup) -> None:
        now = time.monotonic()
        for receiver in list(self._receivers.values()):
            receiver.flush()
        if self._writing.is_full:
            self.plan.excuse(now)
        if self._company is not None:
            self._company.beat(now)
        for stop in self.plan.tick(now):
            task = self._tasks[stop.fetcher]
            if task.cancelling():
                continue
            if stop.reason is StopReason.STALLED:
                self._sources.on_failure(stop.fetcher, now, NetworkError("nothing came any more"))
            task.cancel()
        self._ask_who_decides(group, now)
        while self.plan.wants_another_fetcher(now) and self._start(group, now):
            pass
        if self.repairs is not None:
            try:
                self.repairs.beat(group, now)
            except ShoalError as error:
                self.fail(error)
        has_others = self._company is not None and self._company.has_others
        if not (self._tasks or self._is_idle or has_others) and self._sources.are_given_up:
            self.fail(self._sources.error())
        self._on_beat()

    def _ask_who_decides(self, group: asyncio.TaskGroup, now: float) -> None:
        """The URL asked for was busy, and another gives the file: it must still say whether that is the right one."""
        source = next((one for one in self._sources if self._origins.decides(one)), None)
        if source is None or source.fetchers or not source.patience.is_ready(now) or not source.was_tried:
            return
        receiver = self._origins.receiver(source, Asked(source.url, 0, 1, self._name), lambda _: Flow.END)
        self._sources.assign(QUESTION, source, now)

        async def ask() -> None:
            try:
                await self._origins.transfer(source, receiver, 0, 1)
                if not receiver.is_accepted:
                    self._on_trouble(QUESTION, source, receiver, time.monotonic())
            finally:
                self._sources.leave(QUESTION)

        self._question = group.create_task(ask())

    def _start(self, group: asyncio.TaskGroup, now: float) -> bool:
        number = self._last_number + 1
        begun = self._begin(number, now)
        if begun is None:
            return False
        self._last_number = number
        self._follow(number, group.create_task(self._fetch(number, *begun)))
        return True

    def _begin(self, number: int, now: float) -> tuple[Source, Receiver, Run] | None:
        """The next run of this fetcher, and of whom to ask for it."""
        source = self._sources.source_for(number, now)
        run = None if source is None else self.plan.next_run(number, now)
        if source is None or run is None:
            self._sources.leave(number)
            return None
        asked = Asked(source.url, run.begin, run.end, self._name)
        receiver = self._origins.receiver(source, asked, partial(self._keep, number))
        self._receivers[number] = receiver
        self._source_of[number] = source
        return source, receiver, run

    async def _fetch(self, number: int, source: Source, receiver: Receiver, run: Run) -> None:
        while True:
            await self._origins.transfer(source, receiver, run.begin, run.end)
            if not self._is_to_go_on(number, source, receiver):
                return
            begun = self._begin(number, time.monotonic())
            if begun is None:
                return
            source, receiver, run = begun

    def _adopt(self, group: asyncio.TaskGroup, first: Receiver, source: Source) -> None:
        run = self.plan.next_run(1, time.monotonic())
        assert run is not None and run.begin == 0, "what is adopted begins at byte 0, and nothing is here"
        self._receivers[1] = first
        self._source_of[1] = source

        async def go_on() -> None:
            first.hand_to(partial(self._keep, 1))
            await self._origins.wait_for(first)
            if self._is_to_go_on(1, source, first) and (begun := self._begin(1, time.monotonic())):
                await self._fetch(1, *begun)

        self._follow(1, group.create_task(go_on()))

    def _follow(self, number: int, task: asyncio.Task[None]) -> None:
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._on_task_over(number))

    def _on_task_over(self, number: int) -> None:
        del self._tasks[number]
        receiver = self._receivers.pop(number, None)
        if receiver is not None:  # it was cancelled
            self._origins.end(receiver)
            self.plan.on_ended(number, time.monotonic(), ok=False)
        self._sources.leave(number)
        self._event.set()

    def drop(self, source: Source) -> None:
        """Nothing more of this source, not even what is on its way."""
        for number, task in self._tasks.items():
            if self._source_of[number] is source:
                task.cancel()

    # ---- bytes

    def _keep(self, number: int, receiver: Receiver) -> Flow:
        now = time.monotonic()
        chunks, count = receiver.take()
        position, end = self.plan.position_of(number), self.plan.end_of(number)
        if count > end - position:
            count = end - position
            chunks = trimmed(chunks, count)
        if count > 0:
            begin = min(
                max(position, self.plan.done_of(number)), position + count
            )  # before: brought by another
            pieces = self.plan.on_bytes(number, count, now)
            self._sources.on_bytes(number, count, now)
            if begin < position + count:
                self.provenance.on_given(begin, position + count, self._source_of[number].url)
                self._writing.put(begin, without_first(chunks, begin - position), pieces)
            if self.plan.is_complete:
                self._event.set()
        position += count
        if position >= self.plan.end_of(number):
            is_its_end = isinstance(receiver.verdict, WriteAt) and receiver.verdict.end == position
            return Flow.MORE if is_its_end else Flow.END
        if self._writing.is_full:
            self._writing.when_room(receiver.go_on)
            return Flow.HOLD
        return Flow.MORE

    # ---- endings

    def _is_to_go_on(self, number: int, source: Source, receiver: Receiver) -> bool:
        """What the end of a transfer comes to; whether its fetcher asks for more."""
        del self._receivers[number]
        if receiver.is_accepted:
            receiver.flush()
        now = time.monotonic()
        is_done = self.plan.position_of(number) >= self.plan.end_of(number)
        is_good = receiver.error is None and receiver.is_accepted and (is_done or receiver.received > 0)
        is_limited = False
        if not is_good and not is_done:
            is_limited = self._on_trouble(number, source, receiver, now)
        self.plan.on_ended(number, now, ok=is_good)
        if self._company is not None:
            self._company.beat(now)  # so that its next run is there
        if is_limited:
            self.plan.on_refused(now)
        return is_good

    def _on_trouble(self, number: int, source: Source, receiver: Receiver, now: float) -> bool:
        """-> Whether the source has just enough fetchers without this one."""
        match receiver.verdict:
            case Replaced(reason):
                if self._origins.decides(source):
                    self.fail(Disagreed(reason))
                elif self._origins.is_stranger(source):
                    error = NetworkError(f"{source.name} has another file: {reason}")
                    self._sources.give_up(number, error)
                    self._on_note(error.message)
                else:
                    self.fail(Changed(reason))
            case NoRanges(reason):
                error = NetworkError(f"{source.name}: {reason}")
                if len(source.fetchers) > 1:
                    return self._sources.on_refused(number, now, error)
                self._sources.give_up(number, error)
                if self._sources.are_given_up:
                    self.fail(NoRangesAfterAll(reason))
            case Retry(after, error):
                self.trouble = str(error)
                if after is not None and self._company is not None:
                    self._company.on_pause(source, after)
                return self._sources.on_refused(number, now, error, retry_after=after)
            case Refused(error):
                if not self._origins.forget_place(source):
                    self._sources.give_up(number, error)
                self.trouble = str(error)
            case _:
                lost = receiver.error or NetworkError(f"{source.name}: closed the connection early")
                return self._on_lost(number, source, receiver, lost, now)
        return False

    def _on_lost(
        self, number: int, source: Source, receiver: Receiver, error: ShoalError, now: float
    ) -> bool:
        self.trouble = str(error)
        self._origins.forget_place(source)
        if self._origins.is_final(source, error):
            self._sources.give_up(number, error)
        elif receiver.verdict is None:  # it was closed without a word
            return self._sources.on_refused(number, now, error)
        else:
            self._sources.on_failure(number, now, error)
        return False
